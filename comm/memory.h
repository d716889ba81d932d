// Memory for buffers that travel.
#ifndef LOCKSTEP_COMM_MEMORY_H_
#define LOCKSTEP_COMM_MEMORY_H_

#include <cstddef>
#include <memory>

namespace lockstep {

// Zeroed, aligned to 64 bytes, of this process alone. Throws DeviceError (71).
std::shared_ptr<std::byte> AllocateZeroed(size_t bytes);

}  // namespace lockstep

#endif  // LOCKSTEP_COMM_MEMORY_H_
