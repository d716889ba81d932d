#include "tests/kernels/far_backend.h"

#include <sys/mman.h>

#include <cstring>
#include <exception>
#include <utility>

#include "kernels/error.h"
#include "tests/kernels/far_kernels.h"

namespace lockstep {
namespace {

constexpr size_t kPage = 4096;

}  // namespace

FarDevice::~FarDevice() {
  for (const auto& [begin, bytes] : regions_) ::munmap(const_cast<char*>(begin), bytes);
}

void* FarDevice::Allocate(size_t bytes) {
  const std::lock_guard<std::recursive_mutex> lock(mutex_);
  const size_t pages = (bytes + kPage) / kPage * kPage;
  void* memory = ::mmap(nullptr, pages, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) throw DeviceError("no memory for the device of a test");
  regions_[static_cast<const char*>(memory)] = pages;
  // What was there before is no number.
  Begin({}, [memory, pages] { std::memset(memory, 0xFF, pages); });
  return memory;
}

void FarDevice::Free(void* memory) {
  Begin({}, [this, memory] {
    const auto found = regions_.find(static_cast<const char*>(memory));
    ::munmap(memory, found->second);
    regions_.erase(found);
  });
}

bool FarDevice::Holds(const void* memory) const {
  const std::lock_guard<std::recursive_mutex> lock(mutex_);
  const char* at = static_cast<const char*>(memory);
  const auto behind = regions_.upper_bound(at);
  return behind != regions_.begin() && at < std::prev(behind)->first + std::prev(behind)->second;
}

void FarDevice::CopyBeside(const void* from, void* to, size_t bytes) {
  const std::lock_guard<std::recursive_mutex> lock(mutex_);
  const Open open(*this);
  if (bytes > 0) std::memcpy(to, from, bytes);
}

void FarDevice::RequireHere(std::initializer_list<const void*> arrays) const {
  for (const void* array : arrays) {
    if (array == nullptr || Holds(array)) continue;
    throw Error(ExitCode::kBug, "a kernel was handed an array of the host");
  }
}

void FarDevice::Begin(std::initializer_list<const void*> arrays, std::function<void()> work) {
  const std::lock_guard<std::recursive_mutex> lock(mutex_);
  RequireHere(arrays);
  work_.push_back(std::move(work));
}

FarDevice::Work FarDevice::Record(const std::function<void()>& body) {
  const std::lock_guard<std::recursive_mutex> lock(mutex_);
  Work before = std::exchange(work_, {});
  recording_ = true;
  body();
  recording_ = false;
  return std::exchange(work_, std::move(before));
}

void FarDevice::BeginAgain(const Work& work) {
  const std::lock_guard<std::recursive_mutex> lock(mutex_);
  work_.insert(work_.end(), work.begin(), work.end());
}

void FarDevice::Run() {
  const std::lock_guard<std::recursive_mutex> lock(mutex_);
  if (recording_) throw Error(ExitCode::kBug, "somebody waits for work that is recorded");
  ++waits_;
  const auto work = std::exchange(work_, {});
  const Open open(*this);
  for (const auto& each : work) {
    try {
      each();
    } catch (const Error&) {
      if (!failure_) failure_ = std::current_exception();
    }
  }
}

void FarDevice::Finish() {
  const std::lock_guard<std::recursive_mutex> lock(mutex_);
  Run();
  if (failure_) std::rethrow_exception(std::exchange(failure_, nullptr));
}

void FarDevice::Protect(bool open) {
  for (const auto& [begin, bytes] : regions_) {
    ::mprotect(const_cast<char*>(begin), bytes, open ? PROT_READ | PROT_WRITE : PROT_NONE);
  }
}

FarBackend::FarBackend(std::unique_ptr<Backend> base)
    : BackendWrapper(std::move(base)),
      kernels_(std::make_unique<Kernels>(device_, BackendWrapper::base())) {}

FarBackend::~FarBackend() = default;

void FarBackend::Free(void* pointer) noexcept {
  if (pointer != nullptr) device_.Free(pointer);
}

void FarBackend::Upload(const void* host, void* device, size_t bytes) {
  uploaded_bytes_ += static_cast<int64_t>(bytes);
  const char* from = static_cast<const char*>(host);
  device_.Begin({device}, [device, copy = std::vector<char>(from, from + bytes)] {
    if (!copy.empty()) std::memcpy(device, copy.data(), copy.size());
  });
}

void FarBackend::Download(const void* device, void* host, size_t bytes) {
  device_.Do({device}, [&] {
    if (bytes > 0) std::memcpy(host, device, bytes);
  });
  base().Synchronize();
}

void FarBackend::Synchronize() {
  device_.Finish();
  base().Synchronize();
}

namespace {

// All work so far is done, not only that before it. As on a GPU, what it met is told by the next
// call that waits.
class FarMoment : public DeviceMoment {
 public:
  FarMoment(FarBackend& backend, FarDevice& device) : backend_(backend), device_(device) {}
  void Wait() override {
    backend_.Enter();
    device_.Run();
  }

 private:
  FarBackend& backend_;
  FarDevice& device_;
};

}  // namespace

std::shared_ptr<DeviceMoment> FarBackend::Mark() {
  return std::make_shared<FarMoment>(*this, device_);
}

// Whatever the work reads besides the device's memory is what it was when it was recorded.
class FarBackend::FarRecording : public Recording {
 public:
  FarRecording(FarBackend& far, FarDevice::Work work) : far_(far), work_(std::move(work)) {}
  void Begin() override {
    ++far_.repetitions_;
    far_.device_.BeginAgain(work_);
  }

 private:
  FarBackend& far_;
  FarDevice::Work work_;
};

std::unique_ptr<Recording> FarBackend::Record(const std::function<void()>& body) {
  ++recordings_;
  return std::make_unique<FarRecording>(*this, device_.Record(body));
}

void FarBackend::Copy(const void* from, void* to, size_t bytes) {
  device_.Begin({from, to}, [=] {
    if (bytes > 0) std::memcpy(to, from, bytes);
  });
}

void FarBackend::Clear(void* device, size_t bytes) {
  device_.Begin({device}, [=] {
    if (bytes > 0) std::memset(device, 0, bytes);
  });
}

void FarBackend::ForEachLane(int lanes, const std::function<void(int lane)>& body) {
  for (int lane = 0; lane < lanes; ++lane) body(lane);
}

struct FarBackend::Kernels {
  Kernels(FarDevice& device, Backend& base)
      : conv(device, base.conv()),
        elementwise(device, base.elementwise()),
        gemm(device, base.gemm()),
        norm(device, base.norm()),
        optimizer(device, base.optimizer()),
        picture(device, base.picture()),
        pool(device, base.pool()),
        random(device, base.random()),
        reduce(device, base.reduce()),
        softmax(device, base.softmax()) {}

  FarConv conv;
  FarElementwise elementwise;
  FarGemm gemm;
  FarNorm norm;
  FarOptimizer optimizer;
  FarPicture picture;
  FarPool pool;
  FarRandom random;
  FarReduce reduce;
  FarSoftmax softmax;
};

ConvKernels& FarBackend::conv() { return kernels_->conv; }
ElementwiseKernels& FarBackend::elementwise() { return kernels_->elementwise; }
GemmKernels& FarBackend::gemm() { return kernels_->gemm; }
NormKernels& FarBackend::norm() { return kernels_->norm; }
OptimizerKernels& FarBackend::optimizer() { return kernels_->optimizer; }
PictureKernels& FarBackend::picture() { return kernels_->picture; }
PoolKernels& FarBackend::pool() { return kernels_->pool; }
RandomKernels& FarBackend::random() { return kernels_->random; }
ReduceKernels& FarBackend::reduce() { return kernels_->reduce; }
SoftmaxKernels& FarBackend::softmax() { return kernels_->softmax; }

}  // namespace lockstep
