#include "tools/option_values.h"

#include <charconv>
#include <cmath>
#include <string>

#include "tools/text.h"

namespace lockstep::tools {
namespace {

// from_chars takes no '+'; Python does.
std::string_view WithoutPlus(std::string_view text) {
  text = Trim(text);
  const bool plus = text.size() > 1 && text[0] == '+' && text[1] != '-';
  return plus ? text.substr(1) : text;
}

template <typename Number>
std::optional<Number> ParseAll(std::string_view text) {
  Number number{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return number;
}

// Doubles are exact integers up to here; beyond, "1e17" may not be what was meant.
constexpr double kExact = 9007199254740992.0;

}  // namespace

std::optional<int64_t> ParseInt(std::string_view text) {
  text = WithoutPlus(text);
  if (const auto whole = ParseAll<int64_t>(text)) return whole;
  const auto number = ParseAll<double>(text);
  // Not "20" with too many digits: that has overflowed.
  const bool integer = text.find_first_of(".eE") == std::string_view::npos;
  if (!number || integer || *number != std::trunc(*number) || std::fabs(*number) > kExact) {
    return std::nullopt;
  }
  return static_cast<int64_t>(*number);
}

std::optional<uint64_t> ParseUnsigned(std::string_view text) {
  if (const auto whole = ParseAll<uint64_t>(WithoutPlus(text))) return whole;
  const auto number = ParseInt(text);
  if (!number || *number < 0) return std::nullopt;
  return static_cast<uint64_t>(*number);
}

std::optional<double> ParseDouble(std::string_view text) {
  const auto number = ParseAll<double>(WithoutPlus(text));
  if (!number || !std::isfinite(*number)) return std::nullopt;
  return number;
}

std::optional<bool> ParseBool(std::string_view text) {
  std::string lower(Trim(text));
  for (char& c : lower) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  if (lower == "true" || lower == "1" || lower == "yes" || lower == "on") return true;
  if (lower == "false" || lower == "0" || lower == "no" || lower == "off") return false;
  return std::nullopt;
}

}  // namespace lockstep::tools
