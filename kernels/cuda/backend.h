#ifndef LOCKSTEP_KERNELS_CUDA_BACKEND_H_
#define LOCKSTEP_KERNELS_CUDA_BACKEND_H_

#include <memory>
#include <string>

#include "kernels/backend.h"
#include "kernels/cuda/caching_allocator.h"
#include "kernels/cuda/device.h"
#include "kernels/cuda/families.h"
#include "kernels/cuda/stream.h"

namespace lockstep::cuda {

// The memory of the calling thread's device.
class DeviceMemory final : public RawMemory {
 public:
  void* Take(size_t bytes) override;
  void Give(void* memory) noexcept override;
  Room GetRoom() override;
};

// One GPU, with all work on one stream. Lanes run one after the other: a kernel has the whole
// device.
class CudaBackend final : public Backend {
 public:
  // Throws DeviceError where `index` cannot be used.
  CudaBackend(int index, bool allow_tf32);
  ~CudaBackend() override;
  CudaBackend(const CudaBackend&) = delete;
  CudaBackend& operator=(const CudaBackend&) = delete;

  std::string name() const override;
  std::string fingerprint() const override;
  int threads() const override { return 1; }

  void* Allocate(size_t bytes, const std::string& purpose) override;
  void Free(void* pointer) noexcept override;
  bool shares_host_memory() const override { return false; }
  void Upload(const void* host, void* device, size_t bytes) override;
  void Download(const void* device, void* host, size_t bytes) override;
  void Copy(const void* from, void* to, size_t bytes) override;
  void Clear(void* device, size_t bytes) override;
  void Synchronize() override;
  std::shared_ptr<DeviceMoment> Mark() override;
  std::unique_ptr<Recording> Record(const std::function<void()>& body) override;
  // CUDA calls of a thread are for the device it last named.
  void Enter() override;
  void ForEachLane(int lanes, const std::function<void(int lane)>& body) override;

  ConvKernels& conv() override { return Entered(*conv_); }
  ElementwiseKernels& elementwise() override { return Entered(*elementwise_); }
  GemmKernels& gemm() override { return Entered(*gemm_); }
  NormKernels& norm() override { return Entered(*norm_); }
  OptimizerKernels& optimizer() override { return Entered(*optimizer_); }
  PictureKernels& picture() override { return Entered(*picture_); }
  PoolKernels& pool() override { return Entered(*pool_); }
  RandomKernels& random() override { return Entered(*random_); }
  ReduceKernels& reduce() override { return Entered(*reduce_); }
  SoftmaxKernels& softmax() override { return Entered(*softmax_); }

  const Device& device() const { return device_; }
  // Most bytes that were in use at once.
  size_t peak_bytes() const { return allocator_.peak_bytes(); }

 private:
  template <typename Kernels>
  Kernels& Entered(Kernels& kernels) {
    Enter();
    return kernels;
  }

  Device device_;  // first: what follows is made on it
  bool allow_tf32_;
  DeviceMemory memory_;
  CachingAllocator allocator_;
  GpuStream stream_;
  std::unique_ptr<ConvKernels> conv_;
  std::unique_ptr<ElementwiseKernels> elementwise_;
  std::unique_ptr<GemmKernels> gemm_;
  std::unique_ptr<NormKernels> norm_;
  std::unique_ptr<OptimizerKernels> optimizer_;
  std::unique_ptr<PictureKernels> picture_;
  std::unique_ptr<PoolKernels> pool_;
  std::unique_ptr<RandomKernels> random_;
  std::unique_ptr<ReduceKernels> reduce_;
  std::unique_ptr<SoftmaxKernels> softmax_;
};

}  // namespace lockstep::cuda

#endif  // LOCKSTEP_KERNELS_CUDA_BACKEND_H_
