// The `lockstep` program: picks the verb, and turns whatever fails into one line and an exit code.
#include <algorithm>
#include <array>
#include <cstdio>
#include <exception>
#include <span>
#include <string>
#include <vector>

#include "comm/world.h"
#include "kernels/error.h"
#include "tools/console.h"
#include "tools/failure.h"
#include "tools/rank_failure.h"
#include "tools/signals.h"
#include "tools/spinning.h"
#include "tools/text.h"
#include "tools/verbs.h"

namespace lockstep::tools {
namespace {

struct Verb {
  const char* name;
  const char* summary;
  int (*run)(std::span<const std::string> arguments, StopSignals& signals);
};

// A verb of one process, which needs no signals. Several would all do the same.
template <int (*kRun)(std::span<const std::string>)>
int Alone(std::span<const std::string> arguments, StopSignals& signals) {
  if (LaunchedRanks() == 1) return kRun(arguments);
  signals.Catch();
  Failure failure{.text = "this verb runs in one process, but a launcher has started " +
                          std::to_string(LaunchedRanks()) + "; start it without the launcher",
                  .code = ExitCode::kUsage};
  LetTheFirstSay(signals, &failure);
  throw Error(failure.code, failure.text);
}

constexpr std::array<Verb, 4> kVerbs{{
    {"train", "train a network on channel data", RunTrain},
    {"predict", "run a trained model on arrays or a channel", Alone<RunPredict>},
    {"inspect", "describe a model file, a checkpoint or a plan", Alone<RunInspect>},
    {"bench", "measure training steps, kernels, sums over ranks, or reading", RunBench},
}};

std::string Usage() {
  std::string text = "usage: lockstep VERB [options]     (lockstep VERB --help)\n";
  for (const Verb& verb : kVerbs) {
    std::string name = std::string("  ") + verb.name;
    name.resize(12, ' ');
    text += name + verb.summary + "\n";
  }
  return text;
}

// An empty text was said by another process of the job.
int Fail(const Failure& failure) {
  if (!failure.text.empty()) Console(2).Write("lockstep: " + OneLine(failure.text) + "\n");
  return static_cast<int>(failure.code);
}

const Verb* FindVerb(const std::string& name) {
  const auto found = std::find_if(kVerbs.begin(), kVerbs.end(),
                                  [&](const Verb& verb) { return name == verb.name; });
  return found == kVerbs.end() ? nullptr : &*found;
}

// A container's entry point is called by its file name alone: a copy of the program, or a link to
// it, that is named after a verb is that verb.
int Dispatch(const std::string& program, std::span<const std::string> arguments,
             StopSignals& signals) {
  const std::string base = program.substr(program.find_last_of('/') + 1);
  if (const Verb* verb = FindVerb(base)) return verb->run(arguments, signals);
  const std::string name = arguments.empty() ? "" : arguments.front();
  if (name == "--version") {
    PrintResult("lockstep " LOCKSTEP_VERSION "\n");
    return 0;
  }
  if (name == "--help" || name == "-h" || name == "help") {
    PrintResult(Usage());
    return 0;
  }
  if (const Verb* verb = FindVerb(name)) return verb->run(arguments.subspan(1), signals);
  const std::string found = name.empty() ? "no verb given" : "unknown verb " + Quote(name);
  throw ConfigError(found + "; known: train, predict, inspect, bench");
}

}  // namespace
}  // namespace lockstep::tools

int main(int argc, char** argv) {
  namespace tools = lockstep::tools;
  tools::BoundSpinning(argv);
  tools::EnsureStandardDescriptors();
  try {
    // Never destroyed: a signal that comes while the process ends must not change its exit code.
    static auto& signals = *new tools::StopSignals;
    const std::vector<std::string> arguments(argv + (argc > 0 ? 1 : 0), argv + argc);
    return tools::Dispatch(argc > 0 ? argv[0] : "", arguments, signals);
  } catch (...) {
    return tools::Fail(lockstep::DescribeFailure(std::current_exception()));
  }
}
