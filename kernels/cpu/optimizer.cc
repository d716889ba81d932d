#include "kernels/cpu/optimizer.h"

namespace lockstep::cpu {

void CpuOptimizer::Update(DType dtype, const UpdateArgs& args, int64_t size, void* p, const void* g,
                          void* s0, void* s1) {
  WithType(*isa_, dtype, [&](const auto& loops, auto* type) {
    ParallelElements(size, kGrain, [&](int64_t begin, int64_t end) {
      const auto part = [begin](auto* q) { return q == nullptr ? q : q + begin; };
      loops.optimizer.update(args, end - begin, As(p, type) + begin, As(g, type) + begin,
                             part(As(s0, type)), part(As(s1, type)));
    });
  });
}

}  // namespace lockstep::cpu
