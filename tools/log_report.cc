#include "tools/log_report.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "engine/train/publish.h"
#include "kernels/error.h"
#include "tools/option_values.h"
#include "tools/text.h"
#include "tools/value.h"

namespace lockstep::tools {
namespace {

std::string JsonText(const std::string& text) {
  return nlohmann::json(text).dump(-1, ' ', true, nlohmann::json::error_handler_t::replace);
}

std::string JsonValue(const LogValue& number) {
  if (const auto* text = std::get_if<std::string>(&number)) return JsonText(*text);
  if (const auto* whole = std::get_if<int64_t>(&number)) return std::to_string(*whole);
  const double value = std::get<double>(number);
  return std::isfinite(value) ? PythonFloat(value) : "null";  // JSON has no other word for it
}

LogValue ReadValue(const Value& value, const std::string& where) {
  const std::string& text = value.text;
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  if (value.kind == Value::Kind::kNone) return std::nan("");
  if (value.kind == Value::Kind::kString) return text;
  if (value.kind == Value::Kind::kNumber) {
    if (text == "nan") return std::nan("");
    if (text == "inf" || text == "-inf") return text[0] == '-' ? -kInfinity : kInfinity;
    const bool whole = text.find_first_of(".eE") == std::string::npos;
    if (const auto number = ParseInt(text); whole && number) return *number;
    if (const auto number = ParseDouble(text)) return *number;
  }
  throw ConfigError(where + ": found " + Quote(PythonStr(value)) +
                    " in the log, wanted a number or text");
}

}  // namespace

const LogValue* LogEntry::Find(std::string_view name) const {
  const auto found = std::find_if(values.begin(), values.end(),
                                  [&](const auto& value) { return value.first == name; });
  return found == values.end() ? nullptr : &found->second;
}

double AsDouble(const LogValue& value) {
  if (std::holds_alternative<std::string>(value)) return std::nan("");
  const auto* whole = std::get_if<int64_t>(&value);
  return whole != nullptr ? static_cast<double>(*whole) : std::get<double>(value);
}

std::string LogJson(std::span<const LogEntry> entries) {
  std::string json;
  for (const LogEntry& entry : entries) {
    json += json.empty() ? "[\n    {" : ",\n    {";
    bool first = true;
    for (const auto& [name, value] : entry.values) {
      json += (first ? "\n        " : ",\n        ") + JsonText(name) + ": " + JsonValue(value);
      first = false;
    }
    json += first ? "}" : "\n    }";
  }
  return json.empty() ? "[]" : json + "\n]";
}

std::vector<LogEntry> ParseLog(std::string_view json, const std::string& where) {
  // Python's literals include the NaN and Infinity that json.dump writes and JSON does not have.
  const Value log = ParsePython(json, where);
  if (log.kind != Value::Kind::kList) throw ConfigError(where + ": the log is not a list");
  std::vector<LogEntry> entries;
  for (const Value& item : log.items) {
    if (item.kind != Value::Kind::kMap) throw ConfigError(where + ": a log entry is not a map");
    LogEntry& entry = entries.emplace_back();
    for (size_t i = 0; i < item.items.size(); ++i) {
      entry.Add(item.keys[i], ReadValue(item.items[i], where));
    }
  }
  return entries;
}

void LogReport::Append(LogEntry entry) {
  entries_.push_back(std::move(entry));
  Publish(path_, LogJson(entries_));
}

}  // namespace lockstep::tools
