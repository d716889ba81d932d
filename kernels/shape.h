// Extents of an array, outermost first; pictures are (n, c, h, w).
#ifndef LOCKSTEP_KERNELS_SHAPE_H_
#define LOCKSTEP_KERNELS_SHAPE_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>

namespace lockstep {

// A value type without allocation. At most kMaxDims extents, none negative; a zero extent is legal.
class Shape {
 public:
  static constexpr int kMaxDims = 8;

  Shape() = default;
  // Throws ShapeError for a negative extent, more than kMaxDims, or a product above 2^59.
  Shape(std::initializer_list<int64_t> dims);
  explicit Shape(std::span<const int64_t> dims);

  int ndim() const { return ndim_; }
  // `axis` may be negative, counted from the end; throws ShapeError when out of range.
  int64_t dim(int axis) const;
  int64_t operator[](int axis) const { return dims_[static_cast<size_t>(axis)]; }
  // The product of the extents; 1 for a scalar.
  int64_t size() const;
  // The product of all extents but the first: the elements of one sample.
  int64_t row_size() const;
  std::span<const int64_t> dims() const { return {dims_.data(), static_cast<size_t>(ndim_)}; }

  // With another extent at `axis`, as in dim().
  Shape WithDim(int axis, int64_t extent) const;
  // One dimension more, in front of the others: (batch, ...).
  Shape WithBatch(int64_t batch) const;

  // As Python writes a tuple: "(64, 3, 32, 32)", "(10,)", "()".
  std::string ToString() const;

  friend bool operator==(const Shape& a, const Shape& b) = default;

 private:
  size_t Index(int axis) const;

  std::array<int64_t, kMaxDims> dims_{};
  int ndim_ = 0;
};

}  // namespace lockstep

#endif  // LOCKSTEP_KERNELS_SHAPE_H_
