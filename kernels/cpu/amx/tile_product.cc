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

// Updates by rows as they come, and notes which are not finite.
class Updates {
 public:
  Updates(const gemm::Product<float>& product, const gemm::BlockUpdate& update)
      : product_(product), update_(update) {}

  // Where tiles do.
  void Run() {
    const gemm::RowsSink sink{Take, this};
    RunProduct(product_, &sink);
  }
  // Behind all others, whose scratch may be their place in C.
  void RunNotFinite(void (*otherwise)(const gemm::Product<float>& product)) const {
    for (const gemm::Product<float>& part : not_finite_) {
      RunTileProduct(part, otherwise);
      update_(part.c, part.m, part.n, part.c);
    }
  }

 private:
  static void Take(void* self, int64_t row, int64_t rows, int64_t column, int64_t columns,
                   bool finite) {
    auto* const updates = static_cast<Updates*>(self);
    const gemm::Product<float>& whole = updates->product_;
    const gemm::Product<float> part =
        gemm::SubProduct(whole, {row, row + rows}, {column, column + columns});
    if (finite) {
      updates->update_(part.c, rows, columns, whole.c + column);
    } else {
      updates->not_finite_.push_back(part);
    }
  }

  const gemm::Product<float>& product_;
  const gemm::BlockUpdate& update_;
  std::vector<gemm::Product<float>> not_finite_;
};

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

bool SuitsUpdates(int64_t k) { return k <= kFewSteps; }

void RunTileUpdate(const gemm::Product<float>& p,
                   void (*otherwise)(const gemm::Product<float>& product),
                   const gemm::BlockUpdate& update) {
  Updates updates(p, update);
  updates.Run();
  updates.RunNotFinite(otherwise);
}

}  // namespace lockstep::cpu::amx
