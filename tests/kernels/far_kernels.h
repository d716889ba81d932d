// The kernel families of FarBackend: each call becomes a piece of work for later.
#ifndef LOCKSTEP_TESTS_KERNELS_FAR_KERNELS_H_
#define LOCKSTEP_TESTS_KERNELS_FAR_KERNELS_H_

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tests/kernels/far_backend.h"

namespace lockstep {

template <typename Family>
class FarFamily : public Family {
 public:
  FarFamily(FarDevice& device, Family& base) : device_(device), base_(base) {}

 protected:
  FarDevice& device_;
  Family& base_;
};

class FarConvKernel : public ConvKernel {
 public:
  FarConvKernel(FarDevice& device, std::shared_ptr<ConvKernel> base)
      : device_(device), base_(std::move(base)) {}
  size_t scratch_bytes() const override { return base_->scratch_bytes(); }
  size_t prepared_bytes() const override { return base_->prepared_bytes(); }
  void PrepareWeights(const void* weights, void* prepared) override {
    device_.Begin({weights, prepared},
                  [=, base = base_] { base->PrepareWeights(weights, prepared); });
  }
  void Run(const ConvBuffers& b) override {
    device_.Begin({b.x, b.y, b.weights, b.dw, b.bias, b.scratch},
                  [b, base = base_] { base->Run(b); });
  }

 private:
  FarDevice& device_;
  std::shared_ptr<ConvKernel> base_;
};

class FarConv : public FarFamily<ConvKernels> {
 public:
  using FarFamily::FarFamily;
  std::vector<std::string> Algorithms(const ConvShape& shape, ConvPass pass, Layout x, Layout y,
                                      bool exact) const override {
    return base_.Algorithms(shape, pass, x, y, exact);
  }
  std::unique_ptr<ConvKernel> Make(const ConvShape& shape, ConvPass pass,
                                   const std::string& algorithm, Layout x,
                                   Layout y) const override {
    return std::make_unique<FarConvKernel>(device_, base_.Make(shape, pass, algorithm, x, y));
  }
  std::vector<Layout> Layouts(int64_t c, DType dtype) const override {
    return base_.Layouts(c, dtype);
  }
};

class FarElementwise : public FarFamily<ElementwiseKernels> {
 public:
  using FarFamily::FarFamily;
  void ActivationForward(DType dtype, Activation f, double slope, int64_t size, const void* x,
                         void* y) override {
    device_.Begin({x, y}, [=, this] { base_.ActivationForward(dtype, f, slope, size, x, y); });
  }
  void ActivationBackward(DType dtype, Activation f, double slope, int64_t size, const void* y,
                          const void* dy, void* dx) override {
    device_.Begin({y, dy, dx},
                  [=, this] { base_.ActivationBackward(dtype, f, slope, size, y, dy, dx); });
  }
  void Add(DType dtype, int64_t size, const void* a, const void* b, void* y) override {
    device_.Begin({a, b, y}, [=, this] { base_.Add(dtype, size, a, b, y); });
  }
  void Scale(DType dtype, double scale, int64_t size, const void* x, void* y) override {
    device_.Begin({x, y}, [=, this] { base_.Scale(dtype, scale, size, x, y); });
  }
  void ScaleBy(DType dtype, const double* scale, int64_t size, const void* x, void* y) override {
    device_.Begin({scale, x, y}, [=, this] { base_.ScaleBy(dtype, scale, size, x, y); });
  }
  void Cast(DType from, DType to, int64_t size, const void* x, void* y) override {
    device_.Begin({x, y}, [=, this] { base_.Cast(from, to, size, x, y); });
  }
  void CastWithFeedback(DType to, int64_t size, const void* x, void* residual, void* y) override {
    device_.Begin({x, residual, y},
                  [=, this] { base_.CastWithFeedback(to, size, x, residual, y); });
  }
  void CopyIf(const int64_t* condition, size_t bytes, const void* from, void* to) override {
    device_.Begin({condition, from, to}, [=, this] { base_.CopyIf(condition, bytes, from, to); });
  }
  void Reorder(DType dtype, const PictureShape& shape, Layout from, Layout to, const void* x,
               void* y) override {
    device_.Begin({x, y}, [=, this] { base_.Reorder(dtype, shape, from, to, x, y); });
  }
  void CopyChannels(DType dtype, const PictureShape& x_shape, Layout x_layout, int64_t x_offset,
                    const void* x, const PictureShape& y_shape, Layout y_layout, int64_t y_offset,
                    int64_t channels, void* y) override {
    device_.Begin({x, y}, [=, this] {
      base_.CopyChannels(dtype, x_shape, x_layout, x_offset, x, y_shape, y_layout, y_offset,
                         channels, y);
    });
  }
};

class FarGemm : public FarFamily<GemmKernels> {
 public:
  using FarFamily::FarFamily;
  void Gemm(DType dtype, const GemmArgs& args) override {
    device_.Begin({args.a, args.b, args.c, args.bias}, [=, this] { base_.Gemm(dtype, args); });
  }
};

class FarNorm : public FarFamily<NormKernels> {
 public:
  using FarFamily::FarFamily;
  void Moments(const BatchNormShape& shape, const void* x, double* mean, double* m2) override {
    device_.Begin({x, mean, m2}, [=, this] { base_.Moments(shape, x, mean, m2); });
  }
  void Normalize(const BatchNormShape& shape, const void* x, const double* mean,
                 const double* inv_std, const void* gamma, const void* beta, void* y) override {
    device_.Begin({x, mean, inv_std, gamma, beta, y, shape.dropout.epoch, shape.dropout.sample_ids},
                  [=, this] { base_.Normalize(shape, x, mean, inv_std, gamma, beta, y); });
  }
  void GradientSums(const BatchNormShape& shape, const void* x, const void* y, const void* dy,
                    const double* mean, const double* inv_std, double* sum_dz,
                    double* sum_dz_xhat) override {
    device_.Begin({x, y, dy, mean, inv_std, sum_dz, sum_dz_xhat}, [=, this] {
      base_.GradientSums(shape, x, y, dy, mean, inv_std, sum_dz, sum_dz_xhat);
    });
  }
  void GradientApply(const BatchNormShape& shape, const void* x, const void* y, const void* dy,
                     const double* mean, const double* inv_std, const void* gamma,
                     const double* sum_dz, const double* sum_dz_xhat, const double* m,
                     void* dx) override {
    device_.Begin({x, y, dy, mean, inv_std, gamma, sum_dz, sum_dz_xhat, m, dx}, [=, this] {
      base_.GradientApply(shape, x, y, dy, mean, inv_std, gamma, sum_dz, sum_dz_xhat, m, dx);
    });
  }
  void FinishMoments(const MomentsUse& use, const double* batch_mean, const double* m2,
                     void* running_mean, void* running_variance, double* mean,
                     double* inv_std) override {
    device_.Begin({batch_mean, m2, running_mean, running_variance, mean, inv_std}, [=, this] {
      base_.FinishMoments(use, batch_mean, m2, running_mean, running_variance, mean, inv_std);
    });
  }
  void FinishGradientSums(DType dtype, int64_t channels, double count, const double* batch_dz,
                          const double* batch_dz_xhat, double* sum_dz, double* sum_dz_xhat,
                          double* m, void* dgamma, void* dbeta) override {
    device_.Begin({batch_dz, batch_dz_xhat, sum_dz, sum_dz_xhat, m, dgamma, dbeta}, [=, this] {
      base_.FinishGradientSums(dtype, channels, count, batch_dz, batch_dz_xhat, sum_dz, sum_dz_xhat,
                               m, dgamma, dbeta);
    });
  }
  void LoadRunning(DType dtype, int64_t channels, double eps, const void* running_mean,
                   const void* running_variance, double* mean, double* inv_std) override {
    device_.Begin({running_mean, running_variance, mean, inv_std}, [=, this] {
      base_.LoadRunning(dtype, channels, eps, running_mean, running_variance, mean, inv_std);
    });
  }
  void FoldIntoWeights(DType dtype, int64_t channels, int64_t row, double eps,
                       const NormParameters& norm, const void* w, const void* bias, void* folded_w,
                       void* folded_bias) override {
    device_.Begin({norm.gamma, norm.beta, norm.mean, norm.variance, w, bias, folded_w, folded_bias},
                  [=, this] {
                    base_.FoldIntoWeights(dtype, channels, row, eps, norm, w, bias, folded_w,
                                          folded_bias);
                  });
  }
};

class FarOptimizer : public FarFamily<OptimizerKernels> {
 public:
  using FarFamily::FarFamily;
  void NoteStep(const LossSums* sums, StepLog* log, UpdateNumbers* numbers) override {
    device_.Begin({sums, log, numbers}, [=, this] { base_.NoteStep(sums, log, numbers); });
  }
  void FollowOverflow(const LossScaling& rule, UpdateNumbers* numbers, LossScale* scale) override {
    device_.Begin({numbers, scale}, [=, this] { base_.FollowOverflow(rule, numbers, scale); });
  }
  void Prepare(double clipping, UpdateNumbers* numbers) override {
    device_.Begin({numbers}, [=, this] { base_.Prepare(clipping, numbers); });
  }
  void Update(DType dtype, const UpdateArgs& args, const UpdateNumbers* numbers, int64_t size,
              void* p, const void* g, void* s0, void* s1) override {
    device_.Begin({numbers, p, g, s0, s1},
                  [=, this] { base_.Update(dtype, args, numbers, size, p, g, s0, s1); });
  }
};

class FarPicture : public FarFamily<PictureKernels> {
 public:
  using FarFamily::FarFamily;
  void Prepare(DType dtype, const PictureCut& cut, int64_t n, const PictureSamples& samples,
               const void* table, const uint8_t* x, void* y) override {
    device_.Begin({samples.epoch, samples.ids, table, x, y},
                  [=, this] { base_.Prepare(dtype, cut, n, samples, table, x, y); });
  }
};

class FarPool : public FarFamily<PoolKernels> {
 public:
  using FarFamily::FarFamily;
  void Forward(const PoolShape& shape, const void* x, void* y) override {
    device_.Begin({x, y}, [=, this] { base_.Forward(shape, x, y); });
  }
  void Backward(const PoolShape& shape, const void* x, const void* y, const void* dy,
                void* dx) override {
    device_.Begin({x, y, dy, dx}, [=, this] { base_.Backward(shape, x, y, dy, dx); });
  }
};

class FarRandom : public FarFamily<RandomKernels> {
 public:
  using FarFamily::FarFamily;
  void DropoutForward(DType dtype, const PictureShape& shape, Layout layout,
                      const DropoutArgs& args, const void* x, void* y) override {
    device_.Begin({args.epoch, args.sample_ids, x, y},
                  [=, this] { base_.DropoutForward(dtype, shape, layout, args, x, y); });
  }
  void DropoutBackward(DType dtype, const PictureShape& shape, Layout layout,
                       const DropoutArgs& args, const void* dy, void* dx) override {
    device_.Begin({args.epoch, args.sample_ids, dy, dx},
                  [=, this] { base_.DropoutBackward(dtype, shape, layout, args, dy, dx); });
  }
  void FillNormal(DType dtype, uint64_t key, double mean, double stddev, int64_t size,
                  void* x) override {
    device_.Begin({x}, [=, this] { base_.FillNormal(dtype, key, mean, stddev, size, x); });
  }
  void FillUniform(DType dtype, uint64_t key, double low, double high, int64_t size,
                   void* x) override {
    device_.Begin({x}, [=, this] { base_.FillUniform(dtype, key, low, high, size, x); });
  }
};

class FarReduce : public FarFamily<ReduceKernels> {
 public:
  using FarFamily::FarFamily;
  void AddSquares(DType dtype, int64_t size, const void* x, double* sum) override {
    device_.Begin({x, sum}, [=, this] { base_.AddSquares(dtype, size, x, sum); });
  }
  void ChannelSums(DType dtype, const PictureShape& shape, Layout layout, const void* x,
                   void* y) override {
    device_.Begin({x, y}, [=, this] { base_.ChannelSums(dtype, shape, layout, x, y); });
  }
  int64_t FirstNonFinite(DType dtype, int64_t size, const void* x) override {
    return device_.Do({x}, [&] { return base_.FirstNonFinite(dtype, size, x); });
  }
  double LargestMagnitude(DType dtype, int64_t size, const void* x) override {
    return device_.Do({x}, [&] { return base_.LargestMagnitude(dtype, size, x); });
  }
  void ToFixedPoint(DType dtype, int64_t size, const void* x, double scale, bool accumulate,
                    int64_t* sums) override {
    device_.Begin({x, sums},
                  [=, this] { base_.ToFixedPoint(dtype, size, x, scale, accumulate, sums); });
  }
  void FromFixedPoint(DType dtype, int64_t size, const int64_t* sums, double scale,
                      void* y) override {
    device_.Begin({sums, y}, [=, this] { base_.FromFixedPoint(dtype, size, sums, scale, y); });
  }
};

class FarSoftmax : public FarFamily<SoftmaxKernels> {
 public:
  using FarFamily::FarFamily;
  void Forward(DType dtype, int64_t rows, int64_t classes, const void* x, void* y) override {
    device_.Begin({x, y}, [=, this] { base_.Forward(dtype, rows, classes, x, y); });
  }
  void Backward(DType dtype, int64_t rows, int64_t classes, const void* y, const void* dy,
                void* dx) override {
    device_.Begin({y, dy, dx}, [=, this] { base_.Backward(dtype, rows, classes, y, dy, dx); });
  }
  void CrossEntropy(DType dtype, int64_t rows, int64_t classes, const void* x,
                    const int32_t* labels, LossSums* sums, void* loss, void* dx) override {
    device_.Begin({x, labels, sums, loss, dx}, [=, this] {
      base_.CrossEntropy(dtype, rows, classes, x, labels, sums, loss, dx);
    });
  }
  void SquaredError(DType dtype, int64_t size, const void* x, const void* target, LossSums* sums,
                    void* loss, void* dx) override {
    device_.Begin({x, target, sums, loss, dx},
                  [=, this] { base_.SquaredError(dtype, size, x, target, sums, loss, dx); });
  }
};

}  // namespace lockstep

#endif  // LOCKSTEP_TESTS_KERNELS_FAR_KERNELS_H_
