// The kernels of a GPU, run on the host (host_stream.h). Products and convolutions, which a GPU has
// from libraries, are the CPU's.
#ifndef LOCKSTEP_TESTS_KERNELS_HOST_DEVICE_H_
#define LOCKSTEP_TESTS_KERNELS_HOST_DEVICE_H_

#include <utility>

#include "kernels/cuda/elementwise.h"
#include "kernels/cuda/norm.h"
#include "kernels/cuda/optimizer.h"
#include "kernels/cuda/picture.h"
#include "kernels/cuda/pool.h"
#include "kernels/cuda/random.h"
#include "kernels/cuda/reduce.h"
#include "kernels/cuda/softmax.h"
#include "tests/kernels/backend_wrapper.h"
#include "tests/kernels/host_stream.h"

namespace lockstep::test {

class HostDevice final : public BackendWrapper {
 public:
  // Blocks of `threads` threads; 0: of one alone.
  explicit HostDevice(int threads) : BackendWrapper(MakeCpuBackend(1)), stream_(threads) {}

  ElementwiseKernels& elementwise() override { return elementwise_; }
  NormKernels& norm() override { return norm_; }
  OptimizerKernels& optimizer() override { return optimizer_; }
  PictureKernels& picture() override { return picture_; }
  PoolKernels& pool() override { return pool_; }
  RandomKernels& random() override { return random_; }
  ReduceKernels& reduce() override { return reduce_; }
  SoftmaxKernels& softmax() override { return softmax_; }
  // As on a GPU, labels out of range are known only now.
  void Synchronize() override {
    const math::BadLabel bad = std::exchange(*stream_.bad_label(), {});
    if (bad.rows > 0) throw FormatError(Text(bad));
  }

 private:
  HostStream stream_;
  cuda::CudaElementwise<HostStream> elementwise_{&stream_};
  cuda::CudaNorm<HostStream> norm_{&stream_};
  cuda::CudaOptimizer<HostStream> optimizer_{&stream_};
  cuda::CudaPicture<HostStream> picture_{&stream_};
  cuda::CudaPool<HostStream> pool_{&stream_};
  cuda::CudaRandom<HostStream> random_{&stream_};
  cuda::CudaReduce<HostStream> reduce_{&stream_};
  cuda::CudaSoftmax<HostStream> softmax_{&stream_};
};

}  // namespace lockstep::test

#endif  // LOCKSTEP_TESTS_KERNELS_HOST_DEVICE_H_
