#include "engine/train/rank_facts.h"

#include <algorithm>
#include <cstddef>

#include "engine/train/host_name.h"
#include "engine/train/posix_file.h"

namespace lockstep {
namespace {

std::string TextOf(const RankFacts& facts) {
  std::string text;
  for (const auto& [name, value] : facts) text += name + '\0' + value + '\0';
  return text;
}

RankFacts FactsIn(const std::string& text) {
  std::vector<std::string> fields;
  for (size_t at = 0; at < text.size();) {
    const size_t end = text.find('\0', at);
    fields.push_back(text.substr(at, end - at));
    at = end + 1;
  }
  RankFacts facts;
  for (size_t i = 0; i + 1 < fields.size(); i += 2) facts.emplace_back(fields[i], fields[i + 1]);
  return facts;
}

std::string ValueIn(const RankFacts& facts, const std::string& name) {
  const auto found = std::find_if(facts.begin(), facts.end(),
                                  [&](const auto& fact) { return fact.first == name; });
  return found == facts.end() ? "not set" : found->second;
}

// The names in any of them, in the order in which they come.
std::vector<std::string> NamesIn(const std::vector<RankFacts>& of_rank) {
  std::vector<std::string> names;
  for (const RankFacts& facts : of_rank) {
    for (const auto& [name, value] : facts) {
      if (std::find(names.begin(), names.end(), name) == names.end()) names.push_back(name);
    }
  }
  return names;
}

// "--seed is 1 on rank 0, 2 on rank 1": the ranks that say the same as one before are left out.
std::string Difference(const std::string& name, const std::vector<std::string>& values,
                       const std::vector<std::string>& hosts) {
  std::string text;
  for (size_t rank = 0; rank < values.size(); ++rank) {
    const auto here = values.begin() + static_cast<ptrdiff_t>(rank);
    if (std::find(values.begin(), here, *here) != here) continue;
    text += (text.empty() ? "" : ", ") + (here->empty() ? "''" : Printable(*here)) + " on " +
            RankName(static_cast<int>(rank), hosts);
  }
  return name + " is " + text;
}

}  // namespace

void RequireEqual(RankGroup& group, const RankFacts& facts) {
  if (group.size() == 1) return;
  std::vector<RankFacts> of_rank;
  for (const std::string& text : GatherTexts(group, TextOf(facts))) {
    of_rank.push_back(FactsIn(text));
  }
  if (std::count(of_rank.begin(), of_rank.end(), of_rank[0]) == std::ssize(of_rank)) return;
  const std::vector<std::string> hosts = GatherTexts(group, HostName());
  std::string differences;
  for (const std::string& name : NamesIn(of_rank)) {
    std::vector<std::string> values;
    values.reserve(of_rank.size());
    for (const RankFacts& theirs : of_rank) values.push_back(ValueIn(theirs, name));
    if (std::count(values.begin(), values.end(), values[0]) == std::ssize(values)) continue;
    differences += (differences.empty() ? "" : "; ") + Difference(name, values, hosts);
  }
  throw AgreedError(ExitCode::kDisagree,
                    "the ranks do not train the same: " + differences +
                        "; start all of them with the same options, data and program");
}

}  // namespace lockstep
