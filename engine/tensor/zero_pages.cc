#include "engine/tensor/zero_pages.h"

#include <sys/mman.h>

#include <algorithm>

#include "kernels/unavailable.h"

namespace lockstep {

// Huge pages are not asked for: a few bytes here and there would take 2 MB each.
std::shared_ptr<void> AllocateZeroPages(size_t bytes, const std::string& purpose) {
  const size_t size = std::max<size_t>(bytes, 1);
  void* const memory =
      ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) {
    throw UnavailableError("out of memory: " + std::to_string(bytes) + " bytes for " + purpose +
                           "; use a smaller network");
  }
  return {memory, [size](void* pages) { ::munmap(pages, size); }};
}

}  // namespace lockstep
