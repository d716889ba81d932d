// IDX files, the format of MNIST and Fashion-MNIST.
#ifndef LOCKSTEP_DATA_IDX_H_
#define LOCKSTEP_DATA_IDX_H_

#include <string>

#include "data/bytes.h"
#include "engine/tensor/tensor.h"

namespace lockstep {

// The array of an IDX file. FormatError (65) unless magic, type, extents and size agree exactly;
// int8 and int16 become int32.
Tensor ParseIdx(const Bytes& bytes, const std::string& name);

// Reads a file, gzipped or not (told by its first bytes, not its name).
Tensor ReadIdx(const std::string& path);

}  // namespace lockstep

#endif  // LOCKSTEP_DATA_IDX_H_
