#include "engine/text.h"

#include <array>
#include <charconv>

namespace lockstep {

std::string Text(double value) {
  std::array<char, 32> buffer{};
  const auto result = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value);
  return {buffer.data(), result.ptr};
}

}  // namespace lockstep
