// An array in host memory: what files, data sets and users hand in and get back.
#ifndef LOCKSTEP_ENGINE_TENSOR_TENSOR_H_
#define LOCKSTEP_ENGINE_TENSOR_TENSOR_H_

#include <cstddef>
#include <memory>
#include <span>
#include <string>

#include "kernels/dtype.h"
#include "kernels/shape.h"

namespace lockstep {

// Contiguous, row major (pictures are NCHW), 64-byte aligned. Copies share the elements, as a
// shared_ptr does; Clone() does not. Sharing between threads is safe as long as none writes.
class Tensor {
 public:
  // Holds nothing: shape (0,), no data.
  Tensor() = default;
  // Elements are zero. Throws DeviceError naming the bytes when memory is short.
  Tensor(DType dtype, Shape shape);
  template <typename T>
  static Tensor FromValues(Shape shape, std::span<const T> values);
  // Takes elements that live elsewhere (a mapped file); `owner` keeps them alive.
  static Tensor Wrap(DType dtype, Shape shape, void* data, std::shared_ptr<void> owner);

  DType dtype() const { return dtype_; }
  const Shape& shape() const { return shape_; }
  int64_t size() const { return shape_.size(); }
  size_t bytes() const { return static_cast<size_t>(size()) * SizeOf(dtype_); }

  void* data() { return data_; }
  const void* data() const { return data_; }
  // Throws ShapeError when T is not the dtype.
  template <typename T>
  std::span<T> values() {
    CheckType(DTypeOf<T>());
    return {static_cast<T*>(data_), static_cast<size_t>(size())};
  }
  template <typename T>
  std::span<const T> values() const {
    CheckType(DTypeOf<T>());
    return {static_cast<const T*>(data_), static_cast<size_t>(size())};
  }

  Tensor Clone() const;
  // Every element converted as a C++ cast would; the same tensor when nothing changes.
  Tensor Cast(DType dtype) const;
  // The same elements under another shape of the same size; throws ShapeError otherwise.
  Tensor Reshape(Shape shape) const;

 private:
  void CheckType(DType wanted) const;

  DType dtype_ = DType::kFloat32;
  Shape shape_{0};
  void* data_ = nullptr;
  std::shared_ptr<void> owner_;
};

template <typename T>
Tensor Tensor::FromValues(Shape shape, std::span<const T> values) {
  Tensor tensor = Wrap(DTypeOf<T>(), Shape({static_cast<int64_t>(values.size())}),
                       const_cast<T*>(values.data()), nullptr);
  return tensor.Clone().Reshape(shape);
}

// Shape and element type of a value that has no memory yet.
struct TensorType {
  Shape shape;
  DType dtype = DType::kFloat32;

  int64_t bytes() const { return shape.size() * static_cast<int64_t>(SizeOf(dtype)); }
  friend bool operator==(const TensorType&, const TensorType&) = default;
};

}  // namespace lockstep

#endif  // LOCKSTEP_ENGINE_TENSOR_TENSOR_H_
