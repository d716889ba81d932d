#include "tools/value.h"

#include <algorithm>

#include "kernels/error.h"
#include "tools/text.h"

namespace lockstep::tools {
namespace {

// Python's repr(str), for text that is valid UTF-8.
std::string Repr(const std::string& text) {
  const bool double_quotes =
      text.find('\'') != std::string::npos && text.find('"') == std::string::npos;
  const char quote = double_quotes ? '"' : '\'';
  constexpr char kDigits[] = "0123456789abcdef";
  std::string out(1, quote);
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == quote || c == '\\') {
      out += {'\\', c};
    } else if (c == '\n' || c == '\r' || c == '\t') {
      out += {'\\', c == '\n' ? 'n' : c == '\r' ? 'r' : 't'};
    } else if (byte < 0x20 || byte == 0x7F) {
      out += {'\\', 'x', kDigits[byte >> 4], kDigits[byte & 15]};
    } else {
      out += c;
    }
  }
  return out + quote;
}

// Recursion is bounded by the nesting the parsers accept.
std::string PythonRepr(const Value& value) {
  std::string out;
  switch (value.kind) {
    case Value::Kind::kNone:
      return "None";
    case Value::Kind::kBool:
    case Value::Kind::kNumber:
      return value.text;
    case Value::Kind::kString:
      return Repr(value.text);
    case Value::Kind::kList:
      for (const Value& item : value.items) out += (out.empty() ? "" : ", ") + PythonRepr(item);
      return "[" + out + "]";
    case Value::Kind::kMap:
      for (size_t i = 0; i < value.items.size(); ++i) {
        out += (i == 0 ? "" : ", ") + Repr(value.keys[i]) + ": " + PythonRepr(value.items[i]);
      }
      return "{" + out + "}";
  }
  return out;
}

// Cuts at commas that lie in no brackets and no quotes.
std::vector<std::string_view> SplitTopLevel(std::string_view text) {
  std::vector<std::string_view> parts;
  int depth = 0;
  char quote = 0;
  size_t start = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (quote != 0) {
      if (c == '\\') ++i;
      if (c == quote) quote = 0;
    } else if (c == '\'' || c == '"') {
      quote = c;
    } else if (c == '[' || c == '(' || c == '{') {
      ++depth;
    } else if (c == ']' || c == ')' || c == '}') {
      --depth;
    } else if (c == ',' && depth == 0) {
      parts.push_back(Trim(text.substr(start, i - start)));
      start = i + 1;
    }
  }
  if (!Trim(text.substr(std::min(start, text.size()))).empty()) {
    parts.push_back(Trim(text.substr(start)));
  }
  return parts;
}

}  // namespace

const Value* Value::Find(std::string_view key) const {
  const auto found = std::find(keys.begin(), keys.end(), key);
  return found == keys.end() ? nullptr : &items[static_cast<size_t>(found - keys.begin())];
}

std::string PythonStr(const Value& value) {
  if (value.kind == Value::Kind::kNone) return "";
  return value.kind == Value::Kind::kString ? value.text : PythonRepr(value);
}

std::string ArgumentText(const Value& value) {
  if (value.kind != Value::Kind::kMap) return PythonStr(value);
  std::string out;
  for (size_t i = 0; i < value.items.size(); ++i) {
    out += (i == 0 ? "" : ",") + value.keys[i] + "=" + PythonStr(value.items[i]);
  }
  return out;
}

std::vector<std::string> ParseListText(std::string_view text, const std::string& where) {
  text = Trim(text);
  std::vector<std::string> elements;
  if (!text.empty() && (text[0] == '[' || text[0] == '(')) {
    for (const Value& item : ParsePython(text, where).items) elements.push_back(PythonStr(item));
    return elements;
  }
  for (const std::string_view part : SplitTopLevel(text)) elements.emplace_back(part);
  return elements;
}

std::vector<std::pair<std::string, std::string>> ParseMapText(std::string_view text,
                                                              const std::string& where) {
  text = Trim(text);
  std::vector<std::pair<std::string, std::string>> members;
  if (!text.empty() && text[0] == '{') {
    const Value map = ParsePython(text, where);
    for (size_t i = 0; i < map.items.size(); ++i) {
      members.emplace_back(map.keys[i], PythonStr(map.items[i]));
    }
    return members;
  }
  for (const std::string_view part : SplitTopLevel(text)) {
    const size_t equals = part.find('=');
    if (equals == std::string_view::npos || equals == 0) {
      throw ConfigError(where + ": found " + Quote(part) + ", wanted name=value[,name=value...]");
    }
    members.emplace_back(Trim(part.substr(0, equals)), Trim(part.substr(equals + 1)));
  }
  return members;
}

}  // namespace lockstep::tools
