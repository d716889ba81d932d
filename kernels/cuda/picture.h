#ifndef LOCKSTEP_KERNELS_CUDA_PICTURE_H_
#define LOCKSTEP_KERNELS_CUDA_PICTURE_H_

#include "kernels/cuda/dispatch.h"
#include "kernels/math/pictures.h"
#include "kernels/picture.h"

namespace lockstep::cuda {

template <typename Stream>
class CudaPicture final : public PictureKernels {
 public:
  // `stream` must outlive this.
  explicit CudaPicture(Stream* stream) : stream_(stream) {}

  void Prepare(DType dtype, const PictureCut& cut, int64_t n, const PictureSamples& samples,
               const void* table, const uint8_t* x, void* y) override {
    WithType(dtype, [&](auto t) {
      const math::PreparePictures<decltype(t)> algorithm(cut, samples, As(table, t), x, As(y, t));
      stream_->ForBlocks("pictures from bytes", algorithm.pieces(n), algorithm);
    });
  }

 private:
  Stream* stream_;
};

}  // namespace lockstep::cuda

#endif  // LOCKSTEP_KERNELS_CUDA_PICTURE_H_
