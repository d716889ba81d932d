// Tables of what must hold and which tests prove it, and what is wrong with them.
#ifndef LOCKSTEP_TESTS_CONFORMANCE_TABLE_H_
#define LOCKSTEP_TESTS_CONFORMANCE_TABLE_H_

#include <istream>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace lockstep::conformance {

enum class State { kDone, kOpen, kNotOurs };

struct Row {
  std::string id;  // "CH-05"
  State state = State::kOpen;
  std::set<std::string> needs;      // of Requirements()
  std::vector<std::string> proofs;  // patterns of test names; not ours: the reason
  int line = 0;
};

// Which rows a table has and what is in their cells. The first two are id and state.
struct Layout {
  std::string cells;  // "id | state | ...", for messages
  // What ids begin with and how many there are: from CH-01 to CH-70, from X1 to X12.
  std::vector<std::pair<std::string, int>> families;
  size_t needs = 0;            // which cell
  std::vector<size_t> proofs;  // which cells; "-" in one says that the row does not apply there
  std::string label;           // of ctest, which all proofs have; or ""
};
const Layout& ConformanceLayout();
const Layout& FaultsLayout();

// How a test ended; one that ctest did not start is absent from the map.
enum class Outcome { kPassed, kFailed, kSkipped };
using Results = std::map<std::string, Outcome>;

// What a row may need.
const std::set<std::string>& Requirements();

// Parses the table (its head describes the format). Adds a line to `problems` for each row that is
// malformed, repeated, missing or unknown.
std::vector<Row> ParseTable(std::istream& in, const Layout& layout,
                            std::vector<std::string>* problems);

// Whether `name` matches `pattern`, in which '*' stands for any characters.
bool Matches(const std::string& pattern, const std::string& name);

// Rows that claim a pattern no test of `tests` matches.
std::vector<std::string> UnknownProofs(const std::vector<Row>& rows,
                                       const std::set<std::string>& tests);

// Done rows with a proof that did not pass although all they need is in `available`.
std::vector<std::string> MissingProofs(const std::vector<Row>& rows, const Results& results,
                                       const std::set<std::string>& available);

// "243 rows: 20 done, 223 open, 0 not ours", then the same for each family of ids.
std::string Counts(const std::vector<Row>& rows, const Layout& layout);

}  // namespace lockstep::conformance

#endif  // LOCKSTEP_TESTS_CONFORMANCE_TABLE_H_
