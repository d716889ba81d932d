#include "comm/shm/shared_memory.h"

#include <poll.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "kernels/error.h"

namespace lockstep {
namespace {

[[noreturn]] void ThrowSystem(const std::string& what, int error) {
  throw DeviceError(what + ": " + std::strerror(error) +
                    "; ranks of one host need memory and descriptors for what they share" +
                    (error == EFBIG ? "; raise `ulimit -f`, which is about memory too that is "
                                      "shared, or take --communicator mpi"
                                    : ""));
}

// Unguessable: other users of the host see the names of all abstract sockets, but not early enough
// to be served before SO_PEERCRED is looked at.
std::string RandomName() {
  std::array<unsigned char, 16> bytes{};
  if (::getrandom(bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size())) {
    ThrowSystem("no random bytes for a socket's name", errno);
  }
  std::string name = "lockstep-";
  for (const unsigned char byte : bytes) {
    constexpr char kDigits[] = "0123456789abcdef";
    name += kDigits[byte >> 4];
    name += kDigits[byte & 15];
  }
  return name;
}

FileDescriptor MakeSocket() {
  FileDescriptor socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!socket) ThrowSystem("no socket to share memory by", errno);
  return socket;
}

[[noreturn]] void ThrowUnmapped(size_t bytes, int error) {
  ThrowSystem("cannot map " + std::to_string(bytes) + " bytes that ranks share", error);
}

// A leading zero byte makes a name abstract.
socklen_t AddressOf(const std::string& name, sockaddr_un* address) {
  *address = {};
  address->sun_family = AF_UNIX;
  if (name.empty() || name.size() + 1 > sizeof address->sun_path) {
    throw CommError("'" + name + "' is no name that memory is shared by");
  }
  std::memcpy(address->sun_path + 1, name.data(), name.size());
  return static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + name.size());
}

void WaitReadable(const FileDescriptor& socket, const WaitCheck& check) {
  for (;;) {
    pollfd entry{.fd = socket.get(), .events = POLLIN, .revents = 0};
    const int ready = ::poll(&entry, 1, 100);
    if (ready > 0) return;
    if (ready < 0 && errno != EINTR) ThrowSystem("cannot wait for a rank of this host", errno);
    check();
  }
}

bool IsOfThisUser(const FileDescriptor& socket) {
  ucred peer{};
  socklen_t size = sizeof peer;
  return ::getsockopt(socket.get(), SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 &&
         peer.uid == ::geteuid();
}

// One byte of data carries one descriptor (unix(7), SCM_RIGHTS).
struct Message {
  char byte = 'm';
  iovec data{.iov_base = &byte, .iov_len = 1};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
  msghdr header{};

  Message() {
    header.msg_iov = &data;
    header.msg_iovlen = 1;
    header.msg_control = control.data();
    header.msg_controllen = control.size();
  }
  Message(const Message&) = delete;
  Message& operator=(const Message&) = delete;
};

void Send(const FileDescriptor& socket, int descriptor) {
  Message message;
  cmsghdr* const rights = CMSG_FIRSTHDR(&message.header);
  rights->cmsg_level = SOL_SOCKET;
  rights->cmsg_type = SCM_RIGHTS;
  rights->cmsg_len = CMSG_LEN(sizeof(int));
  std::memcpy(CMSG_DATA(rights), &descriptor, sizeof(int));
  ssize_t sent = 0;
  do {
    sent = ::sendmsg(socket.get(), &message.header, MSG_NOSIGNAL);
  } while (sent < 0 && errno == EINTR);
  if (sent != 1) ThrowSystem("cannot share memory with a rank of this host", errno);
}

constexpr size_t RoundUp(size_t bytes, size_t to) { return (bytes + to - 1) / to * to; }

// Addresses for so many whole pages: an aligned part of more.
std::byte* Reserve(size_t bytes, size_t alignment) {
  const size_t room = bytes + alignment - kPage;
  void* const reserved =
      ::mmap(nullptr, room, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (reserved == MAP_FAILED) ThrowUnmapped(bytes, errno);
  auto* const begin = static_cast<std::byte*>(reserved);
  const size_t before =
      RoundUp(reinterpret_cast<uintptr_t>(begin), alignment) - reinterpret_cast<uintptr_t>(begin);
  const size_t behind = room - before - bytes;
  if (before > 0) ::munmap(begin, before);
  if (behind > 0) ::munmap(begin + before + bytes, behind);
  return begin + before;
}

}  // namespace

FileDescriptor MakeMemory(size_t bytes) {
  FileDescriptor memory(::memfd_create("lockstep", MFD_CLOEXEC));
  if (!memory) ThrowSystem("cannot make memory that ranks share", errno);
  if (::ftruncate(memory.get(), static_cast<off_t>(bytes)) != 0) {
    ThrowSystem("cannot make " + std::to_string(bytes) + " bytes that ranks share", errno);
  }
  return memory;
}

// The size is compared: touching a page beyond the end would be a SIGBUS.
std::shared_ptr<std::byte> MapMemory(const FileDescriptor& memory, size_t bytes) {
  struct stat status {};
  if (::fstat(memory.get(), &status) != 0) ThrowSystem("cannot see shared memory", errno);
  if (static_cast<size_t>(status.st_size) < bytes) {
    throw CommError("memory shared by another rank has " + std::to_string(status.st_size) +
                        " bytes, wanted " + std::to_string(bytes) +
                        "; every rank must run the same program on the same settings",
                    ExitCode::kDisagree);
  }
  std::byte* const base = Reserve(RoundUp(bytes, kPage), bytes >= kHugePage ? kHugePage : kPage);
  if (::mmap(base, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, memory.get(), 0) ==
      MAP_FAILED) {
    const int error = errno;
    ::munmap(base, bytes);
    ThrowUnmapped(bytes, error);
  }
  ::madvise(base, bytes, MADV_HUGEPAGE);  // where the system has huge pages for it
  return {base, [bytes](std::byte* p) { ::munmap(p, bytes); }};
}

// Systems have no huge pages for shared memory when it is touched, unless somebody changed
// shmem_enabled from "never"; but they make huge what a process asks for that is there already, if
// only one small page of it.
void UseHugePages(std::byte* memory, size_t bytes) {
  constexpr int kPopulateWrite = 23, kCollapse = 25;  // MADV_..., of Linux 5.14 and 6.1
  for (size_t begin = 0; begin + kHugePage <= bytes; begin += kHugePage) {
    if (::madvise(memory + begin, kPage, kPopulateWrite) != 0) return;
  }
  ::madvise(memory, bytes, kCollapse);
}

DescriptorOffer::DescriptorOffer() : name_(RandomName()), socket_(MakeSocket()) {
  sockaddr_un address{};
  const socklen_t size = AddressOf(name_, &address);
  if (::bind(socket_.get(), reinterpret_cast<const sockaddr*>(&address), size) != 0 ||
      ::listen(socket_.get(), SOMAXCONN) != 0) {
    ThrowSystem("cannot offer memory to the ranks of this host", errno);
  }
}

void DescriptorOffer::Give(const FileDescriptor& descriptor, int takers, const WaitCheck& check) {
  for (int given = 0; given < takers;) {
    WaitReadable(socket_, check);
    const FileDescriptor taker(::accept4(socket_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    if (!taker) {
      if (errno == EINTR || errno == ECONNABORTED) continue;
      ThrowSystem("cannot share memory with a rank of this host", errno);
    }
    if (!IsOfThisUser(taker)) continue;
    Send(taker, descriptor.get());
    ++given;
  }
}

FileDescriptor TakeDescriptor(const std::string& offer, const WaitCheck& check) {
  const FileDescriptor socket = MakeSocket();
  sockaddr_un address{};
  const socklen_t size = AddressOf(offer, &address);
  if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), size) != 0) {
    throw CommError("the rank of this host that shares memory is not there any more: " +
                    std::string(std::strerror(errno)));
  }
  WaitReadable(socket, check);
  Message message;
  const ssize_t received = ::recvmsg(socket.get(), &message.header, MSG_CMSG_CLOEXEC);
  const cmsghdr* const rights = CMSG_FIRSTHDR(&message.header);
  if (received != 1 || rights == nullptr || rights->cmsg_type != SCM_RIGHTS) {
    throw CommError("the rank of this host that shares memory ended before it had done so");
  }
  int descriptor = -1;
  std::memcpy(&descriptor, CMSG_DATA(rights), sizeof descriptor);
  return FileDescriptor(descriptor);
}

}  // namespace lockstep
