// Elements that any rank can make for any other, and what they must be reduced to.
#ifndef LOCKSTEP_TESTS_COMM_VALUES_H_
#define LOCKSTEP_TESTS_COMM_VALUES_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "comm/communicator.h"

namespace lockstep::testing {

using Bytes = std::vector<std::byte>;

constexpr WireType kWireTypes[] = {WireType::kFloat32,  WireType::kFloat64, WireType::kFloat16,
                                   WireType::kBfloat16, WireType::kInt32,   WireType::kInt64,
                                   WireType::kUint8};
constexpr ReduceOp kReduceOps[] = {ReduceOp::kSum, ReduceOp::kMin, ReduceOp::kMax};

uint64_t Mix(uint64_t a, uint64_t b);

// `count` elements of `rank`, a function of the seed.
Bytes ValuesOf(WireType type, uint64_t seed, int rank, int64_t count);

// The values of ranks 0 ... size - 1, reduced one after the other by a loop of a few lines.
Bytes SeriallyReduced(WireType type, ReduceOp op, uint64_t seed, int size, int64_t count);

// The element as a double, to compare with a tolerance.
double ElementAt(WireType type, const std::byte* data, int64_t index);

// How far the sum of `size` values made by ValuesOf may lie from the exact one.
double SumTolerance(WireType type, int size);

}  // namespace lockstep::testing

#endif  // LOCKSTEP_TESTS_COMM_VALUES_H_
