// From run-time choices (dtype) to maps and block algorithms of kernels/math.
//
// The kernel families of this folder are templates over a Stream, which runs them: on a GPU
// (launch.cuh), or on the host's threads in the tests, where the same text is proven without a GPU.
// A Stream has, each of them behind the work begun before:
//   ForEach(name, n, f)      f(i) for i in [0, n)
//   ForPacks(name, n, f)     f.Run<N>(i) over [0, n), N = 1 or a pack (kernels/math/maps.h)
//   ForBlocks(name, n, f)    f(block, b) for b in [0, n), each by a block (kernels/math/block.h)
//   Scratch(bytes)           memory of the device, valid until it is asked for again
//   Copy(from, to, bytes)    inside the device
//   Download(from, to, bytes)  to the host; waits
// Only Download waits and only Scratch may allocate, when more is asked for than ever before.
#ifndef LOCKSTEP_KERNELS_CUDA_DISPATCH_H_
#define LOCKSTEP_KERNELS_CUDA_DISPATCH_H_

#include <string>

#include "kernels/dtype.h"
#include "kernels/error.h"
#include "kernels/math/half.h"

namespace lockstep::cuda {

// fn(a zero of the dtype).
template <typename Fn>
decltype(auto) WithType(DType dtype, Fn&& fn) {
  switch (dtype) {
    case DType::kFloat32:
      return fn(float{});
    case DType::kFloat64:
      return fn(double{});
    default:
      throw Error(ExitCode::kBug, "cuda kernel called with dtype " + std::string(Name(dtype)) +
                                      ", wanted float32 or float64");
  }
}

// The same for floats of 16 bits.
template <typename Fn>
decltype(auto) WithHalf(DType dtype, Fn&& fn) {
  switch (dtype) {
    case DType::kFloat16:
      return fn(math::Half{});
    case DType::kBfloat16:
      return fn(math::Bfloat16{});
    default:
      throw Error(ExitCode::kBug, "cuda kernel called with dtype " + std::string(Name(dtype)) +
                                      ", wanted float16 or bfloat16");
  }
}

// The same for all floats.
template <typename Fn>
void WithAnyFloat(DType dtype, Fn&& fn) {
  if (IsHalf(dtype)) return WithHalf(dtype, fn);
  WithType(dtype, fn);
}

template <typename T>
const T* As(const void* p, T) {
  return static_cast<const T*>(p);
}
template <typename T>
T* As(void* p, T) {
  return static_cast<T*>(p);
}

}  // namespace lockstep::cuda

#endif  // LOCKSTEP_KERNELS_CUDA_DISPATCH_H_
