// What the families of KernelWorks are built with.
#ifndef LOCKSTEP_TOOLS_KERNEL_BENCH_H_
#define LOCKSTEP_TOOLS_KERNEL_BENCH_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <vector>

#include "engine/tensor/device_memory.h"
#include "kernels/backend.h"
#include "tools/kernel_works.h"

namespace lockstep::tools {

// Where works get their arrays and are handed over. Used by one thread.
class KernelBench {
 public:
  using Visit = std::function<void(const KernelWork&)>;

  // All three must outlive this.
  KernelBench(Backend& backend, const KernelSizes& sizes, const Visit& visit)
      : backend_(backend), sizes_(sizes), visit_(visit) {}

  Backend& backend() const { return backend_; }
  int64_t batch_size() const { return sizes_.batch_size; }
  // How many float32 are an array that memory limits.
  int64_t many() const { return static_cast<int64_t>(sizes_.megabytes * 1e6 / sizeof(float)); }
  // A picture batch of about many() elements.
  PictureShape ManyPictures() const;

  // Memory of the work that is made next, with unspecified bytes.
  template <typename T>
  T* Take(int64_t size) {
    memory_.push_back(
        AllocateOn(backend_, static_cast<size_t>(size) * sizeof(T), "measuring a kernel"));
    return static_cast<T*>(memory_.back().get());
  }
  // The same with any ordinary numbers: zeros and denormals would run at another speed.
  float* Floats(int64_t size, double low = -1.0, double high = 1.0);
  template <typename T>
  T* Copied(const std::vector<T>& host) {
    T* const memory = Take<T>(static_cast<int64_t>(host.size()));
    backend_.Upload(host.data(), memory, host.size() * sizeof(T));
    return memory;
  }

  // Hands the work over; what it was given by Take is freed behind it.
  void Add(const KernelWork& work);

 private:
  Backend& backend_;
  const KernelSizes& sizes_;
  const Visit& visit_;
  std::vector<DeviceMemory> memory_;
};

// Of kernel_works_layers.cc.
void AddConvWorks(KernelBench& bench);
void AddGemmWorks(KernelBench& bench);
void AddNormWorks(KernelBench& bench);
void AddPoolWorks(KernelBench& bench);
void AddSoftmaxWorks(KernelBench& bench);
// Of kernel_works_flat.cc.
void AddElementwiseWorks(KernelBench& bench);
void AddMemoryWorks(KernelBench& bench);
void AddOptimizerWorks(KernelBench& bench);
void AddPictureWorks(KernelBench& bench);
void AddRandomWorks(KernelBench& bench);
void AddReduceWorks(KernelBench& bench);

inline int64_t Size(const PictureShape& s) { return s.n * s.c * s.h * s.w; }
std::string PictureText(const PictureShape& s);  // "(64, 3, 32, 32)"
// That convolutions like best.
Layout LayoutOf(const KernelBench& bench, const PictureShape& s);

}  // namespace lockstep::tools

#endif  // LOCKSTEP_TOOLS_KERNEL_BENCH_H_
