#include "kernels/cpu/parallel.h"

// libgomp's entry points, so that any compiler shares oneDNN's thread pool: clang's own -fopenmp
// would bring a second one. ABI: gcc's libgomp/libgomp_g.h, stable since GCC 4.9.
extern "C" {
void GOMP_parallel(void (*fn)(void*), void* data, unsigned num_threads, unsigned flags);
int omp_get_thread_num(void);
int omp_get_num_threads(void);
void omp_set_num_threads(int);
}

namespace lockstep::cpu {
namespace {

thread_local int current_threads = 1;

struct Closure {
  void (*body)(void*, int, int);
  void* closure;
};

}  // namespace

void SetThreads(int threads) {
  current_threads = threads < 1 ? 1 : threads;
  omp_set_num_threads(current_threads);  // what oneDNN reads
}

int GetThreads() { return current_threads; }

namespace internal {

void Run(int threads, void (*body)(void*, int, int), void* closure) {
  Closure c{body, closure};
  GOMP_parallel(
      [](void* data) {
        const auto& call = *static_cast<Closure*>(data);
        call.body(call.closure, omp_get_thread_num(), omp_get_num_threads());
      },
      &c, static_cast<unsigned>(threads), 0);
}

}  // namespace internal
}  // namespace lockstep::cpu
