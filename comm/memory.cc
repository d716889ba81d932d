#include "comm/memory.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <string>

#include "kernels/error.h"

namespace lockstep {

std::shared_ptr<std::byte> AllocateZeroed(size_t bytes) {
  constexpr size_t kLine = 64;
  const size_t rounded = (std::max<size_t>(bytes, 1) + kLine - 1) / kLine * kLine;
  void* memory = rounded < bytes ? nullptr : std::aligned_alloc(kLine, rounded);
  if (memory == nullptr) {
    throw DeviceError("no memory for a buffer of " + std::to_string(bytes) +
                      " bytes that ranks exchange; use a smaller model or a larger machine");
  }
  std::memset(memory, 0, rounded);
  return {static_cast<std::byte*>(memory), [](std::byte* p) { std::free(p); }};
}

}  // namespace lockstep
