// SHA-256 (FIPS 180-4).
#ifndef LOCKSTEP_MODELS_SHA256_H_
#define LOCKSTEP_MODELS_SHA256_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>

namespace lockstep {

class Sha256 {
 public:
  void Update(const void* data, size_t bytes);
  // 64 hexadecimal digits of everything so far; nothing may follow.
  std::string Finish();

 private:
  void Compress(const uint8_t* block);

  std::array<uint32_t, 8> state_{0x6A09E667, 0xBB67AE85, 0x3C6EF372, 0xA54FF53A,
                                 0x510E527F, 0x9B05688C, 0x1F83D9AB, 0x5BE0CD19};
  std::array<uint8_t, 64> block_{};
  uint64_t size_ = 0;
};

}  // namespace lockstep

#endif  // LOCKSTEP_MODELS_SHA256_H_
