// A CIFAR-10 batch (https://www.cs.toronto.edu/~kriz/cifar.html): records of 3,073 bytes, one label
// and then the picture's three planes of 32 x 32.
#include "data/cifar.h"

#include <cstring>

#include "data/damage.h"
#include "data/input_file.h"

namespace lockstep {
namespace {

constexpr int64_t kPixels = 3 * 32 * 32;
constexpr int64_t kRecord = 1 + kPixels;
constexpr int kClasses = 10;

void CheckSize(uint64_t size, const std::string& name) {
  if (size > 0 && size % static_cast<uint64_t>(kRecord) == 0) return;
  throw DamagedFile(name + ": " + std::to_string(size) + " bytes are not CIFAR-10 records of " +
                    std::to_string(kRecord) + " bytes");
}

}  // namespace

CifarBatch ParseCifar10(const Bytes& bytes, const std::string& name) {
  CheckSize(bytes.size(), name);
  const int64_t rows = static_cast<int64_t>(bytes.size()) / kRecord;
  CifarBatch batch{Tensor(DType::kUint8, {rows, 3, 32, 32}), Tensor(DType::kInt32, {rows})};
  uint8_t* pictures = batch.pictures.values<uint8_t>().data();
  const std::span<int32_t> labels = batch.labels.values<int32_t>();
  for (int64_t row = 0; row < rows; ++row) {
    const uint8_t* record = bytes.data() + row * kRecord;
    if (record[0] >= kClasses) {
      throw DamagedFile(name + " row " + std::to_string(row) + ": label " +
                        std::to_string(record[0]) + " is outside 0..9");
    }
    labels[static_cast<size_t>(row)] = record[0];
    std::memcpy(pictures + row * kPixels, record + 1, kPixels);
  }
  return batch;
}

CifarBatch ReadCifar10(const std::string& path) {
  const InputFile file = InputFile::Open(path);
  CheckSize(file.size(), path);
  return ParseCifar10(file.ReadAll(), path);
}

}  // namespace lockstep
