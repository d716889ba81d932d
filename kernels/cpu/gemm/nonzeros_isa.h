// Sums over the elements of an operand that are not zero; include from files compiled once per
// instruction set only.
#ifndef LOCKSTEP_KERNELS_CPU_GEMM_NONZEROS_ISA_H_
#define LOCKSTEP_KERNELS_CPU_GEMM_NONZEROS_ISA_H_

#include <cstdint>

#include "kernels/cpu/gemm/nonzero.h"
#include "kernels/cpu/gemm/tile_isa.h"

namespace lockstep::cpu::LOCKSTEP_ISA {
namespace {

using gemm::Nonzero;

// Vectors whose sums stay in registers.
constexpr int kStripVectors = 13;
template <typename T>
constexpr int kStripColumns = kStripVectors* kLanes<T>;

template <typename T>
using Bits = decltype(Nonzero<T>::row);

template <typename T>
int64_t CountNonzeros(const T* values, int64_t size) {
  int64_t count = 0;
  for (int64_t i = 0; i < size; ++i) count += values[i] != T{0} ? 1 : 0;
  return count;
}

inline void StoreNonzero(uint32_t bits, uint32_t row, Nonzero<float>* to) {
  const uint64_t both = bits | uint64_t{row} << 32;
  __builtin_memcpy(to, &both, sizeof(both));
}

inline void StoreNonzero(uint64_t bits, uint64_t row, Nonzero<double>* to) {
  __builtin_memcpy(&to->value, &bits, sizeof(bits));
  to->row = row;
}

// Lists values[i] where it is neither 0 nor -0, with row(i); `to` has room for all. Returns the
// list's end.
template <typename T, typename Row>
Nonzero<T>* ListNonzeros(const T* values, int64_t size, const Row& row, Nonzero<T>* to) {
  for (int64_t i = 0; i < size; ++i) {
    Bits<T> bits;
    __builtin_memcpy(&bits, values + i, sizeof(T));
    StoreNonzero(bits, static_cast<Bits<T>>(row(i)), to);
    to += (bits << 1) != 0 ? 1 : 0;  // written anyway: no branch to guess
  }
  return to;
}

// to = from + sum over [element, end) of value * strip[its row ...]; from zero where `from` is
// null. A sum that underflowed to -0 becomes the dense product's +0.
template <typename T, int kVectors>
void AddNonzeros(const Nonzero<T>* element, const Nonzero<T>* end, const T* strip, const T* from,
                 T* to) {
  using V = Vector<T>;
  V sum[kVectors];
  if (from == nullptr) {
#pragma GCC unroll 16
    for (int v = 0; v < kVectors; ++v) sum[v] = V{};
  } else {
#pragma GCC unroll 16
    for (int v = 0; v < kVectors; ++v) sum[v] = *reinterpret_cast<const V*>(from + v * kLanes<T>);
  }
  for (; element < end; ++element) {
    const T scale = element->value;
    const T* b = strip + element->row;
#pragma GCC unroll 16
    for (int v = 0; v < kVectors; ++v) {
      sum[v] += *reinterpret_cast<const V*>(b + v * kLanes<T>) * scale;
    }
  }
#pragma GCC unroll 16
  for (int v = 0; v < kVectors; ++v) *reinterpret_cast<V*>(to + v * kLanes<T>) = sum[v] + V{};
}

template <typename T>
using AddNonzerosFunction = void (*)(const Nonzero<T>*, const Nonzero<T>*, const T*, const T*, T*);

template <typename T>
AddNonzerosFunction<T> AddNonzerosOf(int vectors) {
  static constexpr AddNonzerosFunction<T> kFunctions[kStripVectors] = {
      AddNonzeros<T, 1>,  AddNonzeros<T, 2>,  AddNonzeros<T, 3>,  AddNonzeros<T, 4>,
      AddNonzeros<T, 5>,  AddNonzeros<T, 6>,  AddNonzeros<T, 7>,  AddNonzeros<T, 8>,
      AddNonzeros<T, 9>,  AddNonzeros<T, 10>, AddNonzeros<T, 11>, AddNonzeros<T, 12>,
      AddNonzeros<T, 13>,
  };
  return kFunctions[vectors - 1];
}

}  // namespace
}  // namespace lockstep::cpu::LOCKSTEP_ISA

#endif  // LOCKSTEP_KERNELS_CPU_GEMM_NONZEROS_ISA_H_
