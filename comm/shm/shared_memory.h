// Memory that processes of one host share, and how they come to it.
#ifndef LOCKSTEP_COMM_SHM_SHARED_MEMORY_H_
#define LOCKSTEP_COMM_SHM_SHARED_MEMORY_H_

#include <cstddef>
#include <functional>
#include <memory>
#include <string>

#include "engine/train/posix_file.h"

namespace lockstep {

// Of the system, as long as it has some.
inline constexpr size_t kPage = 4096, kHugePage = size_t{2} << 20;

// Zeroed memory behind a descriptor (memfd). It belongs to no file system: /dev/shm, of 64 MB in a
// container, does not bound it. Throws DeviceError (71).
FileDescriptor MakeMemory(size_t bytes);

// Maps memory of MakeMemory of at least `bytes`, at a multiple of kHugePage where it has that many;
// unmapped with the last copy of the pointer.
std::shared_ptr<std::byte> MapMemory(const FileDescriptor& memory, size_t bytes);

// Fills this part of mapped memory with pages, in huge ones for all processes as far as it spans
// such and the system has them (madvise(2), Linux 6.1).
void UseHugePages(std::byte* memory, size_t bytes);

// Called every 100 ms of a wait; throws to end it.
using WaitCheck = std::function<void()>;

// Hands a descriptor to processes of the same user and host that know this offer's name: a unix
// socket in the abstract namespace.
class DescriptorOffer {
 public:
  DescriptorOffer();
  const std::string& name() const { return name_; }
  // Returns when `takers` processes have it.
  void Give(const FileDescriptor& descriptor, int takers, const WaitCheck& check);

 private:
  std::string name_;
  FileDescriptor socket_;
};

FileDescriptor TakeDescriptor(const std::string& offer, const WaitCheck& check);

}  // namespace lockstep

#endif  // LOCKSTEP_COMM_SHM_SHARED_MEMORY_H_
