// Vectors as wide as the instruction set this file is compiled for. Only for kernels/cpu/isa/*.cc:
// everything here is always inlined, so nothing is shared between instruction sets.
#ifndef LOCKSTEP_KERNELS_CPU_ISA_VEC_H_
#define LOCKSTEP_KERNELS_CPU_ISA_VEC_H_

#include <immintrin.h>

#include <cstdint>

#include "kernels/math/host_device.h"

#ifdef __clang__
#define LOCKSTEP_INDEPENDENT _Pragma("clang loop vectorize(assume_safety)")
// Neither inlined nor copied for arguments that are known.
#define LOCKSTEP_ONE_FUNCTION __attribute__((noinline))
#else
// Iterations do not depend on each other: outputs may be the inputs themselves.
#define LOCKSTEP_INDEPENDENT _Pragma("GCC ivdep")
#define LOCKSTEP_ONE_FUNCTION __attribute__((noipa))
#endif

namespace lockstep::cpu::LOCKSTEP_ISA {

#if defined(LOCKSTEP_ISA_avx512)
inline constexpr int kVecBytes = 64;
#elif defined(LOCKSTEP_ISA_avx2)
inline constexpr int kVecBytes = 32;
#else
inline constexpr int kVecBytes = 16;
#endif

template <typename T>
struct VecOf {
  typedef T Type __attribute__((vector_size(kVecBytes)));
};
template <typename T>
using Vec = typename VecOf<T>::Type;
template <typename T>
inline constexpr int64_t kLanes = kVecBytes / static_cast<int64_t>(sizeof(T));

// What is left behind whole vectors is often this.
template <typename T>
struct FourOf {
  typedef T Type __attribute__((vector_size(4 * sizeof(T))));
};
template <typename T>
using Four = typename FourOf<T>::Type;

// V is T itself or Vec<T>: loops over vectors and their tails share one text.
template <typename V, typename T>
LOCKSTEP_FORMULA V Load(const T* p) {
  V v;
  __builtin_memcpy(&v, p, sizeof(V));
  return v;
}
template <typename V, typename T>
LOCKSTEP_FORMULA void Store(T* p, V v) {
  __builtin_memcpy(p, &v, sizeof(V));
}
template <typename V, typename T>
LOCKSTEP_FORMULA V Broadcast(T x) {
  return V{} + x;
}

// The products of the low 32 bits of each 64-bit lane.
using U64 = Vec<uint64_t>;
LOCKSTEP_FORMULA U64 MulLow32(U64 a, U64 b) {
#if defined(LOCKSTEP_ISA_avx512)
  // With a mask of ones: g++ 12 warns about the plain intrinsic's own code (GCC bug 105593).
  return reinterpret_cast<U64>(
      _mm512_maskz_mul_epu32(0xFF, reinterpret_cast<__m512i>(a), reinterpret_cast<__m512i>(b)));
#elif defined(LOCKSTEP_ISA_avx2)
  return reinterpret_cast<U64>(
      _mm256_mul_epu32(reinterpret_cast<__m256i>(a), reinterpret_cast<__m256i>(b)));
#else
  return reinterpret_cast<U64>(
      _mm_mul_epu32(reinterpret_cast<__m128i>(a), reinterpret_cast<__m128i>(b)));
#endif
}

}  // namespace lockstep::cpu::LOCKSTEP_ISA

#endif  // LOCKSTEP_KERNELS_CPU_ISA_VEC_H_
