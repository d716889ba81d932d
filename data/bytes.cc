#include "data/bytes.h"

#include <sys/mman.h>

#include <cstdlib>
#include <cstring>
#include <limits>

#include "kernels/error.h"

namespace lockstep {
namespace {

constexpr size_t kAlignment = 64;
// Large blocks ask for huge pages: filling small ones for the first time took longer than reading
// the file into them (30 MB: 15 ms against 3).
constexpr size_t kHugePage = size_t{2} << 20;

void* Allocate(size_t size) {
  if (size > std::numeric_limits<size_t>::max() - kHugePage) return nullptr;
  const size_t alignment = size >= 2 * kHugePage ? kHugePage : kAlignment;
  const size_t padded = (size + alignment) / alignment * alignment;
  void* memory = std::aligned_alloc(alignment, padded);
  if (memory != nullptr && alignment == kHugePage) ::madvise(memory, padded, MADV_HUGEPAGE);
  return memory;
}

void AppendEscaped(char c, std::string* text) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  const auto byte = static_cast<uint8_t>(c);
  if (byte >= 0x20 && byte < 0x7F) {
    *text += c;
    return;
  }
  *text += "\\x";
  *text += kDigits[byte >> 4];
  *text += kDigits[byte & 15];
}

}  // namespace

Bytes::Bytes(size_t size) : size_(size) {
  void* memory = Allocate(size);
  if (memory == nullptr) {
    throw DeviceError("no memory for " + std::to_string(size) + " bytes of data");
  }
  owner_ = std::shared_ptr<void>(memory, std::free);
}

Bytes Bytes::Copy(std::span<const uint8_t> bytes) {
  Bytes copy(bytes.size());
  if (!bytes.empty()) std::memcpy(copy.data(), bytes.data(), bytes.size());
  return copy;
}

std::string Printable(std::string_view untrusted, size_t limit) {
  std::string text;
  const bool cut = untrusted.size() > limit;
  const size_t head = cut ? limit / 2 : untrusted.size();
  for (const char c : untrusted.substr(0, head)) AppendEscaped(c, &text);
  if (!cut) return text;
  text += "...";
  for (const char c : untrusted.substr(untrusted.size() - limit / 2)) AppendEscaped(c, &text);
  return text;
}

}  // namespace lockstep
