// An element of a matrix with many zeros. Included by files compiled for several instruction sets,
// so nothing here has a function body.
#ifndef LOCKSTEP_KERNELS_CPU_GEMM_NONZERO_H_
#define LOCKSTEP_KERNELS_CPU_GEMM_NONZERO_H_

#include <cstdint>
#include <type_traits>

namespace lockstep::cpu::gemm {

// The element, and where what it is multiplied with starts, in elements.
template <typename T>
struct Nonzero {
  T value;
  std::conditional_t<sizeof(T) == 4, uint32_t, uint64_t> row;
};

}  // namespace lockstep::cpu::gemm

#endif  // LOCKSTEP_KERNELS_CPU_GEMM_NONZERO_H_
