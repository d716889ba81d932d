// Neighbouring elements that are loaded and stored at once.
#ifndef LOCKSTEP_KERNELS_MATH_PACK_H_
#define LOCKSTEP_KERNELS_MATH_PACK_H_

#include <cstdint>

#include "kernels/math/host_device.h"

namespace lockstep::math {

// The widest load and store of a GPU.
inline constexpr int kPackBytes = 16;

template <typename T>
inline constexpr int kPackElements = kPackBytes / static_cast<int>(sizeof(T));

template <typename T, int N>
struct alignas(N * sizeof(T)) Pack {
  T v[N];
};

template <int N, typename T>
LOCKSTEP_FORMULA Pack<T, N> LoadPack(const T* p) {
  return *reinterpret_cast<const Pack<T, N>*>(p);
}
template <int N, typename T>
LOCKSTEP_FORMULA void StorePack(T* p, const Pack<T, N>& pack) {
  *reinterpret_cast<Pack<T, N>*>(p) = pack;
}

// Whether every pointer may be read in packs; null is not read.
template <typename... Pointer>
LOCKSTEP_FORMULA bool ArePackAligned(const Pointer*... p) {
  return ((reinterpret_cast<uintptr_t>(p) % kPackBytes == 0) && ...);
}

}  // namespace lockstep::math

#endif  // LOCKSTEP_KERNELS_MATH_PACK_H_
