// CRC-32C (Castagnoli), the checksum of checkpoints and of TFRecord and iSCSI (RFC 3720, B.4).
#ifndef LOCKSTEP_ENGINE_TRAIN_CRC32C_H_
#define LOCKSTEP_ENGINE_TRAIN_CRC32C_H_

#include <cstddef>
#include <cstdint>
#include <span>

namespace lockstep {

// The sum of `data`; with `crc` the sum of earlier bytes, that of both in a row. 0 for no bytes.
// Uses the processor's crc32 instruction where it has one.
uint32_t Crc32c(std::span<const std::byte> data, uint32_t crc = 0);

namespace internal {
// The same without the instruction.
uint32_t Crc32cByTable(std::span<const std::byte> data, uint32_t crc);
}  // namespace internal

}  // namespace lockstep

#endif  // LOCKSTEP_ENGINE_TRAIN_CRC32C_H_
