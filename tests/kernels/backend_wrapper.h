// A backend that leaves everything to another one: what a test's own backend changes is all it
// says.
#ifndef LOCKSTEP_TESTS_KERNELS_BACKEND_WRAPPER_H_
#define LOCKSTEP_TESTS_KERNELS_BACKEND_WRAPPER_H_

#include <memory>
#include <string>
#include <utility>

#include "kernels/backend.h"

namespace lockstep {

class BackendWrapper : public Backend {
 public:
  explicit BackendWrapper(std::unique_ptr<Backend> base) : base_(std::move(base)) {}

  std::string name() const override { return base_->name(); }
  std::string fingerprint() const override { return base_->fingerprint(); }
  int threads() const override { return base_->threads(); }
  void* Allocate(size_t bytes, const std::string& purpose) override {
    return base_->Allocate(bytes, purpose);
  }
  void Free(void* pointer) noexcept override { base_->Free(pointer); }
  bool shares_host_memory() const override { return base_->shares_host_memory(); }
  void Upload(const void* host, void* device, size_t bytes) override {
    base_->Upload(host, device, bytes);
  }
  void Download(const void* device, void* host, size_t bytes) override {
    base_->Download(device, host, bytes);
  }
  void Copy(const void* from, void* to, size_t bytes) override { base_->Copy(from, to, bytes); }
  void Clear(void* device, size_t bytes) override { base_->Clear(device, bytes); }
  void Synchronize() override { base_->Synchronize(); }
  std::shared_ptr<DeviceMoment> Mark() override { return base_->Mark(); }
  std::unique_ptr<Recording> Record(const std::function<void()>& body) override {
    return base_->Record(body);
  }
  void Enter() override { base_->Enter(); }
  void ForEachLane(int lanes, const std::function<void(int lane)>& body) override {
    base_->ForEachLane(lanes, body);
  }

  ConvKernels& conv() override { return base_->conv(); }
  ElementwiseKernels& elementwise() override { return base_->elementwise(); }
  GemmKernels& gemm() override { return base_->gemm(); }
  NormKernels& norm() override { return base_->norm(); }
  OptimizerKernels& optimizer() override { return base_->optimizer(); }
  PictureKernels& picture() override { return base_->picture(); }
  PoolKernels& pool() override { return base_->pool(); }
  RandomKernels& random() override { return base_->random(); }
  ReduceKernels& reduce() override { return base_->reduce(); }
  SoftmaxKernels& softmax() override { return base_->softmax(); }

 protected:
  Backend& base() { return *base_; }

 private:
  std::unique_ptr<Backend> base_;
};

}  // namespace lockstep

#endif  // LOCKSTEP_TESTS_KERNELS_BACKEND_WRAPPER_H_
