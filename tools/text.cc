#include "tools/text.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

namespace lockstep::tools {
namespace {

// The length of the UTF-8 character at text[0], or 0 when the bytes are not one. Overlong forms,
// surrogates and values over U+10FFFF are not (RFC 3629); neither is U+0080..U+009F, the C1
// controls that terminals obey.
size_t CharacterLength(std::string_view text) {
  const auto at = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char lead = at(0);
  if (lead < 0x80) return 1;
  const size_t length = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
  if (lead < 0xC2 || lead > 0xF4 || text.size() < length) return 0;
  for (size_t i = 1; i < length; ++i) {
    if ((at(i) & 0xC0) != 0x80) return 0;
  }
  const unsigned char second = at(1);
  const bool bad = (lead == 0xC2 && second < 0xA0) || (lead == 0xE0 && second < 0xA0) ||
                   (lead == 0xED && second >= 0xA0) || (lead == 0xF0 && second < 0x90) ||
                   (lead == 0xF4 && second >= 0x90);
  return bad ? 0 : length;
}

std::string HexEscape(char c) {
  constexpr char kDigits[] = "0123456789abcdef";
  const auto byte = static_cast<unsigned char>(c);
  return {'\\', 'x', kDigits[byte >> 4], kDigits[byte & 15]};
}

bool IsControl(char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7F; }

// The next character of `text`, safe to show; moves `text` behind it.
std::string NextShown(std::string_view& text, bool quoted) {
  const size_t length = CharacterLength(text);
  const char c = text[0];
  std::string shown;
  if (length == 0 || (IsControl(c) && c != '\n' && c != '\r' && c != '\t')) {
    shown = HexEscape(c);
  } else if (quoted && (c == '\'' || c == '\\')) {
    shown = {'\\', c};
  } else if (quoted && (c == '\n' || c == '\r' || c == '\t')) {
    shown = {'\\', c == '\n' ? 'n' : c == '\r' ? 'r' : 't'};
  } else if (c == '\n' || c == '\r' || c == '\t') {
    shown = " ";
  } else {
    shown = text.substr(0, length);
  }
  text.remove_prefix(length == 0 ? 1 : length);
  return shown;
}

// All of `text` where it fits into `limit` bytes, else what fits with "..." behind it.
std::string Show(std::string_view text, size_t limit, bool quoted) {
  constexpr std::string_view kMore = "...";
  std::string all;
  size_t fits = 0;  // the longest prefix that leaves room for kMore
  while (!text.empty()) {
    all += NextShown(text, quoted);
    if (all.size() + kMore.size() <= limit) fits = all.size();
    if (all.size() > limit) return all.substr(0, fits).append(kMore, 0, limit - fits);
  }
  return all;
}

}  // namespace

std::string PythonFloat(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value < 0 ? "-inf" : "inf";
  std::array<char, 40> buffer;
  const double magnitude = std::fabs(value);
  // float_repr_style "short": exponents from -4 to 15 are written out.
  const bool fixed = magnitude == 0 || (magnitude >= 1e-4 && magnitude < 1e16);
  const auto end = std::to_chars(buffer.begin(), buffer.end(), value,
                                 fixed ? std::chars_format::fixed : std::chars_format::scientific)
                       .ptr;
  std::string text(buffer.begin(), end);
  if (fixed && text.find('.') == std::string::npos) text += ".0";
  return text;
}

std::string FormatG(double value, int digits) {
  if (std::isnan(value)) return "nan";
  std::array<char, 64> buffer;
  const auto end = std::to_chars(buffer.begin(), buffer.end(), value, std::chars_format::general,
                                 std::min(digits, 40))
                       .ptr;
  return {buffer.begin(), end};
}

std::string PercentText(double share) {
  long percent = std::lround(share * 100);
  if (share > 0 && share < 1) percent = std::clamp(percent, 1L, 99L);
  return std::to_string(percent) + " %";
}

std::string Quote(std::string_view bytes, size_t limit) {
  return "'" + Show(bytes, limit, true) + "'";
}

std::string OneLine(std::string_view text, size_t limit) { return Show(Trim(text), limit, false); }

std::string Join(std::span<const std::string> parts, std::string_view separator) {
  std::string joined;
  for (const std::string& part : parts) {
    if (!joined.empty()) joined += separator;
    joined += part;
  }
  return joined;
}

std::string_view Trim(std::string_view text) {
  constexpr std::string_view kSpace = " \t\r\n\f\v";
  const size_t first = text.find_first_not_of(kSpace);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kSpace) - first + 1);
}

}  // namespace lockstep::tools
