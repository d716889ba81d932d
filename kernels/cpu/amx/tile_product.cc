#include "kernels/cpu/amx/tile_product.h"

#include <vector>

#include "kernels/cpu/amx/product.h"
#include "kernels/cpu/gemm/sub_product.h"

namespace lockstep::cpu::amx {
namespace {

// Neighbouring lines of an operand that pieces hold, or do not hold.
struct Run {
  gemm::Range lines;
  bool held;
};

std::vector<Run> RunsOf(const float* first, int64_t lines, int64_t line_stride, int64_t steps,
                        int64_t step_stride) {
  std::vector<Run> runs;
  for (int64_t i = 0; i < lines; ++i) {
    const bool held = HoldsAll(first + i * line_stride, 1, line_stride, steps, step_stride);
    if (runs.empty() || runs.back().held != held) runs.push_back({{i, i}, held});
    ++runs.back().lines.end;
  }
  return runs;
}

}  // namespace

bool SuitsTiles(int64_t n, int64_t k) { return k >= 32 && n * k >= 4096; }

void RunTileProduct(const gemm::Product<float>& p,
                    void (*otherwise)(const gemm::Product<float>& product)) {
  // The sums tell; where that would be too late for C the operands are looked at before.
  if (p.accumulate) {
    if (HoldsAll(p.a, p.m, p.a_m, p.k, p.a_k) && HoldsAll(p.b, p.n, p.b_n, p.k, p.b_k)) {
      RunProduct(p);
      return;
    }
  } else if (RunProduct(p)) {
    return;
  }
  const std::vector<Run> columns = RunsOf(p.b, p.n, p.b_n, p.k, p.b_k);
  for (const Run& rows : RunsOf(p.a, p.m, p.a_m, p.k, p.a_k)) {
    for (const Run& some : columns) {
      const gemm::Product<float> part = gemm::SubProduct(p, rows.lines, some.lines);
      if (rows.held && some.held) {
        RunProduct(part);
      } else {
        otherwise(part);
      }
    }
  }
}

}  // namespace lockstep::cpu::amx
