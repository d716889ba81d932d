// Element types of buffers, files and arithmetic.
#ifndef LOCKSTEP_KERNELS_DTYPE_H_
#define LOCKSTEP_KERNELS_DTYPE_H_

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace lockstep {

// Files and arrays of the host have none of the 16-bit floats: a plan computes in them.
enum class DType : uint8_t { kFloat32, kFloat64, kInt32, kInt64, kUint8, kFloat16, kBfloat16 };

constexpr size_t SizeOf(DType dtype) {
  switch (dtype) {
    case DType::kFloat32:
    case DType::kInt32:
      return 4;
    case DType::kFloat64:
    case DType::kInt64:
      return 8;
    case DType::kUint8:
      return 1;
    case DType::kFloat16:
    case DType::kBfloat16:
      return 2;
  }
  return 0;
}

constexpr std::string_view Name(DType dtype) {
  switch (dtype) {
    case DType::kFloat32:
      return "float32";
    case DType::kFloat64:
      return "float64";
    case DType::kInt32:
      return "int32";
    case DType::kInt64:
      return "int64";
    case DType::kUint8:
      return "uint8";
    case DType::kFloat16:
      return "float16";
    case DType::kBfloat16:
      return "bfloat16";
  }
  return "?";
}

// A float of 16 bits.
constexpr bool IsHalf(DType dtype) { return dtype == DType::kFloat16 || dtype == DType::kBfloat16; }

constexpr bool IsFloating(DType dtype) {
  return dtype == DType::kFloat32 || dtype == DType::kFloat64 || IsHalf(dtype);
}

// What sums over elements of a floating dtype are kept in, and so gradients of weights: float32 of
// 16 bits, else the dtype itself. Parameters, their gradients and statistics have no 16 bits.
constexpr DType AccumulatorOf(DType dtype) { return IsHalf(dtype) ? DType::kFloat32 : dtype; }

template <typename T>
constexpr DType DTypeOf();
template <>
constexpr DType DTypeOf<float>() {
  return DType::kFloat32;
}
template <>
constexpr DType DTypeOf<double>() {
  return DType::kFloat64;
}
template <>
constexpr DType DTypeOf<int32_t>() {
  return DType::kInt32;
}
template <>
constexpr DType DTypeOf<int64_t>() {
  return DType::kInt64;
}
template <>
constexpr DType DTypeOf<uint8_t>() {
  return DType::kUint8;
}

}  // namespace lockstep

#endif  // LOCKSTEP_KERNELS_DTYPE_H_
