#include "kernels/cuda/upload_ring.h"

#include <algorithm>
#include <cstring>

namespace lockstep::cuda {

void UploadRing::Upload(const void* host, void* device, size_t bytes) {
  for (size_t done = 0; done < bytes;) {
    const size_t part = std::min(slots_->bytes(), bytes - done);
    const size_t slot = next_;
    next_ = (next_ + 1) % slots_->count();
    std::memcpy(slots_->Pinned(slot), static_cast<const char*>(host) + done, part);
    slots_->Send(slot, part);
    slots_->Deliver(slot, static_cast<char*>(device) + done, part);
    done += part;
  }
}

}  // namespace lockstep::cuda
