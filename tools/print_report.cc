#include "tools/print_report.h"

#include <algorithm>

#include "tools/text.h"

namespace lockstep::tools {
namespace {

constexpr size_t kMinWidth = 10;

std::string LeftAligned(std::string text, size_t width) {
  text.resize(std::max(text.size(), width), ' ');
  return text;
}

}  // namespace

std::vector<std::string> DefaultColumns() {
  return {"epoch",
          "main/loss",
          "validation/main/loss",
          "main/accuracy",
          "validation/main/accuracy",
          "elapsed_time"};
}

PrintReport::PrintReport(Console* console, std::vector<std::string> columns)
    : console_(console), columns_(std::move(columns)) {}

// Formats of chainer 7.8.1's print_report.py: "{:<WIDTHg}  " a value, WIDTH + 2 blanks where there
// is none.
void PrintReport::Print(const LogEntry& entry) {
  std::string text;
  if (!header_printed_) {
    for (const std::string& column : columns_) {
      text += (text.empty() ? "" : "  ") + LeftAligned(column, kMinWidth);
    }
    text += '\n';
    header_printed_ = true;
  }
  text += "\033[J";
  for (const std::string& column : columns_) {
    const LogValue* const number = entry.Find(column);
    const std::string value = number == nullptr ? "" : FormatG(AsDouble(*number));
    text += LeftAligned(value, std::max(kMinWidth, column.size())) + "  ";
  }
  console_->Write(text + "\n");
}

}  // namespace lockstep::tools
