// Backward passes of a convolution that leave out the zeros of the output gradient, as behind max
// pooling and ReLU. For plain pictures their bits are those of the passes of an implicit
// convolution that leave out nothing: the sums and their order are the same.
#ifndef LOCKSTEP_KERNELS_CPU_CONV_SPARSE_GRADIENT_H_
#define LOCKSTEP_KERNELS_CPU_CONV_SPARSE_GRADIENT_H_

#include <cstdint>
#include <vector>

#include "kernels/cpu/conv/implicit_geometry.h"
#include "kernels/cpu/conv/indexed_product.h"
#include "kernels/cpu/conv/window_sums.h"

namespace lockstep::cpu {

// How x, dx and dy lie: plain, or with channels last.
enum class Channels { kFirst, kLast };
// Elements that count: those that are not zero; or all, where the other operand has an infinity or
// a NaN, which no zero may hide.
enum class Listed { kNonzeros, kAll };

// What both passes share. Pictures are copied with channels last, (h, w, c), padding included.
class SparseGradient {
 public:
  SparseGradient(const Geometry& geometry, Isa isa, Channels channels, bool allowed = true);

  // Whether it is allowed and the shape is one for it: no groups, no dilation along rows, rows of
  // the filter of several vectors.
  bool fits() const { return fits_; }
  // Whether it saves time on this gradient (n, k, pixels), and neither pass would hide an infinity
  // or a NaN of its other operand behind a zero.
  bool Pays(const float* dy, const float* other, int64_t other_size) const;
  Listed WhatCounts(const float* other, int64_t other_size) const;

 protected:
  using Nonzero = gemm::Nonzero<float>;

  int64_t PictureSize() const { return g_.group_c * g_.plane; }
  // From one row of the filter to the next in a picture.
  int64_t FilterRow(int64_t r) const { return r * g_.s.dilation_h * g_.row * g_.group_c; }
  void CopyPicture(const float* x, float* copy) const;
  void CopyBack(const float* copy, float* x) const;
  // Floats that a list of `elements` takes.
  static int64_t ListSize(int64_t elements) { return RoundUp(2 * elements, 16); }
  Nonzero* List(Listed listed, const float* values, int64_t size, const uint32_t* rows,
                Nonzero* to) const;

  const Geometry& g_;
  const IndexedTable& transposes_;
  const WindowTable& table_;
  const Channels channels_;
  const bool fits_;
  const int64_t width_;  // of a row of the filter: kw * c
  const int64_t slice_;  // the same in whole vectors
};

// dw (k, c, kh, kw) of some pictures.
class SparseWeights : public SparseGradient {
 public:
  SparseWeights(const Geometry& geometry, Isa isa, Channels channels, bool allowed = true);

  int64_t part_size() const { return g_.group_k * g_.s.kh * slice_; }
  int64_t scratch_size(int64_t parts, int64_t slots) const {
    return slots * slot_size() + parts * part_size();
  }
  // dw of all pictures, summed in `parts` by as many threads as there are slots.
  void Run(const float* x, const float* dy, Listed listed, int64_t parts, int64_t slots,
           float* scratch, float* dw) const;

 private:
  int64_t slot_size() const {
    return pictures_size_ + gradient_size_ + ListSize(pictures_ * g_.pixels);
  }
  // Adds up to pictures_ pictures to a part, which starts as zeros.
  void AddPictures(const float* x, const float* dy, int64_t pictures, Listed listed, float* part,
                   float* slot) const;
  // Filters [begin, end) of dw from the sum of the parts; parts[0] is overwritten.
  void Finish(float* parts, int64_t count, int64_t begin, int64_t end, float* dw) const;

  const int64_t pictures_, pictures_size_;
  const int64_t gradient_size_;    // of a copy of dy (k, pictures, pixels), where it lies otherwise
  std::vector<uint32_t> windows_;  // where what a pixel saw starts, of several pictures
};

// dx (c, h, w) of one picture.
class SparseData : public SparseGradient {
 public:
  SparseData(const Geometry& geometry, Isa isa, Channels channels, bool allowed = true);

  int64_t prepared_size() const { return g_.s.kh * g_.group_k * slice_; }
  int64_t slot_size() const;

  // To (kh, k, kw * c in whole vectors).
  void PrepareWeights(const float* weights, float* prepared) const;
  void Run(const float* prepared, const float* dy, Listed listed, float* dx, float* slot) const;

 private:
  // Of a copy of dy (pixels, k), where it lies otherwise.
  int64_t RowSize() const { return channels_ == Channels::kLast ? 0 : RoundUp(g_.group_k, 16); }
  void AddFilterRow(const float* weights, const Nonzero* const* lists, float* dx) const;

  std::vector<uint32_t> filters_;  // where those of output channel k start
};

}  // namespace lockstep::cpu

#endif  // LOCKSTEP_KERNELS_CPU_CONV_SPARSE_GRADIENT_H_
