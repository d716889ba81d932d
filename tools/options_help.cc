// The text of --help.
#include "tools/options.h"
#include "tools/text.h"

namespace lockstep::tools {
namespace {

constexpr size_t kHelpColumn = 32;
constexpr size_t kWidth = 100;

// `text` broken at spaces into lines that fit right of kHelpColumn; the first continues `head`.
std::string Wrapped(std::string head, std::string_view text) {
  std::string out = std::move(head);
  size_t column = out.size();
  const auto new_line = [&] {
    out += "\n" + std::string(kHelpColumn, ' ');
    column = kHelpColumn;
  };
  if (column >= kHelpColumn) {
    new_line();
  } else {
    out.append(kHelpColumn - column, ' ');
    column = kHelpColumn;
  }
  while (!(text = Trim(text)).empty()) {
    const std::string_view word = text.substr(0, text.find(' '));
    if (column > kHelpColumn && column + 1 + word.size() > kWidth) new_line();
    if (column > kHelpColumn) {
      out += ' ';
      ++column;
    }
    out += word;
    column += word.size();
    text.remove_prefix(word.size());
  }
  return out + "\n";
}

}  // namespace

std::string Options::Help() const {
  std::string out = summary_ + "\n\nUsage: " + program_ + " [options]";
  if (positional_ != nullptr) out += " " + positional_name_;
  out += "\n";
  std::string group;
  for (const Option& option : options_) {
    if (option.group_ != group) out += "\n" + option.group_ + ":\n";
    group = option.group_;
    std::string head = "  ";
    if (option.letter_ != 0) head += std::string("-") + option.letter_ + ", ";
    head += "--" + Join(option.names_, ", --");
    if (!option.value_name_.empty()) head += " " + option.value_name_;
    std::string text = option.help_;
    if (!option.choices_.empty()) text += ": " + Join(option.choices_, ", ");
    const bool shows_default =
        !option.default_text_.empty() && !(option.is_flag_ && option.default_text_ == "False");
    if (shows_default) text += " (default " + option.default_text_ + ")";
    out += Wrapped(std::move(head), text);
  }
  out +=
      "\nEvery option takes '-' or '_' in its name, '--name value' or '--name=value'; an empty "
      "value\nmeans \"not given\".";
  if (!refuses_unknown_) {
    out += " Options missing here are taken from SM_HPS, then from hyperparameters.json.";
  }
  return out + "\n";
}

}  // namespace lockstep::tools
