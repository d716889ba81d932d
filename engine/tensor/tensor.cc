#include "engine/tensor/tensor.h"

#include <cstdlib>
#include <cstring>
#include <utility>

#include "kernels/error.h"

namespace lockstep {
namespace {

constexpr size_t kAlignment = 64;

[[noreturn]] void ThrowHalf() {
  throw Error(ExitCode::kBug, "arrays of the host hold no 16-bit floats");
}

template <typename From, typename To>
void CastValues(std::span<const From> from, std::span<To> to) {
  for (size_t i = 0; i < from.size(); ++i) to[i] = static_cast<To>(from[i]);
}

template <typename From>
void CastFrom(const Tensor& from, Tensor* to) {
  switch (to->dtype()) {
    case DType::kFloat32:
      return CastValues(from.values<From>(), to->values<float>());
    case DType::kFloat64:
      return CastValues(from.values<From>(), to->values<double>());
    case DType::kInt32:
      return CastValues(from.values<From>(), to->values<int32_t>());
    case DType::kInt64:
      return CastValues(from.values<From>(), to->values<int64_t>());
    case DType::kUint8:
      return CastValues(from.values<From>(), to->values<uint8_t>());
    case DType::kFloat16:
    case DType::kBfloat16:
      ThrowHalf();
  }
}

}  // namespace

Tensor::Tensor(DType dtype, Shape shape) : dtype_(dtype), shape_(shape) {
  const size_t padded = (bytes() + kAlignment) / kAlignment * kAlignment;
  owner_ = std::shared_ptr<void>(std::aligned_alloc(kAlignment, padded), std::free);
  if (!owner_) {
    throw DeviceError("no memory for a tensor of shape " + shape.ToString() + ": " +
                      std::to_string(padded) + " bytes");
  }
  data_ = owner_.get();
  std::memset(data_, 0, padded);
}

Tensor Tensor::Wrap(DType dtype, Shape shape, void* data, std::shared_ptr<void> owner) {
  Tensor tensor;
  tensor.dtype_ = dtype;
  tensor.shape_ = shape;
  tensor.data_ = data;
  tensor.owner_ = std::move(owner);
  return tensor;
}

Tensor Tensor::Clone() const {
  Tensor copy(dtype_, shape_);
  if (bytes() > 0) std::memcpy(copy.data_, data_, bytes());
  return copy;
}

Tensor Tensor::Cast(DType dtype) const {
  if (dtype == dtype_) return *this;
  Tensor to(dtype, shape_);
  switch (dtype_) {
    case DType::kFloat32:
      CastFrom<float>(*this, &to);
      break;
    case DType::kFloat64:
      CastFrom<double>(*this, &to);
      break;
    case DType::kInt32:
      CastFrom<int32_t>(*this, &to);
      break;
    case DType::kInt64:
      CastFrom<int64_t>(*this, &to);
      break;
    case DType::kUint8:
      CastFrom<uint8_t>(*this, &to);
      break;
    case DType::kFloat16:
    case DType::kBfloat16:
      ThrowHalf();
  }
  return to;
}

Tensor Tensor::Reshape(Shape shape) const {
  if (shape.size() != size()) {
    throw ShapeError("cannot reshape " + shape_.ToString() + " to " + shape.ToString() + ": " +
                     std::to_string(size()) + " elements against " + std::to_string(shape.size()));
  }
  Tensor view = *this;
  view.shape_ = shape;
  return view;
}

void Tensor::CheckType(DType wanted) const {
  if (wanted != dtype_) {
    throw ShapeError("tensor holds " + std::string(Name(dtype_)) + ", not " +
                     std::string(Name(wanted)));
  }
}

}  // namespace lockstep
