#include "engine/train/crc32c.h"

#include <gtest/gtest.h>

#include <cstring>
#include <numeric>
#include <string>
#include <vector>

namespace lockstep {
namespace {

std::vector<std::byte> Bytes(const std::string& text) {
  const auto bytes = std::as_bytes(std::span(text));
  return {bytes.begin(), bytes.end()};
}

std::vector<std::byte> Rising(int first, int step) {
  std::vector<std::byte> bytes(32);
  for (size_t i = 0; i < bytes.size(); ++i) {
    bytes[i] = static_cast<std::byte>(first + step * static_cast<int>(i));
  }
  return bytes;
}

// RFC 3720, appendix B.4, and the customary check value.
TEST(Crc32c, GivesTheKnownAnswers) {
  const std::vector<std::byte> scsi_read = {std::byte{0x01},
                                            std::byte{0xc0},
                                            {},
                                            {},
                                            {},
                                            {},
                                            {},
                                            {},
                                            {},
                                            {},
                                            {},
                                            {},
                                            {},
                                            {},
                                            {},
                                            {},
                                            std::byte{0x14},
                                            {},
                                            {},
                                            {},
                                            {},
                                            {},
                                            std::byte{0x04},
                                            {},
                                            {},
                                            {},
                                            {},
                                            std::byte{0x14},
                                            {},
                                            {},
                                            {},
                                            std::byte{0x18},
                                            std::byte{0x28},
                                            {},
                                            {},
                                            {},
                                            {},
                                            {},
                                            {},
                                            {},
                                            std::byte{0x02},
                                            {},
                                            {},
                                            {},
                                            {},
                                            {},
                                            {},
                                            {}};
  const std::vector<std::pair<std::vector<std::byte>, uint32_t>> cases = {
      {{}, 0},
      {Bytes("123456789"), 0xe3069283},
      {std::vector<std::byte>(32), 0x8a9136aa},
      {std::vector<std::byte>(32, std::byte{0xff}), 0x62a8ab43},
      {Rising(0, 1), 0x46dd794e},
      {Rising(31, -1), 0x113fdb5c},
      {scsi_read, 0xd9963a56}};
  for (const auto& [data, sum] : cases) {
    EXPECT_EQ(Crc32c(data), sum);
    EXPECT_EQ(internal::Crc32cByTable(data, 0), sum);
  }
}

TEST(Crc32c, InstructionAndTableAgreeAtEveryLengthAndAlignment) {
  std::vector<std::byte> data(100);
  for (size_t i = 0; i < data.size(); ++i) data[i] = static_cast<std::byte>(i * 197 + 11);
  for (size_t begin = 0; begin < 9; ++begin) {
    for (size_t size = 0; size + begin <= data.size(); ++size) {
      const std::span part(data.data() + begin, size);
      EXPECT_EQ(Crc32c(part, 0x12345678), internal::Crc32cByTable(part, 0x12345678));
    }
  }
}

TEST(Crc32c, GoesOnWhereAnEarlierSumStopped) {
  const std::vector<std::byte> data = Bytes("the quick brown fox jumps over the lazy dog");
  for (size_t cut = 0; cut <= data.size(); ++cut) {
    const std::span all(data);
    EXPECT_EQ(Crc32c(all.subspan(cut), Crc32c(all.first(cut))), Crc32c(all));
  }
}

}  // namespace
}  // namespace lockstep
