#include "kernels/shape.h"

#include <algorithm>

#include "kernels/error.h"

namespace lockstep {
namespace {

// Small enough that a byte count of any dtype still fits int64.
constexpr int64_t kMaxElements = int64_t{1} << 59;

}  // namespace

Shape::Shape(std::initializer_list<int64_t> dims)
    : Shape(std::span<const int64_t>(dims.begin(), dims.size())) {}

Shape::Shape(std::span<const int64_t> dims) {
  if (dims.size() > kMaxDims) {
    throw ShapeError("a shape has " + std::to_string(dims.size()) + " dimensions; at most " +
                     std::to_string(kMaxDims) + " are supported");
  }
  std::copy(dims.begin(), dims.end(), dims_.begin());
  ndim_ = static_cast<int>(dims.size());
  int64_t product = 1;
  for (const int64_t d : dims) {
    if (d < 0) throw ShapeError("negative extent in shape " + ToString());
    // A zero extent does not excuse the others: strides are products of them.
    if (__builtin_mul_overflow(product, std::max<int64_t>(d, 1), &product) ||
        product > kMaxElements) {
      throw ShapeError("shape " + ToString() + " has too many elements");
    }
  }
}

size_t Shape::Index(int axis) const {
  const int a = axis < 0 ? axis + ndim_ : axis;
  if (a < 0 || a >= ndim_) {
    throw ShapeError("axis " + std::to_string(axis) + " does not exist in shape " + ToString());
  }
  return static_cast<size_t>(a);
}

int64_t Shape::dim(int axis) const { return dims_[Index(axis)]; }

int64_t Shape::size() const {
  int64_t product = 1;
  for (const int64_t d : dims()) product *= d;
  return product;
}

int64_t Shape::row_size() const {
  int64_t product = 1;
  for (int i = 1; i < ndim_; ++i) product *= (*this)[i];
  return product;
}

Shape Shape::WithDim(int axis, int64_t extent) const {
  Shape copy = *this;
  copy.dims_[Index(axis)] = extent;
  return Shape(copy.dims());
}

Shape Shape::WithBatch(int64_t batch) const {
  std::array<int64_t, kMaxDims + 1> all{batch};
  std::copy(dims().begin(), dims().end(), all.begin() + 1);
  return Shape(std::span<const int64_t>(all.data(), static_cast<size_t>(ndim_) + 1));
}

std::string Shape::ToString() const {
  std::string text = "(";
  for (int i = 0; i < ndim_; ++i) {
    if (i > 0) text += ", ";
    text += std::to_string((*this)[i]);
  }
  if (ndim_ == 1) text += ",";
  return text + ")";
}

}  // namespace lockstep
