// The conformance table and what is wrong with it.
#ifndef LOCKSTEP_TESTS_CONFORMANCE_TABLE_H_
#define LOCKSTEP_TESTS_CONFORMANCE_TABLE_H_

#include <istream>
#include <map>
#include <set>
#include <string>
#include <vector>

namespace lockstep::conformance {

enum class State { kDone, kOpen, kNotOurs };

struct Row {
  std::string id;  // "CH-05"
  State state = State::kOpen;
  std::set<std::string> needs;      // of Requirements()
  std::vector<std::string> proofs;  // done: patterns of test names; not ours: the reason
  int line = 0;
};

// How a test ended; one that ctest did not start is absent from the map.
enum class Outcome { kPassed, kFailed, kSkipped };
using Results = std::map<std::string, Outcome>;

// What a row may need: gpu, shared, netns, peers.
const std::set<std::string>& Requirements();

// Parses the table (its head describes the format). Adds a line to `problems` for each row that is
// malformed, repeated, missing or unknown.
std::vector<Row> ParseTable(std::istream& in, std::vector<std::string>* problems);

// Whether `name` matches `pattern`, in which '*' stands for any characters.
bool Matches(const std::string& pattern, const std::string& name);

// Done rows that claim a pattern no test of `tests` matches.
std::vector<std::string> UnknownProofs(const std::vector<Row>& rows,
                                       const std::set<std::string>& tests);

// Done rows with a proof that did not pass although all they need is in `available`.
std::vector<std::string> MissingProofs(const std::vector<Row>& rows, const Results& results,
                                       const std::set<std::string>& available);

// "223 rows: 20 done, 203 open, 0 not ours", then the same for each family of ids.
std::string Counts(const std::vector<Row>& rows);

}  // namespace lockstep::conformance

#endif  // LOCKSTEP_TESTS_CONFORMANCE_TABLE_H_
