#include "tests/conformance/table.h"

#include <optional>
#include <sstream>
#include <utility>

namespace lockstep::conformance {
namespace {

// A proof that there cannot be one: what the row speaks of does not happen there.
constexpr const char* kDoesNotApply = "-";

std::string Trim(const std::string& text) {
  const size_t begin = text.find_first_not_of(" \t\r");
  if (begin == std::string::npos) return "";
  return text.substr(begin, text.find_last_not_of(" \t\r") - begin + 1);
}

std::vector<std::string> Split(const std::string& text, char separator) {
  std::vector<std::string> parts;
  std::istringstream in(text);
  for (std::string part; std::getline(in, part, separator);) parts.push_back(Trim(part));
  return parts;
}

std::vector<std::string> NonEmpty(std::vector<std::string> parts) {
  std::erase(parts, "");
  return parts;
}

std::optional<State> ParseState(const std::string& text) {
  if (text == "done") return State::kDone;
  if (text == "open") return State::kOpen;
  if (text == "not ours") return State::kNotOurs;
  return std::nullopt;
}

std::set<std::string> WantedIds(const Layout& layout) {
  std::set<std::string> ids;
  for (const auto& [family, count] : layout.families) {
    for (int number = 1; number <= count; ++number) {
      const bool narrow = family.ends_with("-") && number < 10;
      ids.insert(family + (narrow ? "0" : "") + std::to_string(number));
    }
  }
  return ids;
}

// Fills `row` from its cells; returns what is wrong with them, or "".
std::string ParseRow(const std::vector<std::string>& cells, const Layout& layout, Row* row) {
  if (cells.size() < 6) return "wants six cells: " + layout.cells;
  row->id = cells[0];
  const std::optional<State> state = ParseState(cells[1]);
  if (!state) return "state '" + cells[1] + "' is not done, open or not ours";
  row->state = *state;
  for (const std::string& need : NonEmpty(Split(cells[layout.needs], ','))) {
    if (!Requirements().contains(need)) return "needs '" + need + "', which nobody can provide";
    row->needs.insert(need);
  }
  bool complete = true;
  for (const size_t cell : layout.proofs) {
    const std::vector<std::string> proofs = NonEmpty(Split(cells[cell], ','));
    complete = complete && !proofs.empty();
    row->proofs.insert(row->proofs.end(), proofs.begin(), proofs.end());
  }
  std::erase(row->proofs, kDoesNotApply);
  complete = complete && !row->proofs.empty();
  if (*state == State::kOpen && complete) return "is open but names a proof";
  if (*state == State::kDone && !complete) return "is done but names no test";
  if (*state == State::kNotOurs && row->proofs.empty()) return "is not ours without a reason";
  return "";
}

std::string Count(const std::vector<Row>& rows, const std::string& family) {
  int all = 0;
  std::map<State, int> count;
  for (const Row& row : rows) {
    if (!row.id.starts_with(family)) continue;
    ++all;
    ++count[row.state];
  }
  return std::to_string(all) + " rows: " + std::to_string(count[State::kDone]) + " done, " +
         std::to_string(count[State::kOpen]) + " open, " + std::to_string(count[State::kNotOurs]) +
         " not ours\n";
}

}  // namespace

const std::set<std::string>& Requirements() {
  static const std::set<std::string> kRequirements = {
      "gpu", "shared", "netns", "nft", "tbf", "faketime", "mounts", "loop", "cgroups", "peers"};
  return kRequirements;
}

const Layout& ConformanceLayout() {
  static const Layout kLayout = {"id | state | mark | needs | proof | what",
                                 {{"X", 12},
                                  {"CH-", 70},
                                  {"CF-", 31},
                                  {"MX-", 41},
                                  {"CT-", 19},
                                  {"SD-", 6},
                                  {"TF-", 48},
                                  {"AL-", 8},
                                  {"EQ-", 8}},
                                 3,
                                 {4},
                                 ""};
  return kLayout;
}

const Layout& FaultsLayout() {
  static const Layout kLayout = {"id | state | needs | one process | several | what",
                                 {{"A", 14}, {"B", 14}, {"C", 7}, {"D", 20}, {"E", 9}, {"F", 10}},
                                 2,
                                 {3, 4},
                                 "fault"};
  return kLayout;
}

std::vector<Row> ParseTable(std::istream& in, const Layout& layout,
                            std::vector<std::string>* problems) {
  std::vector<Row> rows;
  std::set<std::string> missing = WantedIds(layout);
  std::string text;
  for (int line = 1; std::getline(in, text); ++line) {
    if (Trim(text).empty() || text.starts_with("#")) continue;
    Row row;
    row.line = line;
    std::string problem = ParseRow(Split(text, '|'), layout, &row);
    if (missing.erase(row.id) == 0 && problem.empty())
      problem = "'" + row.id + "' again or unknown";
    if (!problem.empty()) problems->push_back("line " + std::to_string(line) + ": " + problem);
    rows.push_back(std::move(row));
  }
  for (const std::string& id : missing) problems->push_back(id + " has no row");
  return rows;
}

bool Matches(const std::string& pattern, const std::string& name) {
  // Position to retry from: after the last '*' in the pattern, one character further in the name.
  size_t p = 0, n = 0, star = std::string::npos, retry = 0;
  while (n < name.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      retry = n;
    } else if (p < pattern.size() && pattern[p] == name[n]) {
      ++p, ++n;
    } else if (star != std::string::npos) {
      p = star + 1;
      n = ++retry;
    } else {
      return false;
    }
  }
  return pattern.find_first_not_of('*', p) == std::string::npos;
}

std::vector<std::string> UnknownProofs(const std::vector<Row>& rows,
                                       const std::set<std::string>& tests) {
  std::vector<std::string> problems;
  for (const Row& row : rows) {
    if (row.state == State::kNotOurs) continue;
    for (const std::string& pattern : row.proofs) {
      bool found = false;
      for (const std::string& test : tests) found = found || Matches(pattern, test);
      if (!found) problems.push_back(row.id + " claims '" + pattern + "': there is no such test");
    }
  }
  return problems;
}

std::vector<std::string> MissingProofs(const std::vector<Row>& rows, const Results& results,
                                       const std::set<std::string>& available) {
  std::vector<std::string> problems;
  for (const Row& row : rows) {
    bool provable = row.state == State::kDone;
    for (const std::string& need : row.needs) provable = provable && available.contains(need);
    if (!provable) continue;
    for (const std::string& pattern : row.proofs) {
      bool passed = false;
      for (const auto& [test, outcome] : results) {
        if (!Matches(pattern, test)) continue;
        passed = passed || outcome == Outcome::kPassed;
        if (outcome == Outcome::kPassed) continue;
        problems.push_back(row.id + " claims '" + test + "', which " +
                           (outcome == Outcome::kSkipped ? "was skipped" : "failed"));
      }
      if (!passed) problems.push_back(row.id + " claims '" + pattern + "': nothing passed");
    }
  }
  return problems;
}

std::string Counts(const std::vector<Row>& rows, const Layout& layout) {
  std::string text = Count(rows, "");
  for (const auto& [family, count] : layout.families) {
    text += "  " + family.substr(0, family.find('-')) + ": " + Count(rows, family);
  }
  return text;
}

}  // namespace lockstep::conformance
