#include "engine/text.h"

#include <array>
#include <charconv>
#include <cmath>

namespace lockstep {

std::string Text(double value) {
  if (std::isnan(value)) return "nan";  // its sign says nothing
  std::array<char, 32> buffer{};
  const auto result = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value);
  return {buffer.data(), result.ptr};
}

}  // namespace lockstep
