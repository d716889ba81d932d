#include "kernels/cpu/pool.h"

#include "kernels/cpu/parallel.h"

namespace lockstep::cpu {
namespace {

int64_t Planes(const PoolShape& s) { return s.x.n * (s.x.c / s.layout.block); }
int64_t PlaneSize(const PoolShape& s) { return s.x.h * s.x.w * s.layout.block; }

}  // namespace

void CpuPool::Forward(const PoolShape& shape, const void* x, void* y) {
  WithType(*isa_, shape.dtype, [&](const auto& loops, auto* type) {
    ParallelFor(Planes(shape), GrainOf(PlaneSize(shape)), [&](int64_t begin, int64_t end) {
      loops.pool.forward(shape, begin, end, As(x, type), As(y, type));
    });
  });
}

void CpuPool::Backward(const PoolShape& shape, const void* x, const void* y, const void* dy,
                       void* dx) {
  WithType(*isa_, shape.dtype, [&](const auto& loops, auto* type) {
    ParallelFor(Planes(shape), GrainOf(PlaneSize(shape)), [&](int64_t begin, int64_t end) {
      loops.pool.backward(shape, begin, end, As(x, type), As(y, type), As(dy, type), As(dx, type));
    });
  });
}

}  // namespace lockstep::cpu
