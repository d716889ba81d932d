// Arrays on their way to a GPU, while the GPU works and the host goes on.
#ifndef LOCKSTEP_KERNELS_CUDA_UPLOAD_RING_H_
#define LOCKSTEP_KERNELS_CUDA_UPLOAD_RING_H_

#include <cstddef>

namespace lockstep::cuda {

// Slots, each of pinned memory and as much of the GPU's, and who copies between them.
class UploadSlots {
 public:
  virtual ~UploadSlots() = default;
  virtual size_t count() const = 0;
  virtual size_t bytes() const = 0;  // of each
  // Returns when what was sent last from the slot is gone from its pinned memory.
  virtual char* Pinned(size_t slot) = 0;
  // Begins a copy to the slot's memory on the GPU: beside the work there, but behind the slot's
  // Deliver before.
  virtual void Send(size_t slot, size_t bytes) = 0;
  // Begins a copy from there to `device`: in the order of all work, and behind the slot's Send.
  virtual void Deliver(size_t slot, void* device, size_t bytes) = 0;
};

// What is copied over the bus may travel while work begun before it runs, since it goes to memory
// that no kernel knows; only the copy inside the GPU, many times as fast, waits its turn. The
// host waits where it is as many copies ahead as there are slots.
class UploadRing {
 public:
  // `slots` must outlive this.
  explicit UploadRing(UploadSlots* slots) : slots_(slots) {}

  // The host's memory may change as soon as the call returns.
  void Upload(const void* host, void* device, size_t bytes);

 private:
  UploadSlots* slots_;
  size_t next_ = 0;
};

}  // namespace lockstep::cuda

#endif  // LOCKSTEP_KERNELS_CUDA_UPLOAD_RING_H_
