#include "engine/train/crc32c.h"

#include <array>
#include <cstring>

#if defined(__x86_64__)
#include <nmmintrin.h>
#endif

namespace lockstep {
namespace {

constexpr uint32_t kPolynomial = 0x82f63b78;  // 0x1edc6f41, least significant bit first

// table[k][b]: the sum of byte b followed by k zero bytes ("slicing by 8").
using Tables = std::array<std::array<uint32_t, 256>, 8>;

constexpr Tables MakeTables() {
  Tables table{};
  for (uint32_t b = 0; b < 256; ++b) {
    uint32_t crc = b;
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ (crc & 1 ? kPolynomial : 0);
    table[0][b] = crc;
  }
  for (size_t k = 1; k < table.size(); ++k) {
    for (size_t b = 0; b < 256; ++b) {
      table[k][b] = (table[k - 1][b] >> 8) ^ table[0][table[k - 1][b] & 0xff];
    }
  }
  return table;
}

constexpr Tables kTables = MakeTables();

uint64_t Load64(const std::byte* from) {
  uint64_t word;
  std::memcpy(&word, from, sizeof(word));
  return word;
}

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) uint32_t ByInstruction(std::span<const std::byte> data,
                                                         uint32_t crc) {
  const std::byte* p = data.data();
  size_t left = data.size();
  uint64_t sum = crc ^ 0xffffffffU;
  for (; left >= 8; left -= 8, p += 8) sum = _mm_crc32_u64(sum, Load64(p));
  auto low = static_cast<uint32_t>(sum);
  for (; left > 0; --left, ++p) low = _mm_crc32_u8(low, std::to_integer<uint8_t>(*p));
  return low ^ 0xffffffffU;
}
#endif

}  // namespace

uint32_t internal::Crc32cByTable(std::span<const std::byte> data, uint32_t crc) {
  const std::byte* p = data.data();
  size_t left = data.size();
  uint32_t sum = crc ^ 0xffffffffU;
  for (; left >= 8; left -= 8, p += 8) {
    const uint64_t word = Load64(p) ^ sum;
    sum = 0;
    for (size_t k = 0; k < 8; ++k) sum ^= kTables[7 - k][(word >> (8 * k)) & 0xff];
  }
  for (; left > 0; --left, ++p) {
    sum = (sum >> 8) ^ kTables[0][(sum ^ std::to_integer<uint32_t>(*p)) & 0xff];
  }
  return sum ^ 0xffffffffU;
}

uint32_t Crc32c(std::span<const std::byte> data, uint32_t crc) {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("sse4.2")) return ByInstruction(data, crc);
#endif
  return internal::Crc32cByTable(data, crc);
}

}  // namespace lockstep
