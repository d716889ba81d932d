#ifndef LOCKSTEP_KERNELS_CPU_BACKEND_H_
#define LOCKSTEP_KERNELS_CPU_BACKEND_H_

#include <functional>
#include <memory>
#include <string>

#include "kernels/backend.h"
#include "kernels/cpu/conv/conv.h"
#include "kernels/cpu/optimizer.h"
#include "kernels/cpu/picture.h"
#include "kernels/cpu/softmax.h"
#include "kernels/cpu/widening/conv.h"
#include "kernels/cpu/widening/families.h"

namespace lockstep::cpu {

// The host's processors. How many threads a loop uses is a property of the calling thread
// (SetThreads): whoever asks for a kernel family gets this backend's number.
class CpuBackend final : public Backend {
 public:
  CpuBackend(int threads, Isa isa);

  std::string name() const override { return "cpu"; }
  std::string fingerprint() const override;
  int threads() const override { return threads_; }

  void* Allocate(size_t bytes, const std::string& purpose) override;
  void Free(void* pointer) noexcept override;
  bool shares_host_memory() const override { return true; }
  void Upload(const void* host, void* device, size_t bytes) override { Copy(host, device, bytes); }
  void Download(const void* device, void* host, size_t bytes) override {
    Copy(device, host, bytes);
  }
  void Copy(const void* from, void* to, size_t bytes) override;
  void Clear(void* device, size_t bytes) override;
  void Synchronize() override {}
  std::shared_ptr<DeviceMoment> Mark() override { return nullptr; }
  // Calls cost next to nothing here.
  std::unique_ptr<Recording> Record(const std::function<void()>&) override { return nullptr; }
  void Enter() override;
  void ForEachLane(int lanes, const std::function<void(int lane)>& body) override;

  ConvKernels& conv() override { return Entered(&widening_conv_); }
  ElementwiseKernels& elementwise() override { return Entered(&elementwise_); }
  GemmKernels& gemm() override { return Entered(&gemm_); }
  NormKernels& norm() override { return Entered(&norm_); }
  OptimizerKernels& optimizer() override { return Entered(&optimizer_); }
  PictureKernels& picture() override { return Entered(&picture_); }
  PoolKernels& pool() override { return Entered(&pool_); }
  RandomKernels& random() override { return Entered(&random_); }
  ReduceKernels& reduce() override { return Entered(&reduce_); }
  SoftmaxKernels& softmax() override { return Entered(&softmax_); }

 private:
  template <typename Kernels>
  Kernels& Entered(Kernels* kernels) {
    Enter();
    return *kernels;
  }

  int threads_;
  IsaTable isa_;  // before the kernels, which point at it
  CpuElementwise casts_{&isa_};
  WideMemory wide_memory_;
  WideningTools widening_{&casts_, &wide_memory_};
  WideningElementwise elementwise_{&isa_, widening_};
  WideningGemm gemm_;
  CpuConv conv_{&gemm_};
  WideningConv widening_conv_{&conv_, &elementwise_};
  WideningNorm norm_{&isa_, widening_};
  CpuOptimizer optimizer_{&isa_};
  CpuPicture picture_{&isa_};
  WideningPool pool_{&isa_, widening_};
  WideningRandom random_{&isa_, widening_};
  WideningReduce reduce_{&isa_, widening_};
  CpuSoftmax softmax_{&isa_};
};

}  // namespace lockstep::cpu

#endif  // LOCKSTEP_KERNELS_CPU_BACKEND_H_
