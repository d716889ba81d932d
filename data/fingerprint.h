// A number that tells contents of data sets apart.
#ifndef LOCKSTEP_DATA_FINGERPRINT_H_
#define LOCKSTEP_DATA_FINGERPRINT_H_

#include <cstdint>

#include "engine/tensor/tensor.h"

namespace lockstep {

// Of the tensor's dtype, shape and elements, behind `before`. Kept in checkpoints: it is the same
// on any number of threads, in every build and for ever. Against mistakes, not against forgers.
//
// The elements' bytes are cut into blocks of 256 KiB. Each block's CRC-32C is joined to a 64-bit
// state, first come dtype and extents: state = Mix(state ^ word) with the finaliser of SplitMix64,
// a bijection, so that no block of a difference is forgotten.
uint64_t Fingerprint(const Tensor& tensor, uint64_t before = 0);

}  // namespace lockstep

#endif  // LOCKSTEP_DATA_FINGERPRINT_H_
