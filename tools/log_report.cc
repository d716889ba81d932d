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

std::string JsonNumber(const LogNumber& number) {
  if (const auto* whole = std::get_if<int64_t>(&number)) return std::to_string(*whole);
  const double value = std::get<double>(number);
  return std::isfinite(value) ? PythonFloat(value) : "null";  // JSON has no other word for it
}

LogNumber ReadNumber(const Value& value, const std::string& where) {
  const std::string& text = value.text;
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  if (value.kind == Value::Kind::kNone) return std::nan("");
  if (value.kind == Value::Kind::kNumber) {
    if (text == "nan") return std::nan("");
    if (text == "inf" || text == "-inf") return text[0] == '-' ? -kInfinity : kInfinity;
    const bool whole = text.find_first_of(".eE") == std::string::npos;
    if (const auto number = ParseInt(text); whole && number) return *number;
    if (const auto number = ParseDouble(text)) return *number;
  }
  throw ConfigError(where + ": found " + Quote(PythonStr(value)) + " in the log, wanted a number");
}

}  // namespace

const LogNumber* LogEntry::Find(std::string_view name) const {
  const auto found = std::find_if(values.begin(), values.end(),
                                  [&](const auto& value) { return value.first == name; });
  return found == values.end() ? nullptr : &found->second;
}

double AsDouble(const LogNumber& number) {
  return std::visit([](auto value) { return static_cast<double>(value); }, number);
}

std::string LogJson(std::span<const LogEntry> entries) {
  std::string json;
  for (const LogEntry& entry : entries) {
    json += json.empty() ? "[\n    {" : ",\n    {";
    bool first = true;
    for (const auto& [name, number] : entry.values) {
      const std::string key =
          nlohmann::json(name).dump(-1, ' ', true, nlohmann::json::error_handler_t::replace);
      json += (first ? "\n        " : ",\n        ") + key + ": " + JsonNumber(number);
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
      entry.Add(item.keys[i], ReadNumber(item.items[i], where));
    }
  }
  return entries;
}

void LogReport::Append(LogEntry entry) {
  entries_.push_back(std::move(entry));
  Publish(path_, LogJson(entries_));
}

}  // namespace lockstep::tools
