#include "tools/limits.h"

#include <sys/mman.h>
#include <sys/resource.h>

#include <algorithm>
#include <string>

#include "comm/world.h"
#include "engine/train/host_name.h"
#include "kernels/cpu/cores.h"
#include "kernels/error.h"

namespace lockstep::tools {
namespace {

// Measured: oneDNN's convolutions end with a signal below 1 MB.
constexpr rlim_t kStack = rlim_t{2} << 20;
// What they use of it at most: the largest frame of ours has 1 MB.
constexpr size_t kUsedStack = size_t{3} << 19;
// Measured: 8, and 24 for a job of two ranks; the first of many has a connection to each, and MPI
// may have another.
constexpr rlim_t kDescriptors = 16;
constexpr rlim_t kDescriptorsOfAJob = 32;
constexpr rlim_t kDescriptorsOfARank = 2;
// MPI's, the heartbeat's, and the one that runs collectives.
constexpr int kThreadsOfAJob = 8;
// What MPI maps, with 64 MB for every thread that allocates.
constexpr size_t kAddressSpaceOfAJob = size_t{512} << 20;

// Ranks have not met yet, and each host may have limits of its own.
[[noreturn]] void Refuse(const std::string& needed, const std::string& remedy) {
  const std::string who = LaunchedRanks() == 1 ? ""
                                               : "rank " + std::to_string(LaunchedRank()) +
                                                     " on host " + HostName() + ": ";
  throw Error(ExitCode::kNoResources, who + needed + "; raise " + remedy);
}

rlimit LimitOf(decltype(RLIMIT_STACK) resource) {
  rlimit limit{RLIM_INFINITY, RLIM_INFINITY};
  ::getrlimit(resource, &limit);
  return limit;
}

void RequireStack() {
  const rlim_t stack = LimitOf(RLIMIT_STACK).rlim_cur;
  if (stack >= kStack) return;
  Refuse("kernels need " + std::to_string(kStack) + " bytes of stack, may have " +
             std::to_string(stack),
         "`ulimit -s`");
}

void RequireDescriptors(int ranks) {
  const rlim_t needed = ranks == 1
                            ? kDescriptors
                            : kDescriptorsOfAJob + kDescriptorsOfARank * static_cast<rlim_t>(ranks);
  rlimit limit = LimitOf(RLIMIT_NOFILE);
  if (limit.rlim_cur >= needed) return;
  const rlim_t allowed = limit.rlim_cur;
  limit.rlim_cur = std::min(needed, limit.rlim_max);
  if (limit.rlim_cur == needed && ::setrlimit(RLIMIT_NOFILE, &limit) == 0) return;
  const std::string who = ranks == 1 ? "this process needs "
                                     : "each of the " + std::to_string(ranks) + " processes needs ";
  Refuse(who + std::to_string(needed) + " descriptors, may have " + std::to_string(allowed),
         "`ulimit -n`");
}

// All at once, for they live at once.
void RequireThreads(int needed) {
  const int startable = cpu::StartableThreads(needed);
  if (startable == needed) return;
  Refuse("no more threads: needs " + std::to_string(needed) + " besides the first, may have " +
             std::to_string(startable),
         "`ulimit -u`, or the container's limit of processes");
}

void RequireAddressSpace(size_t bytes, const std::string& purpose) {
  void* const space =
      ::mmap(nullptr, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (space == MAP_FAILED) {
    Refuse("out of memory: " + std::to_string(bytes) + " bytes of address space for " + purpose +
               ", of " + std::to_string(LimitOf(RLIMIT_AS).rlim_cur) +
               " that this process may have",
           "`ulimit -v`");
  }
  ::munmap(space, bytes);
}

// The stack of the first thread grows as it is used. Where it found no address space any more that
// would be a signal, so it grows now.
[[gnu::noinline]] void GrowStack() {
  constexpr size_t kPage = 4096;
  char used[kUsedStack];
  volatile char* const end = used + kUsedStack - 1;
  for (size_t at = 0; at < kUsedStack; at += kPage) *(end - at) = 0;
}

}  // namespace

void RequireLimits(int ranks, int64_t threads) {
  if (threads == 0) threads = std::max(1, cpu::UsableCores() / ranks);
  RequireStack();
  RequireDescriptors(ranks);
  RequireThreads(static_cast<int>(threads) - 1 + (ranks > 1 ? kThreadsOfAJob : 0));
  if (LimitOf(RLIMIT_AS).rlim_cur == RLIM_INFINITY) return;
  RequireAddressSpace(kUsedStack, "the stack");
  GrowStack();
  if (ranks > 1) RequireAddressSpace(kAddressSpaceOfAJob, "MPI");
}

}  // namespace lockstep::tools
