// Text as the platform's Python programs write it, and untrusted text made safe to show.
#ifndef LOCKSTEP_TOOLS_TEXT_H_
#define LOCKSTEP_TOOLS_TEXT_H_

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

namespace lockstep::tools {

// Python's repr(float): the shortest digits that read back as the same double, "1.0", "1e-05",
// "1e+16", "inf", "nan".
std::string PythonFloat(double value);

// Python's and C's "%g": `digits` significant digits, no trailing zeros; any locale.
std::string FormatG(double value, int digits = 6);

// A share from 0 to 1 in whole percent: "100 %" and "0 %" only of 1 and 0 themselves.
std::string PercentText(double share);

// Bytes that came from outside, in single quotes: control characters, quotes, backslashes and
// bytes that are not UTF-8 become escapes, and what exceeds `limit` bytes becomes "...".
std::string Quote(std::string_view bytes, size_t limit = 80);

// One line of valid UTF-8 of at most `limit` bytes: line breaks become spaces, other control
// characters and stray bytes escapes.
std::string OneLine(std::string_view text, size_t limit = 1024);

std::string Join(std::span<const std::string> parts, std::string_view separator);

std::string_view Trim(std::string_view text);

}  // namespace lockstep::tools

#endif  // LOCKSTEP_TOOLS_TEXT_H_
