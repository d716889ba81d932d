// A device: its memory and one implementation of every kernel family.
#ifndef LOCKSTEP_KERNELS_BACKEND_H_
#define LOCKSTEP_KERNELS_BACKEND_H_

#include <cstddef>
#include <functional>
#include <memory>
#include <string>

#include "kernels/conv.h"
#include "kernels/elementwise.h"
#include "kernels/gemm.h"
#include "kernels/norm.h"
#include "kernels/optimizer.h"
#include "kernels/picture.h"
#include "kernels/pool.h"
#include "kernels/random.h"
#include "kernels/reduce.h"
#include "kernels/softmax.h"

namespace lockstep {

// A place in the order of a device's work; the device outlives it.
class DeviceMoment {
 public:
  virtual ~DeviceMoment() = default;
  // Returns when all work begun before it is done. Any thread, beside calls of the backend. Throws
  // DeviceError for a failure of that work.
  virtual void Wait() = 0;
};

// Work that a device has recorded. Outlived by the device.
class Recording {
 public:
  virtual ~Recording() = default;
  // Begins that work, in the order of calls as if each of its pieces were begun now: it finds what
  // its arrays hold when its turn comes. The arrays must still be there.
  virtual void Begin() = 0;
};

// Owned by the program; outlives every tensor and plan made on it. Calls come from one thread at a
// time; kernels run on up to threads() threads inside a call.
class Backend {
 public:
  virtual ~Backend() = default;

  // "cpu" or "cuda:0".
  virtual std::string name() const = 0;
  // What timings and bits depend on: instruction set or device kind, and library versions.
  virtual std::string fingerprint() const = 0;
  virtual int threads() const = 0;

  // 64-byte aligned, not cleared. Throws UnavailableError naming `purpose` and the bytes asked for.
  virtual void* Allocate(size_t bytes, const std::string& purpose) = 0;
  virtual void Free(void* pointer) noexcept = 0;

  // Whether anybody may read and write what Allocate returned, kernels take the host's memory, too,
  // and what a call does is done when it returns. Elsewhere that memory is for kernels and for the
  // functions below alone, and calls only begin their work, which is done in the order of the
  // calls.
  virtual bool shares_host_memory() const = 0;
  // From the host's memory, which may change as soon as the call returns.
  virtual void Upload(const void* host, void* device, size_t bytes) = 0;
  // To the host's memory, behind all work begun before. Throws what Synchronize throws.
  virtual void Download(const void* device, void* host, size_t bytes) = 0;
  // Between two places of the device that do not overlap.
  virtual void Copy(const void* from, void* to, size_t bytes) = 0;
  // All bytes zero.
  virtual void Clear(void* device, size_t bytes) = 0;
  // Returns when all work begun before is done. Throws what a kernel found that could not be known
  // when it was called: FormatError for a label out of range, DeviceError for a failure.
  virtual void Synchronize() = 0;
  // Behind all work begun before; null where that is done (shares_host_memory()).
  virtual std::shared_ptr<DeviceMoment> Mark() = 0;
  // What `body` begins, without doing any of it. `body` waits for nothing, allocates nothing and
  // brings nothing from the host's memory, and its kernels have run before. Null where this device
  // cannot, and body may not have been called.
  virtual std::unique_ptr<Recording> Record(const std::function<void()>& body) = 0;

  // Makes the calling thread one that runs this device's kernels; a plan does so before it runs.
  // The families below do it by themselves. Without effect inside a lane.
  virtual void Enter() = 0;

  // body(lane) for each of `lanes` lanes, several at a time. Inside a lane every kernel runs on one
  // thread, so that its bits do not depend on threads(). Returns when all are done; rethrows the
  // exception of the first lane that threw.
  virtual void ForEachLane(int lanes, const std::function<void(int lane)>& body) = 0;

  virtual ConvKernels& conv() = 0;
  virtual ElementwiseKernels& elementwise() = 0;
  virtual GemmKernels& gemm() = 0;
  virtual NormKernels& norm() = 0;
  virtual OptimizerKernels& optimizer() = 0;
  virtual PictureKernels& picture() = 0;
  virtual PoolKernels& pool() = 0;
  virtual RandomKernels& random() = 0;
  virtual ReduceKernels& reduce() = 0;
  virtual SoftmaxKernels& softmax() = 0;
};

// threads 0: the cores of the affinity mask, fewer where a container may use less CPU time; a share
// of them where other processes are known to run on the same (kernels/cpu/crowd.h).
std::unique_ptr<Backend> MakeCpuBackend(int threads = 0);
// GPUs that this build can ask for here; 0 without a driver that answers.
int CountCudaDevices();
// Throws DeviceError where this build or machine has no CUDA. `allow_tf32`: products and
// convolutions of float32 may round their operands to TF32, 10 bits of mantissa, for the sake of
// tensor cores.
std::unique_ptr<Backend> MakeCudaBackend(int device, bool allow_tf32 = false);

}  // namespace lockstep

#endif  // LOCKSTEP_KERNELS_BACKEND_H_
