// JSON into Values. nlohmann's SAX interface rather than its DOM: the DOM turns integers over 64
// bits into doubles, and hyperparameters such as 12345678901234567890123 must keep their digits.
#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>

#include "kernels/error.h"
#include "tools/text.h"
#include "tools/value.h"

namespace lockstep::tools {
namespace {

constexpr size_t kMaxDepth = 32;

class ValueBuilder : public nlohmann::json_sax<nlohmann::json> {
 public:
  Value Take() { return std::move(root_); }
  size_t error_position() const { return error_position_; }
  bool too_deep() const { return too_deep_; }

  bool null() override { return Add({}); }
  bool boolean(bool value) override {
    return Add({.kind = Value::Kind::kBool, .text = value ? "True" : "False"});
  }
  bool number_integer(number_integer_t value) override { return Number(std::to_string(value)); }
  bool number_unsigned(number_unsigned_t value) override { return Number(std::to_string(value)); }
  bool number_float(number_float_t value, const string_t& digits) override {
    const bool integer = digits.find_first_of(".eE") == std::string::npos;
    return Number(integer ? digits : PythonFloat(value));
  }
  bool string(string_t& value) override {
    return Add({.kind = Value::Kind::kString, .text = std::move(value)});
  }
  bool binary(binary_t&) override { return false; }
  bool start_object(size_t) override { return Open(Value::Kind::kMap); }
  bool start_array(size_t) override { return Open(Value::Kind::kList); }
  bool end_object() override { return Close(); }
  bool end_array() override { return Close(); }
  bool key(string_t& key) override {
    open_.back().key = std::move(key);
    return true;
  }
  bool parse_error(size_t position, const std::string&,
                   const nlohmann::detail::exception&) override {
    error_position_ = position;
    return false;
  }

 private:
  struct Container {
    Value value;
    std::string key;                      // of the member that comes next
    std::map<std::string, size_t> index;  // of keys seen, so that the last of equal ones wins
  };

  bool Number(std::string text) {
    return Add({.kind = Value::Kind::kNumber, .text = std::move(text)});
  }

  bool Open(Value::Kind kind) {
    too_deep_ = open_.size() == kMaxDepth;
    if (too_deep_) return false;
    open_.emplace_back().value.kind = kind;
    return true;
  }

  bool Close() {
    Value done = std::move(open_.back().value);
    open_.pop_back();
    return Add(std::move(done));
  }

  bool Add(Value value) {
    if (open_.empty()) {
      root_ = std::move(value);
      return true;
    }
    Container& parent = open_.back();
    if (parent.value.kind == Value::Kind::kMap) {
      const auto [at, added] = parent.index.emplace(parent.key, parent.value.items.size());
      if (!added) {
        parent.value.items[at->second] = std::move(value);
        return true;
      }
      parent.value.keys.push_back(std::move(parent.key));
    }
    parent.value.items.push_back(std::move(value));
    return true;
  }

  Value root_;
  std::vector<Container> open_;
  size_t error_position_ = 0;
  bool too_deep_ = false;
};

// "byte 17 (line 2, column 3), near '...'"; `position` counts from 1.
std::string Place(std::string_view json, size_t position) {
  const size_t at = std::min(position == 0 ? 0 : position - 1, json.size());
  const std::string_view before = json.substr(0, at);
  const size_t line_start =
      before.rfind('\n') == std::string_view::npos ? 0 : before.rfind('\n') + 1;
  const auto line = 1 + std::count(before.begin(), before.end(), '\n');
  const std::string near =
      at == json.size() ? "where it ends" : "at " + Quote(json.substr(at, 200), 24);
  return "byte " + std::to_string(at) + " (line " + std::to_string(line) + ", column " +
         std::to_string(at - line_start + 1) + "), " + near;
}

}  // namespace

Value ParseJson(std::string_view json, const std::string& where) {
  // The parser takes a NUL as the end.
  if (const size_t nul = json.find('\0'); nul != json.npos) {
    throw ConfigError(where + ": malformed JSON, a NUL at " + Place(json, nul + 1));
  }
  ValueBuilder builder;
  if (nlohmann::json::sax_parse(json.begin(), json.end(), &builder)) return builder.Take();
  if (builder.too_deep()) {
    throw ConfigError(where + ": JSON nested more than " + std::to_string(kMaxDepth) + " deep");
  }
  throw ConfigError(where + ": malformed JSON, " + Place(json, builder.error_position()));
}

std::optional<Value> TryParseJson(std::string_view json) {
  ValueBuilder builder;
  if (json.find('\0') != json.npos) return std::nullopt;
  if (!nlohmann::json::sax_parse(json.begin(), json.end(), &builder)) return std::nullopt;
  return builder.Take();
}

}  // namespace lockstep::tools
