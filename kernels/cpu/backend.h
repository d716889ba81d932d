#ifndef LOCKSTEP_KERNELS_CPU_BACKEND_H_
#define LOCKSTEP_KERNELS_CPU_BACKEND_H_

#include <functional>
#include <memory>
#include <string>

#include "kernels/backend.h"
#include "kernels/cpu/conv/conv.h"
#include "kernels/cpu/elementwise.h"
#include "kernels/cpu/gemm.h"
#include "kernels/cpu/norm.h"
#include "kernels/cpu/optimizer.h"
#include "kernels/cpu/picture.h"
#include "kernels/cpu/pool.h"
#include "kernels/cpu/random.h"
#include "kernels/cpu/reduce.h"
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
  ElementwiseKernels& elementwise() override { return Entered(&widening_elementwise_); }
  GemmKernels& gemm() override { return Entered(&widening_gemm_); }
  NormKernels& norm() override { return Entered(&widening_norm_); }
  OptimizerKernels& optimizer() override { return Entered(&optimizer_); }
  PictureKernels& picture() override { return Entered(&picture_); }
  PoolKernels& pool() override { return Entered(&widening_pool_); }
  RandomKernels& random() override { return Entered(&widening_random_); }
  ReduceKernels& reduce() override { return Entered(&widening_reduce_); }
  SoftmaxKernels& softmax() override { return Entered(&softmax_); }

 private:
  template <typename Kernels>
  Kernels& Entered(Kernels* kernels) {
    Enter();
    return *kernels;
  }

  int threads_;
  IsaTable isa_;  // before the kernels, which point at it
  CpuGemm gemm_;
  CpuConv conv_{&gemm_};
  CpuElementwise elementwise_{&isa_};
  CpuNorm norm_{&isa_};
  CpuOptimizer optimizer_{&isa_};
  CpuPicture picture_{&isa_};
  CpuPool pool_{&isa_};
  CpuRandom random_{&isa_};
  CpuReduce reduce_{&isa_};
  CpuSoftmax softmax_{&isa_};
  // The families that take 16-bit floats, too.
  WideningConv widening_conv_{&conv_, &elementwise_};
  WideMemory wide_memory_;
  WideningTools widening_{&elementwise_, &wide_memory_};
  WideningElementwise widening_elementwise_{&elementwise_, widening_};
  WideningGemm widening_gemm_{&gemm_, widening_};
  WideningNorm widening_norm_{&norm_, widening_};
  WideningPool widening_pool_{&pool_, widening_};
  WideningRandom widening_random_{&random_, widening_};
  WideningReduce widening_reduce_{&reduce_, widening_};
};

}  // namespace lockstep::cpu

#endif  // LOCKSTEP_KERNELS_CPU_BACKEND_H_
