#include "engine/text.h"

#include <array>
#include <charconv>
#include <cinttypes>
#include <cmath>
#include <cstdio>

namespace lockstep {

std::string Text(double value) {
  if (std::isnan(value)) return "nan";  // its sign says nothing
  std::array<char, 32> buffer{};
  const auto result = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value);
  return {buffer.data(), result.ptr};
}

std::string Counted(int64_t count, const std::string& one, const std::string& many) {
  const std::string& several = many.empty() ? one + "s" : many;
  return std::to_string(count) + " " + (count == 1 ? one : several);
}

std::string Hexadecimal(uint64_t value) {
  char text[17];
  std::snprintf(text, sizeof text, "%016" PRIx64, value);
  return text;
}

}  // namespace lockstep
