#include "tools/allocation.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <new>

namespace lockstep::tools {
namespace {

// Of the whole process, as its memory is.
std::atomic<const char*> doing{"the start of the program"};

// Allocates nothing itself.
class NoMemory : public std::bad_alloc {
 public:
  explicit NoMemory(std::size_t bytes) noexcept {
    std::snprintf(text_.data(), text_.size(),
                  "out of memory: %zu bytes for %s; use a smaller batch or network, or raise the "
                  "limit of memory",
                  bytes, doing.load(std::memory_order_relaxed));
  }
  const char* what() const noexcept override { return text_.data(); }

 private:
  std::array<char, 200> text_{};
};

}  // namespace

Doing::Doing(const char* what) noexcept : before_(doing.exchange(what)) {}

Doing::~Doing() { doing.store(before_); }

}  // namespace lockstep::tools

void* operator new(std::size_t bytes) {
  for (;;) {
    if (void* const memory = std::malloc(std::max<std::size_t>(bytes, 1))) return memory;
    const std::new_handler handler = std::get_new_handler();
    if (handler == nullptr) throw lockstep::tools::NoMemory(bytes);
    handler();
  }
}

// A sanitizer has one of its own otherwise, whose memory these cannot free.
void* operator new(std::size_t bytes, const std::nothrow_t&) noexcept {
  return std::malloc(std::max<std::size_t>(bytes, 1));
}

void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
void operator delete(void* memory, const std::nothrow_t&) noexcept { std::free(memory); }
