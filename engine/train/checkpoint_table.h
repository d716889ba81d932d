// The header of a checkpoint file: everything but the elements of the arrays.
//
// Little endian throughout; [n] bytes each:
//   [8] magic 93 'L' 'S' 'C' 0d 0a 1a 0a
//   [4] version, 1        [4] zero
//   [8] bytes of the file
//   [8] H, bytes of this header, a multiple of 64
//   [4] number of values  [4] number of arrays
//   values, names rising bytewise:
//     [2] bytes of the name, the name, [1] type
//     type 1: [8] int64;  2: [8] IEEE double;  3: [4] bytes of the text, the text
//   arrays, names rising bytewise:
//     [2] bytes of the name, the name, [1] dtype, [1] dimensions, [8] each extent,
//     [8] offset in the file, [8] bytes, [4] CRC-32C of the elements
//     dtype 1 float32, 2 float64, 3 int32, 4 int64, 5 uint8; row major
//   zeros up to H - 4
//   [4] CRC-32C of the H - 4 bytes before
// The first array starts at H, each next at the next multiple of 64 behind the one before, with
// zeros between; the file ends with the last element. Every byte is thus either checked by a sum
// or known beforehand.
//
// The first 32 bytes and the sum at H - 4 keep their meaning in all versions, so that a newer file
// can be told from a damaged one.
#ifndef LOCKSTEP_ENGINE_TRAIN_CHECKPOINT_TABLE_H_
#define LOCKSTEP_ENGINE_TRAIN_CHECKPOINT_TABLE_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "engine/tensor/tensor.h"
#include "engine/train/checkpoint_contents.h"
#include "kernels/error.h"

namespace lockstep {

constexpr uint32_t kCheckpointVersion = 1;
constexpr size_t kCheckpointPrefixBytes = 32;  // what tells the size of the header
constexpr uint64_t kCheckpointAlignment = 64;
constexpr size_t kCheckpointSumBytes = sizeof(uint32_t);  // at the end of the header

// A sound file of a later version of this program; not a reason to fall back to an older one.
class NewerVersionError : public FormatError {
 public:
  using FormatError::FormatError;
};

struct CheckpointArray {
  std::string name;
  TensorType type;
  uint64_t offset = 0;
  uint64_t bytes = 0;
  uint32_t crc32c = 0;
};

struct CheckpointTable {
  uint64_t file_bytes = 0;
  uint64_t header_bytes = 0;
  // Of the header; since the header holds the sums of the arrays, this names the whole content.
  uint32_t crc32c = 0;
  std::map<std::string, CheckpointValue> values;
  std::vector<CheckpointArray> arrays;
};

// Places and sums the arrays of `contents`. Throws FormatError for a name or text that is too
// long.
CheckpointTable MakeCheckpointTable(const CheckpointContents& contents);
// The header's bytes; sets table->crc32c.
std::vector<std::byte> EncodeCheckpointTable(CheckpointTable* table);

// Checks the first 32 bytes against the size of the file and returns the size of the header.
// `name` is the file's, for messages. Throws FormatError.
uint64_t CheckpointHeaderBytes(std::span<const std::byte> prefix, uint64_t file_bytes,
                               const std::string& name);
// Throws FormatError unless the sum at the end of a header of `header_bytes` is that of the rest.
void CheckHeaderSum(uint32_t stored, uint32_t found, uint64_t header_bytes,
                    const std::string& name);
// Reads a whole header. Throws FormatError naming the byte; NewerVersionError.
CheckpointTable DecodeCheckpointTable(std::span<const std::byte> header, const std::string& name);

}  // namespace lockstep

#endif  // LOCKSTEP_ENGINE_TRAIN_CHECKPOINT_TABLE_H_
