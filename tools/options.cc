#include "tools/options.h"

#include <algorithm>

#include "kernels/error.h"
#include "tools/option_values.h"
#include "tools/text.h"

namespace lockstep::tools {
namespace {

// A guess takes a comparison with every option, and nobody reads more of them.
constexpr size_t kMostGuesses = 20;

// '-' and '_' are equal in names.
std::string Fold(std::string_view name) {
  std::string folded(name);
  std::replace(folded.begin(), folded.end(), '_', '-');
  return folded;
}

std::string Dashed(const std::string& name) { return (name.size() == 1 ? "-" : "--") + name; }

// argparse: what starts with '-' is an option unless it is "-", a number, or its name has a space.
bool LooksLikeOption(const std::string& argument) {
  if (argument.size() < 2 || argument[0] != '-') return false;
  return !ParseDouble(argument) &&
         argument.substr(0, argument.find('=')).find(' ') == std::string::npos;
}

// Levenshtein's distance; names are short.
size_t EditDistance(const std::string& a, const std::string& b) {
  std::vector<size_t> row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t change = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({change, row[j] + 1, row[j - 1] + 1});
    }
  }
  return row[b.size()];
}

}  // namespace

Options::Options(std::string program, std::string summary)
    : program_(std::move(program)), summary_(std::move(summary)) {}

Option& Options::Declare(const std::string& name, const std::string& help, std::string kind) {
  if (Find(Fold(name)) != nullptr) {
    throw Error(ExitCode::kBug, "option --" + name + " is declared twice");
  }
  Option& option = options_.emplace_back();
  option.names_ = {Fold(name)};
  option.help_ = help;
  option.group_ = group_;
  option.kind_ = std::move(kind);
  return option;
}

void Options::Group(const std::string& title) { group_ = title; }

void Options::Positional(const std::string& value_name, std::vector<std::string>* target) {
  positional_name_ = value_name;
  positional_ = target;
}

Option* Options::Find(const std::string& folded) {
  for (Option& option : options_) {
    const bool letter = folded.size() == 1 && option.letter_ == folded[0];
    if (letter || std::count(option.names_.begin(), option.names_.end(), folded) > 0) {
      return &option;
    }
  }
  return nullptr;
}

const Option& Options::At(const std::string& name) const {
  for (const Option& option : options_) {
    if (option.names_[0] == Fold(name)) return option;
  }
  throw Error(ExitCode::kBug, "option --" + name + " was never declared");
}

const std::string& Options::origin(const std::string& name) const { return At(name).origin_; }

void Options::Parse(std::span<const std::string> arguments,
                    std::span<const HyperparameterSet> hyperparameters) {
  group_ = "General";
  if (Find("strict") == nullptr) {
    Add("strict", &strict_,
        refuses_unknown_ ? "has no effect here: unknown options are refused"
                         : "refuse unknown options instead of listing them");
  }
  const auto last = std::find(arguments.begin(), arguments.end(), "--");
  const bool declared_h = Find("h") != nullptr;
  help_requested_ = std::any_of(arguments.begin(), last, [&](const std::string& argument) {
    return argument == "--help" || (argument == "-h" && !declared_h);
  });
  if (help_requested_) return;
  ParseArguments(arguments);
  for (const HyperparameterSet& set : hyperparameters) ParseHyperparameters(set);
  if ((strict_ || refuses_unknown_) && !unknown_.empty()) {
    throw ConfigError("unknown " + Join(unknown_, ", ") + "; see " + program_ + " --help" +
                      (refuses_unknown_ ? "" : ", or leave --strict away"));
  }
}

void Options::ParseArguments(std::span<const std::string> arguments) {
  size_t at = 0;
  while (at < arguments.size() && arguments[at] != "--") {
    if (LooksLikeOption(arguments[at])) {
      at = ParseOption(arguments, at);
    } else {
      AddPositional(arguments[at++]);
    }
  }
  for (++at; at < arguments.size(); ++at) AddPositional(arguments[at]);
}

void Options::AddPositional(const std::string& argument) {
  if (positional_ == nullptr) {
    AddUnknown(argument, "");
  } else {
    positional_->push_back(argument);
  }
}

size_t Options::ParseOption(std::span<const std::string> arguments, size_t at) {
  const std::string& argument = arguments[at++];
  const size_t dashes = argument[1] == '-' ? 2 : 1;
  const size_t equals = argument.find('=');
  const std::string name =
      Fold(argument.substr(dashes, equals == std::string::npos ? equals : equals - dashes));
  Option* option = Find(name);
  std::optional<std::string> value;
  if (equals != std::string::npos) value = argument.substr(equals + 1);
  if (option == nullptr && dashes == 1 && Find(name.substr(0, 1)) != nullptr) {
    option = Find(name.substr(0, 1));  // "-e5", for declared letters only
    value = argument.substr(2);
  }
  // What follows is the value, unless it is an option itself. Where arguments without a name mean
  // something, they are not given away to flags, nor to options nobody knows.
  const bool frugal = positional_ != nullptr && (option == nullptr || option->is_flag_);
  if (!value && at < arguments.size() && !LooksLikeOption(arguments[at]) &&
      (!frugal || arguments[at].empty() || (option != nullptr && ParseBool(arguments[at])))) {
    value = arguments[at++];
  }
  if (option == nullptr) {
    AddUnknown(argument.substr(0, equals), value.value_or(""));
  } else if (value || option->is_flag_) {
    Set(*option, value.value_or("True"), "argument");
    while (option->clear_ && positional_ == nullptr && at < arguments.size() &&
           arguments[at] != "--" && !LooksLikeOption(arguments[at])) {
      Set(*option, arguments[at++], "argument");
    }
  } else {
    throw ConfigError("option " + Dashed(option->names_[0]) + ": no value given, wanted " +
                      option->Wanted());
  }
  return at;
}

void Options::ParseHyperparameters(const HyperparameterSet& set) {
  for (const auto& [key, value] : set.values) {
    if (Option* const option = Find(Fold(key))) {
      Set(*option, value, set.source);
    } else {
      AddUnknown(Dashed(key), value);
    }
  }
}

void Options::Set(Option& option, const std::string& text, const std::string& origin) {
  if (Trim(text).empty()) return;
  if (!option.origin_.empty() && option.origin_ != origin) return;
  if (option.origin_.empty() && option.clear_) option.clear_();
  option.origin_ = origin;
  try {
    option.SetText(text);
  } catch (const ConfigError& error) {
    const std::string from = origin == "argument" ? "" : " (from " + origin + ")";
    throw ConfigError("option " + Dashed(option.names_[0]) + from + ": " + error.what());
  }
}

void Options::AddUnknown(const std::string& shown_name, const std::string& value) {
  const size_t dashes = shown_name.find_first_not_of('-');
  const std::string folded = Fold(shown_name.substr(dashes == std::string::npos ? 0 : dashes));
  if (!unknown_names_.insert(folded).second) return;
  std::string shown = OneLine(shown_name, 80);
  if (!value.empty()) shown += " " + OneLine(value, 80);
  const bool guesses = unknown_.size() < kMostGuesses;
  unknown_.push_back(guesses ? shown + Guess(folded) : shown);
}

std::string Options::Guess(const std::string& folded) const {
  for (const Option& option : options_) {
    for (const std::string& name : option.names_) {
      const size_t near = name.size() < 5 ? 1 : 2;
      const bool prefix = folded.size() >= 3 && name.starts_with(folded);
      if (folded.size() > 1 && (prefix || EditDistance(folded, name) <= near)) {
        return " (did you mean --" + name + "?)";
      }
    }
  }
  return "";
}

}  // namespace lockstep::tools
