// Parts of pictures: where they lie (kernels/picture.h), and the copies of their pixels.
#ifndef LOCKSTEP_KERNELS_MATH_PICTURES_H_
#define LOCKSTEP_KERNELS_MATH_PICTURES_H_

#include <algorithm>
#include <cstdint>

#include "kernels/math/divisor.h"
#include "kernels/math/host_device.h"
#include "kernels/math/philox.h"
#include "kernels/picture.h"

namespace lockstep::math {

// The part of one picture that is taken; it may begin or end outside.
struct PictureWindow {
  int64_t top = 0, left = 0;
  bool mirrored = false;
};

// Number in [0, limit) from 32 random bits; the bias, below limit / 2^32, is of no account here.
LOCKSTEP_FORMULA int64_t BelowLimit(uint32_t word, int64_t limit) {
  return static_cast<int64_t>((uint64_t{word} * static_cast<uint64_t>(limit)) >> 32);
}

// Of the picture of samples.ids[n].
LOCKSTEP_FORMULA PictureWindow WindowOf(const PictureCut& cut, const PictureSamples& samples,
                                        int64_t n) {
  const int64_t room_y = cut.height + 2 * cut.padding - cut.out_height;
  const int64_t room_x = cut.width + 2 * cut.padding - cut.out_width;
  PictureWindow window{room_y / 2, room_x / 2, false};
  if (cut.is_random()) {
    const PhiloxWords words = Philox(cut.key, SampleCounter(0, samples.ids[n], *samples.epoch));
    if (cut.random_place) {
      window.top = BelowLimit(words[0], room_y + 1);
      window.left = BelowLimit(words[1], room_x + 1);
    }
    window.mirrored = cut.flip && (words[2] >> 31) != 0;
  }
  window.top -= cut.padding;
  window.left -= cut.padding;
  return window;
}

// One channel on the host, in runs of pixels: map(from, count, to) makes `count` of them, `outside`
// is what those beside the picture become. x: (height, width), y: (out_height, out_width).
template <typename From, typename To, typename Map>
void CutPlane(const PictureCut& cut, const PictureWindow& window, const From* x, To outside,
              const Map& map, To* y) {
  const int64_t columns = cut.out_width;
  // The columns of the window that lie inside the picture.
  const int64_t begin = std::clamp<int64_t>(-window.left, 0, columns);
  const int64_t end = std::clamp<int64_t>(cut.width - window.left, begin, columns);
  for (int64_t row = 0; row < cut.out_height; ++row, y += columns) {
    const int64_t source = window.top + row;
    if (source < 0 || source >= cut.height) {
      std::fill_n(y, columns, outside);
      continue;
    }
    std::fill_n(y, begin, outside);
    map(x + source * cut.width + window.left + begin, end - begin, y + begin);
    std::fill_n(y + end, columns - end, outside);
    if (window.mirrored) std::reverse(y, y + columns);
  }
}

// PictureKernels::Prepare as a GPU runs it, in pieces of a picture: who works on one finds the
// window once, and neighbours write neighbours.
template <typename T>
class PreparePictures {
 public:
  PreparePictures(const PictureCut& cut, const PictureSamples& samples, const T* table,
                  const uint8_t* x, T* y)
      : cut_(cut),
        samples_(samples),
        table_(table),
        x_(x),
        y_(y),
        stored_(cut.stored_size()),
        size_(cut.size()),
        by_pieces_(std::max<int64_t>((size_ + kPiece - 1) / kPiece, 1)),
        by_columns_(std::max<int64_t>(cut.out_width, 1)),
        by_rows_(std::max<int64_t>(cut.out_height, 1)) {}

  // Of n pictures.
  int64_t pieces(int64_t n) const { return n * by_pieces_.value(); }

  template <typename Block>
  LOCKSTEP_FORMULA void operator()(const Block& block, int64_t piece) const {
    int64_t part;
    const int64_t n = by_pieces_.Divide(piece, &part);
    const PictureWindow window = WindowOf(cut_, samples_, n);
    const uint8_t* const x = x_ + n * stored_;
    T* const y = y_ + n * size_;
    const int64_t end = (part + 1) * kPiece < size_ ? (part + 1) * kPiece : size_;
    for (int64_t i = part * kPiece + block.rank(); i < end; i += block.size()) {
      y[i] = ValueAt(window, x, i);
    }
  }

 private:
  // Eight elements a thread of a CUDA block: the ten rounds of Philox are then of no account.
  static constexpr int64_t kPiece = 2048;

  LOCKSTEP_FORMULA T ValueAt(const PictureWindow& window, const uint8_t* x, int64_t i) const {
    int64_t row, column;
    const int64_t c = by_rows_.Divide(by_columns_.Divide(i, &column), &row);
    if (window.mirrored) column = cut_.out_width - 1 - column;
    row += window.top;
    column += window.left;
    const bool inside = row >= 0 && row < cut_.height && column >= 0 && column < cut_.width;
    const uint8_t byte = inside ? x[(c * cut_.height + row) * cut_.width + column] : uint8_t{0};
    return table_[c * kByteValues + byte];
  }

  PictureCut cut_;
  PictureSamples samples_;
  const T* table_;
  const uint8_t* x_;
  T* y_;
  int64_t stored_, size_;
  Divisor by_pieces_, by_columns_, by_rows_;
};

}  // namespace lockstep::math

#endif  // LOCKSTEP_KERNELS_MATH_PICTURES_H_
