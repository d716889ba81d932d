// Python literals into Values: the subset that str() of lists and dicts of plain values prints.
#include <charconv>
#include <cmath>

#include "kernels/error.h"
#include "tools/text.h"
#include "tools/value.h"

namespace lockstep::tools {
namespace {

constexpr int kMaxDepth = 32;

void AppendUtf8(uint32_t code, std::string& out) {
  const auto byte = [&](uint32_t value) { out += static_cast<char>(value); };
  if (code < 0x80) {
    byte(code);
  } else if (code < 0x800) {
    byte(0xC0 | code >> 6);
    byte(0x80 | (code & 63));
  } else if (code < 0x10000) {
    byte(0xE0 | code >> 12);
    byte(0x80 | (code >> 6 & 63));
    byte(0x80 | (code & 63));
  } else {
    byte(0xF0 | code >> 18);
    byte(0x80 | (code >> 12 & 63));
    byte(0x80 | (code >> 6 & 63));
    byte(0x80 | (code & 63));
  }
}

class PythonParser {
 public:
  PythonParser(std::string_view text, const std::string& where) : text_(text), where_(where) {}

  Value ParseAll() {
    Value value = ParseValue(0);
    SkipSpace();
    if (at_ != text_.size()) Fail("nothing more");
    return value;
  }

 private:
  [[noreturn]] void Fail(const std::string& wanted) const {
    const std::string found = at_ >= text_.size() ? "the end" : Quote(text_.substr(at_), 24);
    throw ConfigError(where_ + ": found " + found + " at character " + std::to_string(at_ + 1) +
                      " of " + Quote(text_) + ", wanted " + wanted);
  }

  void SkipSpace() {
    while (at_ < text_.size() && Trim(text_.substr(at_, 1)).empty()) ++at_;
  }

  char Peek() {
    SkipSpace();
    return at_ < text_.size() ? text_[at_] : '\0';
  }

  bool Take(char c) {
    if (Peek() != c) return false;
    ++at_;
    return true;
  }

  Value ParseValue(int depth) {
    if (depth > kMaxDepth) Fail("at most " + std::to_string(kMaxDepth) + " levels of brackets");
    switch (Peek()) {
      case '[':
        return ParseList(']', depth);
      case '(':
        return ParseList(')', depth);
      case '{':
        return ParseMap(depth);
      case '\'':
      case '"':
        return {.kind = Value::Kind::kString, .text = ParseString()};
      default:
        return ParseWord();
    }
  }

  Value ParseList(char close, int depth) {
    ++at_;
    Value list{.kind = Value::Kind::kList};
    while (!Take(close)) {
      list.items.push_back(ParseValue(depth + 1));
      if (!Take(',') && Peek() != close) Fail(std::string("',' or '") + close + "'");
    }
    return list;
  }

  Value ParseMap(int depth) {
    ++at_;
    Value map{.kind = Value::Kind::kMap};
    while (!Take('}')) {
      map.keys.push_back(PythonStr(ParseValue(depth + 1)));
      if (!Take(':')) Fail("':'");
      map.items.push_back(ParseValue(depth + 1));
      if (!Take(',') && Peek() != '}') Fail("',' or '}'");
    }
    return map;
  }

  std::string ParseString() {
    const char quote = text_[at_++];
    std::string out;
    while (at_ < text_.size() && text_[at_] != quote) {
      const char c = text_[at_++];
      if (c == '\\') {
        ParseEscape(out);
      } else {
        out += c;
      }
    }
    if (at_ == text_.size()) Fail(std::string("a closing ") + quote);
    ++at_;
    return out;
  }

  void ParseEscape(std::string& out) {
    if (at_ == text_.size()) Fail("an escape");
    const char c = text_[at_++];
    switch (c) {
      case 'n':
        out += '\n';
        break;
      case 'r':
        out += '\r';
        break;
      case 't':
        out += '\t';
        break;
      case 'b':
        out += '\b';
        break;
      case 'f':
        out += '\f';
        break;
      case 'x':
        AppendUtf8(ParseHex(2), out);
        break;
      case 'u':
        AppendUtf8(ParseHex(4), out);
        break;
      case 'U':
        AppendUtf8(ParseHex(8), out);
        break;
      default:
        out += c;
    }
  }

  uint32_t ParseHex(size_t digits) {
    uint32_t code = 0;
    const std::string_view hex = text_.substr(at_, digits);
    const auto end = std::from_chars(hex.data(), hex.data() + hex.size(), code, 16).ptr;
    if (hex.size() != digits || end != hex.data() + digits || code > 0x10FFFF) {
      Fail(std::to_string(digits) + " hexadecimal digits");
    }
    at_ += digits;
    return code;
  }

  Value ParseWord() {
    const size_t start = at_;
    while (at_ < text_.size() &&
           (std::isalnum(static_cast<unsigned char>(text_[at_])) != 0 ||
            std::string_view("+-._").find(text_[at_]) != std::string_view::npos)) {
      ++at_;
    }
    const std::string word(text_.substr(start, at_ - start));
    if (word == "None" || word == "null") return {};
    if (word == "True" || word == "true") return {.kind = Value::Kind::kBool, .text = "True"};
    if (word == "False" || word == "false") return {.kind = Value::Kind::kBool, .text = "False"};
    double number;
    const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), number);
    if (word.empty() || error != std::errc() || end != word.data() + word.size()) {
      at_ = start;
      Fail("a number, True, False, None, a quoted string or a bracket");
    }
    const bool integer = word.find_first_not_of("-0123456789") == std::string::npos;
    return {.kind = Value::Kind::kNumber, .text = integer ? word : PythonFloat(number)};
  }

  std::string_view text_;
  const std::string& where_;
  size_t at_ = 0;
};

}  // namespace

Value ParsePython(std::string_view text, const std::string& where) {
  return PythonParser(text, where).ParseAll();
}

}  // namespace lockstep::tools
