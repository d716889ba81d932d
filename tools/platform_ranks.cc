#include "tools/platform_ranks.h"

#include <algorithm>
#include <optional>

#include "kernels/error.h"
#include "tools/option_values.h"
#include "tools/text.h"

namespace lockstep::tools {
namespace {

constexpr int64_t kMostRanks = 1024;

std::string Parameter(const Environment& environment, const std::string& name) {
  const auto found = environment.framework_parameters.find(name);
  return found == environment.framework_parameters.end() ? "" : found->second;
}

// Of the hyperparameter `name`; `otherwise` where it is not given.
int CountOf(const Environment& environment, const std::string& name, int otherwise) {
  const std::string text = Parameter(environment, name);
  if (text.empty() || text == "None") return otherwise;
  const std::optional<int64_t> count = ParseInt(text);
  if (count && *count >= 1 && *count <= kMostRanks) return static_cast<int>(*count);
  throw ConfigError(name + ": found " + Quote(text) + ", wanted a number of processes");
}

bool UsesMpi(const Environment& environment) {
  const std::string text = Parameter(environment, "sagemaker_use_mpi");
  if (text.empty() || text == "None") return false;
  if (const std::optional<bool> uses = ParseBool(text)) return *uses;
  throw ConfigError("sagemaker_use_mpi: found " + Quote(text) + ", wanted True or False");
}

}  // namespace

std::vector<std::string> SplitWords(std::string_view line, const std::string& where) {
  std::vector<std::string> words;
  bool in_word = false;
  char quote = 0;
  for (size_t at = 0; at < line.size(); ++at) {
    const char c = line[at];
    if (quote == 0 && (c == ' ' || c == '\t' || c == '\n')) {
      in_word = false;
      continue;
    }
    if (!in_word) words.emplace_back();
    in_word = true;
    if (c == quote) {
      quote = 0;
    } else if (quote == 0 && (c == '"' || c == '\'')) {
      quote = c;
    } else if (c == '\\' && quote != '\'' && at + 1 < line.size()) {
      words.back() += line[++at];
    } else {
      words.back() += c;
    }
  }
  if (quote == 0) return words;
  throw ConfigError(where + ": found " + Quote(std::string(line), 200) +
                    ", in which a quote does not end");
}

PlatformRanks RanksOfPlatform(const Environment& environment) {
  if (environment.processes > 1 || environment.hosts.size() > 1 || !UsesMpi(environment)) return {};
  const int slots = CountOf(environment, "sagemaker_process_slots_per_host",
                            std::max(1, environment.num_gpus.value_or(0)));
  const std::string name = "sagemaker_additional_mpi_options";
  return {.ranks = CountOf(environment, "sagemaker_num_processes", slots),
          .mpi_options = SplitWords(Parameter(environment, name), name)};
}

}  // namespace lockstep::tools
