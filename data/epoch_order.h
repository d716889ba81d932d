// The order of samples.
#ifndef LOCKSTEP_DATA_EPOCH_ORDER_H_
#define LOCKSTEP_DATA_EPOCH_ORDER_H_

#include <cstddef>
#include <cstdint>
#include <vector>

namespace lockstep {

// The order in which an epoch uses the samples 0 .. size-1: an unbiased permutation, a function of
// (seed, epoch, size, part) alone, the same on every machine. Parts of one data set that are put in
// order apart have numbers.
std::vector<int64_t> EpochOrder(uint64_t seed, int64_t epoch, int64_t size, int part = 0);

}  // namespace lockstep

#endif  // LOCKSTEP_DATA_EPOCH_ORDER_H_
