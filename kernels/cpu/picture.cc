#include "kernels/cpu/picture.h"

#include "kernels/math/pictures.h"

namespace lockstep::cpu {
namespace {

template <typename T>
void PrepareOne(const PictureCut& cut, const math::PictureWindow& window, const T* table,
                const uint8_t* x, T* y) {
  for (int64_t c = 0; c < cut.channels; ++c) {
    const auto look_up = [&](const uint8_t* from, int64_t count, T* to) {
      for (int64_t i = 0; i < count; ++i) to[i] = table[from[i]];
    };
    math::CutPlane(cut, window, x, table[0], look_up, y);
    table += kByteValues;
    x += cut.height * cut.width;
    y += cut.out_height * cut.out_width;
  }
}

}  // namespace

void CpuPicture::Prepare(DType dtype, const PictureCut& cut, int64_t n,
                         const PictureSamples& samples, const void* table, const uint8_t* x,
                         void* y) {
  WithType(*isa_, dtype, [&](const auto&, auto* type) {
    ParallelFor(n, GrainOf(cut.size()), [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        PrepareOne(cut, math::WindowOf(cut, samples, i), As(table, type), x + i * cut.stored_size(),
                   As(y, type) + i * cut.size());
      }
    });
  });
}

}  // namespace lockstep::cpu
