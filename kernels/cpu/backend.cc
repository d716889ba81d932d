#include "kernels/cpu/backend.h"

#include <sys/mman.h>

#include <cstdlib>
#include <cstring>
#include <exception>
#include <oneapi/dnnl/dnnl.hpp>
#include <vector>

#include "kernels/cpu/crowd.h"
#include "kernels/cpu/parallel.h"
#include "kernels/unavailable.h"

namespace lockstep::cpu {
namespace {

constexpr size_t kAlignment = 64;
// From this size on huge pages are asked for: fewer page faults and misses of the page tables.
constexpr size_t kHugePage = size_t{2} << 20;
constexpr size_t kHugeFrom = 2 * kHugePage;
// Bytes that are not worth another thread.
constexpr int64_t kClearGrain = int64_t{1} << 20;

thread_local bool in_lane = false;
// What Enter() last set here; 0 on a new thread, where oneDNN would take all cores.
thread_local int entered_threads = 0;

// While it lives, the calling thread runs kernels alone.
class LaneScope {
 public:
  LaneScope() : was_in_lane_(in_lane), threads_(GetThreads()) {
    in_lane = true;
    SetThreads(1);
  }
  ~LaneScope() {
    in_lane = was_in_lane_;
    SetThreads(threads_);
  }
  LaneScope(const LaneScope&) = delete;
  LaneScope& operator=(const LaneScope&) = delete;

 private:
  const bool was_in_lane_;
  const int threads_;
};

}  // namespace

CpuBackend::CpuBackend(int threads, Isa isa)
    : threads_(threads > 0 ? threads : OwnCores()), isa_(TableOf(isa)), gemm_(isa, widening_) {
  ExpectThreads(threads_);
}

std::string CpuBackend::fingerprint() const {
  const dnnl_version_t* v = dnnl_version();
  return "cpu " + std::string(isa_.name) + " onednn-" + std::to_string(v->major) + "." +
         std::to_string(v->minor) + "." + std::to_string(v->patch);
}

void* CpuBackend::Allocate(size_t bytes, const std::string& purpose) {
  const size_t alignment = bytes >= kHugeFrom ? kHugePage : kAlignment;
  const size_t rounded = (bytes + alignment - 1) / alignment * alignment;
  void* p = rounded < bytes ? nullptr : std::aligned_alloc(alignment, rounded > 0 ? rounded : 64);
  if (p == nullptr) {
    throw UnavailableError("out of memory: " + std::to_string(bytes) + " bytes for " + purpose +
                           " on cpu; use a smaller batch or network");
  }
  if (alignment == kHugePage) madvise(p, rounded, MADV_HUGEPAGE);  // a hint: failure is harmless
  return p;
}

void CpuBackend::Free(void* pointer) noexcept { std::free(pointer); }

void CpuBackend::Copy(const void* from, void* to, size_t bytes) {
  if (bytes > 0) std::memcpy(to, from, bytes);
}

void CpuBackend::Clear(void* device, size_t bytes) {
  Enter();
  ParallelFor(static_cast<int64_t>(bytes), kClearGrain, [&](int64_t begin, int64_t end) {
    std::memset(static_cast<char*>(device) + begin, 0, static_cast<size_t>(end - begin));
  });
}

void CpuBackend::Enter() {
  if (in_lane || (entered_threads == threads_ && GetThreads() == threads_)) return;
  SetThreads(threads_);
  entered_threads = threads_;
}

void CpuBackend::ForEachLane(int lanes, const std::function<void(int lane)>& body) {
  Enter();
  std::vector<std::exception_ptr> failures(static_cast<size_t>(lanes));
  ParallelThreads([&](int thread, int threads) {
    const LaneScope scope;
    for (int lane = thread; lane < lanes; lane += threads) {
      try {
        body(lane);
      } catch (...) {
        failures[static_cast<size_t>(lane)] = std::current_exception();
      }
    }
  });
  for (const std::exception_ptr& failure : failures) {
    if (failure) std::rethrow_exception(failure);
  }
}

}  // namespace lockstep::cpu

namespace lockstep {

std::unique_ptr<Backend> MakeCpuBackend(int threads) {
  return std::make_unique<cpu::CpuBackend>(threads, cpu::BestIsa());
}

}  // namespace lockstep
