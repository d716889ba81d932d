// The CPU as a device far away, so that what only a GPU would show is shown without one.
#ifndef LOCKSTEP_TESTS_KERNELS_FAR_BACKEND_H_
#define LOCKSTEP_TESTS_KERNELS_FAR_BACKEND_H_

#include <cstddef>
#include <exception>
#include <functional>
#include <initializer_list>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "tests/kernels/backend_wrapper.h"

namespace lockstep {

// The memory of the device, and the work it was given. Who touches that memory but this work dies
// of SIGSEGV; work is not even begun before somebody waits for it. Any thread.
class FarDevice {
 public:
  FarDevice() = default;
  ~FarDevice();
  FarDevice(const FarDevice&) = delete;
  FarDevice& operator=(const FarDevice&) = delete;

  void* Allocate(size_t bytes);
  // Behind the work that may still use it.
  void Free(void* memory);

  // `work` reads and writes these arrays, or null. Throws Error (70) for an array that the device
  // does not have.
  void Begin(std::initializer_list<const void*> arrays, std::function<void()> work);
  // Does all work; throws what the first piece of it threw, once.
  void Finish();
  // The same, but what it threw is left to Finish.
  void Run();
  bool Holds(const void* memory) const;
  // At once, whatever work is still to be done: as by a stream beside the one that does it.
  void CopyBeside(const void* from, void* to, size_t bytes);
  // The work that `body` begins, none of it done. Throws Error (70) where somebody waits for it.
  using Work = std::vector<std::function<void()>>;
  Work Record(const std::function<void()>& body);
  // Work that was recorded.
  void BeginAgain(const Work& work);
  // Does all work, and then this.
  template <typename Work>
  auto Do(std::initializer_list<const void*> arrays, const Work& work) {
    const std::lock_guard<std::recursive_mutex> lock(mutex_);
    RequireHere(arrays);
    Finish();
    const Open open(*this);
    return work();
  }
  int64_t waits() const {
    const std::lock_guard<std::recursive_mutex> lock(mutex_);
    return waits_;
  }

 private:
  class Open {
   public:
    explicit Open(FarDevice& device) : device_(device) { device_.Protect(true); }
    ~Open() { device_.Protect(false); }
    Open(const Open&) = delete;
    Open& operator=(const Open&) = delete;

   private:
    FarDevice& device_;
  };
  void Protect(bool open);
  void RequireHere(std::initializer_list<const void*> arrays) const;

  mutable std::recursive_mutex mutex_;
  std::map<const char*, size_t> regions_;  // by their first byte
  Work work_;
  bool recording_ = false;
  std::exception_ptr failure_;
  int64_t waits_ = 0;
};

// Lanes run one after the other.
class FarBackend : public BackendWrapper {
 public:
  explicit FarBackend(int threads = 1) : FarBackend(MakeCpuBackend(threads)) {}
  // With the kernels of `base`, which works on the host's memory.
  explicit FarBackend(std::unique_ptr<Backend> base);
  ~FarBackend() override;

  std::string name() const override { return "far"; }

  void* Allocate(size_t bytes, const std::string&) override { return device_.Allocate(bytes); }
  void Free(void* pointer) noexcept override;
  bool shares_host_memory() const override { return false; }
  void Upload(const void* host, void* device, size_t bytes) override;
  void Download(const void* device, void* host, size_t bytes) override;
  void Copy(const void* from, void* to, size_t bytes) override;
  void Clear(void* device, size_t bytes) override;
  void Synchronize() override;
  std::shared_ptr<DeviceMoment> Mark() override;
  std::unique_ptr<Recording> Record(const std::function<void()>& body) override;
  void ForEachLane(int lanes, const std::function<void(int lane)>& body) override;

  ConvKernels& conv() override;
  ElementwiseKernels& elementwise() override;
  GemmKernels& gemm() override;
  NormKernels& norm() override;
  OptimizerKernels& optimizer() override;
  PictureKernels& picture() override;
  PoolKernels& pool() override;
  RandomKernels& random() override;
  ReduceKernels& reduce() override;
  SoftmaxKernels& softmax() override;

  bool Holds(const void* memory) const { return device_.Holds(memory); }
  void CopyBeside(const void* from, void* to, size_t bytes) { device_.CopyBeside(from, to, bytes); }
  // How often somebody waited for the device.
  int64_t waits() const { return device_.waits(); }
  // By Upload, so far.
  int64_t uploaded_bytes() const { return uploaded_bytes_; }
  // How often something was recorded, and how often recorded work was begun.
  int64_t recordings() const { return recordings_; }
  int64_t repetitions() const { return repetitions_; }

 private:
  struct Kernels;
  class FarRecording;
  FarDevice device_;
  std::unique_ptr<Kernels> kernels_;
  int64_t uploaded_bytes_ = 0;
  int64_t recordings_ = 0, repetitions_ = 0;
};

}  // namespace lockstep

#endif  // LOCKSTEP_TESTS_KERNELS_FAR_BACKEND_H_
