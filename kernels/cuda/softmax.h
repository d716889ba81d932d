#ifndef LOCKSTEP_KERNELS_CUDA_SOFTMAX_H_
#define LOCKSTEP_KERNELS_CUDA_SOFTMAX_H_

#include "kernels/cuda/dispatch.h"
#include "kernels/math/losses.h"
#include "kernels/math/softmax_rows.h"
#include "kernels/math/sums.h"
#include "kernels/softmax.h"

namespace lockstep::cuda {

// A label out of range goes to the stream's bad_label().
template <typename Stream>
class CudaSoftmax final : public SoftmaxKernels {
 public:
  // `stream` must outlive this.
  explicit CudaSoftmax(Stream* stream) : stream_(stream) {}

  void Forward(DType dtype, int64_t rows, int64_t classes, const void* x, void* y) override {
    if (classes <= 0) return;
    WithType(dtype, [&](auto t) {
      ForRows("softmax", rows, classes,
              math::SoftmaxRows<decltype(t)>{classes, As(x, t), As(y, t)});
    });
  }

  void Backward(DType dtype, int64_t rows, int64_t classes, const void* y, const void* dy,
                void* dx) override {
    WithType(dtype, [&](auto t) {
      ForRows("softmax's gradient", rows, classes,
              math::SoftmaxGradientRows<decltype(t)>{classes, As(y, t), As(dy, t), As(dx, t)});
    });
  }

  void CrossEntropy(DType dtype, int64_t rows, int64_t classes, const void* x,
                    const int32_t* labels, LossSums* sums, void* loss, void* dx) override {
    auto* const parts = static_cast<math::RowLoss*>(
        stream_->Scratch(static_cast<size_t>(rows) * sizeof(math::RowLoss)));
    WithType(dtype, [&](auto t) {
      using T = decltype(t);
      ForRows("cross entropy", rows, classes,
              math::CrossEntropyRows<T>{classes, As(x, t), labels, parts, As(dx, t)});
      stream_->ForBlocks("cross entropy's sums", 1,
                         math::CollectRows<T>{rows, classes, parts, labels, sums,
                                              stream_->bad_label(), As(loss, t)});
    });
  }

  void SquaredError(DType dtype, int64_t size, const void* x, const void* target, LossSums* sums,
                    void* loss, void* dx) override {
    const math::Parts cut{size, math::PartsOf(size)};
    auto* const parts =
        static_cast<double*>(stream_->Scratch(static_cast<size_t>(cut.parts) * sizeof(double)));
    WithType(dtype, [&](auto t) {
      using T = decltype(t);
      using Term = math::SquaredErrorTerm<T>;
      stream_->ForBlocks(
          "squared error", cut.parts,
          math::SumParts<Term>{cut, Term{As(x, t), As(target, t), As(dx, t)}, parts});
      stream_->ForBlocks("squared error's sums", 1,
                         math::CollectSquares<T>{cut.parts, size, parts, sums, As(loss, t)});
    });
  }

 private:
  // Rows that one thread walks alone: a block would wait longer than it works.
  static constexpr int64_t kSerialClasses = 32;

  template <typename Rows>
  void ForRows(const char* name, int64_t rows, int64_t classes, const Rows& algorithm) {
    if (classes <= kSerialClasses) {
      stream_->ForEach(name, rows, math::ByOneThread<Rows>{algorithm});
    } else {
      stream_->ForBlocks(name, rows, algorithm);
    }
  }

  Stream* stream_;
};

}  // namespace lockstep::cuda

#endif  // LOCKSTEP_KERNELS_CUDA_SOFTMAX_H_
