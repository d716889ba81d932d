#include "kernels/cpu/gemm.h"

#include <string>

#include "kernels/cpu/amx/tile_product.h"
#include "kernels/cpu/dispatch.h"
#include "kernels/cpu/gemm/block_update.h"
#include "kernels/cpu/gemm/sub_product.h"
#include "kernels/cpu/parallel.h"
#include "kernels/error.h"

namespace lockstep::cpu {
namespace {

// Below this many multiplications starting the threads costs more than they save.
constexpr double kSerialWork = 100e3;
constexpr int64_t kEdge = 16;  // parts of C end at multiples of this

struct Grid {
  int rows = 1, columns = 1;
};

// The factors of `threads` whose parts of C have the smallest edges: what a part packs and reads.
Grid ChooseGrid(int64_t m, int64_t n, int threads) {
  Grid best{threads, 1};
  double best_edge = 0;
  for (int rows = 1; rows <= threads; ++rows) {
    if (threads % rows != 0) continue;
    const int columns = threads / rows;
    const double edge = static_cast<double>(m) / rows + static_cast<double>(n) / columns;
    if (best_edge == 0 || edge <= best_edge) {
      best = {rows, columns};
      best_edge = edge;
    }
  }
  return best;
}

gemm::Range Part(int64_t size, int index, int parts) {
  const int64_t edge = size >= 2 * kEdge * parts ? kEdge : 1;
  const int64_t units = (size + edge - 1) / edge;
  const int64_t begin = units * index / parts * edge, end = units * (index + 1) / parts * edge;
  return {begin, end < size ? end : size};
}

template <typename T>
gemm::Product<T> FromArgs(const GemmArgs& g) {
  gemm::Product<T> p;
  p.m = g.m;
  p.n = g.n;
  p.k = g.k;
  p.a = static_cast<const T*>(g.a);
  p.a_m = g.trans_a ? 1 : g.lda;
  p.a_k = g.trans_a ? g.lda : 1;
  p.b = static_cast<const T*>(g.b);
  p.b_k = g.trans_b ? 1 : g.ldb;
  p.b_n = g.trans_b ? g.ldb : 1;
  p.c = static_cast<T*>(g.c);
  p.c_m = g.ldc;
  p.c_n = 1;
  p.accumulate = g.beta != 0;
  p.bias_m = nullptr;
  p.bias_n = static_cast<const T*>(g.bias);
  p.relu = g.activation == Activation::kRelu;
  return p;
}

// Parts of whole rows: what is fetched ahead of a part's end is not what another thread writes.
Grid CutRows(int64_t, int64_t, int threads) { return {threads, 1}; }

// product(part) for the parts of the whole, which `choose` cuts.
template <typename T, typename RunPart>
void RunParallel(const gemm::Product<T>& whole, RunPart&& product,
                 Grid (*choose)(int64_t m, int64_t n, int threads) = ChooseGrid) {
  const double work =
      static_cast<double>(whole.m) * static_cast<double>(whole.n) * static_cast<double>(whole.k);
  if (work < kSerialWork || GetThreads() <= 1) {
    product(whole);
    return;
  }
  ParallelThreads([&](int thread, int threads) {
    const Grid grid = choose(whole.m, whole.n, threads);
    const gemm::Range m = Part(whole.m, thread / grid.columns, grid.rows);
    const gemm::Range n = Part(whole.n, thread % grid.columns, grid.columns);
    product(gemm::SubProduct(whole, m, n));
  });
}

void Check(DType dtype, const GemmArgs& g) {
  const bool ok = IsFloating(dtype) && (g.beta == 0 || g.beta == 1) && g.m >= 0 && g.n >= 0 &&
                  g.k >= 0 &&
                  (g.activation == Activation::kIdentity || g.activation == Activation::kRelu);
  if (ok) return;
  throw ShapeError("matrix product: found dtype " + std::string(Name(dtype)) + ", (m, n, k) (" +
                       std::to_string(g.m) + ", " + std::to_string(g.n) + ", " +
                       std::to_string(g.k) + "), beta " + std::to_string(g.beta) +
                       "; wanted a floating dtype, extents >= 0, beta 0 or 1, and no activation "
                       "but ReLU",
                   ExitCode::kBug);
}

}  // namespace

CpuGemm::CpuGemm(Isa isa)
    : isa_(isa), table_(&gemm::TableOf(isa)), update_(TableOf(isa).f32.optimizer) {}

bool CpuGemm::RunsOnTiles(const GemmArgs& args) const {
  return isa_ == Isa::kAmx && amx::SuitsTiles(args.n, args.k);
}

void CpuGemm::Gemm(DType dtype, const GemmArgs& args) {
  Check(dtype, args);
  if (dtype == DType::kFloat64) {
    RunParallel(FromArgs<double>(args), table_->product_f64);
  } else if (RunsOnTiles(args)) {
    RunParallel(FromArgs<float>(args), [this](const gemm::Product<float>& part) {
      amx::RunTileProduct(part, table_->product_f32);
    });
  } else {
    RunParallel(FromArgs<float>(args), table_->product_f32);
  }
}

bool CpuGemm::can_update(DType dtype, const GemmArgs& args) const {
  const int64_t rows_for_all = int64_t{2} * kEdge * GetThreads();
  constexpr int64_t kFewColumns = 64;  // of which products would rather have vectors along m
  const bool sinks = RunsOnTiles(args) ? amx::SuitsUpdates(args.k)
                                       : args.k <= gemm::kSinkSteps && args.n >= kFewColumns;
  return dtype == DType::kFloat32 && sinks && args.m >= rows_for_all && args.beta == 0 &&
         args.bias == nullptr && args.activation == Activation::kIdentity;
}

void CpuGemm::GemmUpdate(DType dtype, const GemmArgs& args, const ProductUpdate& update) {
  Check(dtype, args);
  if (!can_update(dtype, args)) return GemmKernels::GemmUpdate(dtype, args, update);
  if (update.numbers->skipped != 0) return;
  const gemm::Product<float> whole = FromArgs<float>(args);
  const gemm::BlockUpdate update_block(update_, update, whole);
  const auto run_part = [&](const gemm::Product<float>& part) {
    if (RunsOnTiles(args)) return amx::RunTileUpdate(part, table_->product_f32, update_block);
    struct Part {
      const gemm::Product<float>& product;
      const gemm::BlockUpdate& update;
    } taking{part, update_block};
    const auto take = [](void* self, int64_t row, int64_t rows, int64_t column, int64_t columns,
                         bool) {
      const auto& [product, update] = *static_cast<const Part*>(self);
      update(product.c + row * product.c_m + column, rows, columns, product.c + column);
    };
    table_->product_rows_f32(part, {take, &taking});
  };
  RunParallel(whole, run_part, CutRows);
}

}  // namespace lockstep::cpu
