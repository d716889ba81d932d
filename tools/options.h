// A program's options: from argv, then from the platform's hyperparameters, then their defaults.
//
// The parsing is our own, not CLI11's, because it must agree with Python's
// argparse.parse_known_args on what the SageMaker toolkit produces: every option has a value
// ("--shuffle True"), empty values mean "not given", "-1e-05" is a value, '-' and '_' are equal in
// names, options nobody declared come with values too, and the same options arrive a second time
// as JSON. Abbreviated names are not accepted.
#ifndef LOCKSTEP_TOOLS_OPTIONS_H_
#define LOCKSTEP_TOOLS_OPTIONS_H_

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "tools/environment.h"

namespace lockstep::tools {

// One declared option. The calls refine it and return it, to be chained.
class Option {
 public:
  Option& Min(double least);    // numbers: least <= value
  Option& Above(double bound);  // numbers: bound < value
  Option& Max(double most);     // numbers: value <= most
  Option& Below(double bound);  // numbers: value < bound
  Option& OneOf(std::vector<std::string> values);
  Option& Short(char letter);             // "-e 5"
  Option& Alias(std::string name);        // "--lr" for "--learning-rate"
  Option& ValueName(std::string name);    // "FILE" in the help
  Option& DefaultText(std::string text);  // the default in the help, where "" says too little

 private:
  friend class Options;

  template <typename T>
  bool Accepts(const T& value) const;
  std::string Wanted() const;  // "a whole number from 1 up"
  void SetText(const std::string& text);

  std::vector<std::string> names_;  // folded; the first is shown
  std::string help_;
  std::string group_;
  std::string value_name_;
  std::string default_text_;
  std::string kind_;  // "a whole number"
  char letter_ = 0;
  bool is_flag_ = false;  // may stand without a value
  std::optional<double> min_, above_, max_, below_;
  std::vector<std::string> choices_;
  std::function<bool(const Option&, const std::string& text)> set_;  // false: not understood
  std::function<void()> clear_;  // of lists and maps, before the first value
  std::string origin_;           // "" while it has its default
};

// Declares options bound to variables, whose values at that moment are the defaults; then Parse()
// sets the variables. They must outlive the Options.
//
//   Options options("lockstep train", "Trains a network on channel data.");
//   options.Add("epochs", &epochs, "passes over the training data").Min(1);
//   options.Parse({argv + 2, argv + argc}, environment.hyperparameters);
class Options {
 public:
  Options(std::string program, std::string summary);

  // Target: bool, int, int64_t, uint64_t, double, std::string, std::optional of one of them, a
  // vector of int64_t, double or std::string, or a map<string, string>. Repeating a list or map
  // option in argv adds to it.
  template <typename Target>
  Option& Add(const std::string& name, Target* target, const std::string& help);

  // Headline for the options that follow, in the help.
  void Group(const std::string& title);
  // Arguments without a name. Without this call they count as unknown.
  void Positional(const std::string& value_name, std::vector<std::string>* target);

  // For what people call and no platform: unknown options are an error, --strict or not.
  void RefuseUnknown() { refuses_unknown_ = true; }

  // Throws ConfigError naming option, value, origin and what is accepted. Declares --help and
  // --strict by itself; with --strict, unknown options are an error too. A list takes several
  // values, as argparse's nargs='+', where arguments without a name mean nothing else.
  void Parse(std::span<const std::string> arguments,
             std::span<const HyperparameterSet> hyperparameters = {});

  bool help_requested() const { return help_requested_; }
  std::string Help() const;

  // Options nobody declared, as "--name value", each once and with a guess where one is near:
  // "--epoch 5 (did you mean --epochs?)". To be listed in the log.
  const std::vector<std::string>& unknown() const { return unknown_; }

  // "argument", "SM_HPS", a file, or "" where the default holds.
  const std::string& origin(const std::string& name) const;
  bool given(const std::string& name) const { return !origin(name).empty(); }

 private:
  Option& Declare(const std::string& name, const std::string& help, std::string kind);
  const Option& At(const std::string& name) const;
  Option* Find(const std::string& folded);
  void ParseArguments(std::span<const std::string> arguments);
  // Parses the option at arguments[at] and returns the index behind it and its value.
  size_t ParseOption(std::span<const std::string> arguments, size_t at);
  void AddPositional(const std::string& argument);
  void ParseHyperparameters(const HyperparameterSet& set);
  // Sets an option unless the text is empty or an earlier origin has set it.
  void Set(Option& option, const std::string& text, const std::string& origin);
  void AddUnknown(const std::string& shown_name, const std::string& value);
  std::string Guess(const std::string& folded) const;

  std::string program_;
  std::string summary_;
  std::string group_ = "Options";
  std::deque<Option> options_;  // addresses stay
  std::string positional_name_;
  std::vector<std::string>* positional_ = nullptr;
  std::vector<std::string> unknown_;
  std::set<std::string> unknown_names_;
  bool help_requested_ = false;
  bool strict_ = false;
  bool refuses_unknown_ = false;
};

}  // namespace lockstep::tools

#endif  // LOCKSTEP_TOOLS_OPTIONS_H_
