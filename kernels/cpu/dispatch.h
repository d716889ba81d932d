// From run-time choices (instruction set, dtype) to the compiled loops.
#ifndef LOCKSTEP_KERNELS_CPU_DISPATCH_H_
#define LOCKSTEP_KERNELS_CPU_DISPATCH_H_

#include <string>
#include <vector>

#include "kernels/cpu/isa/loops.h"
#include "kernels/cpu/isa_choice.h"
#include "kernels/cpu/parallel.h"
#include "kernels/dtype.h"
#include "kernels/error.h"

namespace lockstep::cpu {

// The instruction sets of this build that this machine runs, the best one last; never empty.
std::vector<Isa> SupportedIsas();

IsaTable TableOf(Isa isa);

// fn(loops of the dtype, a null T*).
template <typename Fn>
decltype(auto) WithType(const IsaTable& isa, DType dtype, Fn&& fn) {
  switch (dtype) {
    case DType::kFloat32:
      return fn(isa.f32, static_cast<float*>(nullptr));
    case DType::kFloat64:
      return fn(isa.f64, static_cast<double*>(nullptr));
    default:
      throw Error(ExitCode::kBug, "cpu kernel called with dtype " + std::string(Name(dtype)) +
                                      ", wanted float32 or float64");
  }
}

// Elements below which a second thread costs more than it saves.
constexpr int64_t kGrain = 16384;

// Items of `elements` each that make a part worth a thread.
constexpr int64_t GrainOf(int64_t elements) {
  return elements >= kGrain ? 1 : kGrain / (elements < 1 ? 1 : elements);
}

// ParallelFor over elements, cut at multiples of 64 only: no element moves between the vectors of a
// loop and its remainder, which may round otherwise, when the number of threads changes.
template <typename Body>
void ParallelElements(int64_t size, int64_t grain, Body&& body) {
  constexpr int64_t kUnit = 64;
  ParallelFor((size + kUnit - 1) / kUnit, grain / kUnit, [&](int64_t begin, int64_t end) {
    body(begin * kUnit, end * kUnit < size ? end * kUnit : size);
  });
}

template <typename T>
const T* As(const void* p, T*) {
  return static_cast<const T*>(p);
}
template <typename T>
T* As(void* p, T*) {
  return static_cast<T*>(p);
}

}  // namespace lockstep::cpu

#endif  // LOCKSTEP_KERNELS_CPU_DISPATCH_H_
