#include "tools/class_table.h"

#include <algorithm>
#include <span>

#include "tools/text.h"

namespace lockstep::tools {
namespace {

std::string Field(const std::string& text) {
  if (text.find_first_of(",\"") == std::string::npos) return text;
  std::string quoted = "\"";
  for (const char c : text) quoted += c == '"' ? std::string("\"\"") : std::string(1, c);
  return quoted + "\"";
}

}  // namespace

std::string ClassTable(const Tensor& probabilities, const std::vector<std::string>& names) {
  const std::span<const float> values = probabilities.values<float>();
  std::vector<std::string> fields;
  fields.reserve(names.size());
  for (const std::string& name : names) fields.push_back(Field(name));
  std::string text = "class,name,probability\n";
  for (size_t at = 0; at < values.size(); at += names.size()) {
    const std::span<const float> row = values.subspan(at, names.size());
    const auto best = std::max_element(row.begin(), row.end());
    const auto number = static_cast<size_t>(best - row.begin());
    text += std::to_string(number) + "," + fields[number] + "," +
            FormatG(static_cast<double>(*best)) + "\n";
  }
  return text;
}

}  // namespace lockstep::tools
