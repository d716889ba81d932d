// CIFAR-10's binary batches.
#ifndef LOCKSTEP_DATA_CIFAR_H_
#define LOCKSTEP_DATA_CIFAR_H_

#include <string>

#include "data/bytes.h"
#include "engine/tensor/tensor.h"

namespace lockstep {

struct CifarBatch {
  Tensor pictures;  // (n, 3, 32, 32) uint8, planes red green blue
  Tensor labels;    // (n,) int32, 0 to 9
};

// The records of a file; FormatError (65) when the size is no multiple of a record or a label is
// above 9.
CifarBatch ParseCifar10(const Bytes& bytes, const std::string& name);
// Reads data_batch_<i>.bin or test_batch.bin; a size that is no multiple of a record is refused
// unread.
CifarBatch ReadCifar10(const std::string& path);

}  // namespace lockstep

#endif  // LOCKSTEP_DATA_CIFAR_H_
