// The matrix product, compiled once per instruction set. C is made in tiles of kMaxRows x
// (2 vectors) that stay in registers; the operand along the vectors is packed into panels, the
// other one is read where it lies when its k runs contiguously (the usual case of a weight
// matrix), so that a big matrix used for few rows is never copied. Loops outside the tile follow
// K. Goto, R. van de Geijn, "Anatomy of high-performance matrix multiplication", 2008.
#include "kernels/cpu/gemm/pack_isa.h"
#include "kernels/cpu/gemm/product.h"
#include "kernels/cpu/gemm/shape_isa.h"
#include "kernels/cpu/gemm/skip_zeros_isa.h"
#include "kernels/cpu/gemm/tile_isa.h"

namespace lockstep::cpu::LOCKSTEP_ISA {
namespace {

constexpr int64_t kPackedBytes = 256 * 1024;  // of the packed operand: stays in the L2 cache

// Panels of 2 vectors, the last one perhaps of 1: panel j0 starts at packed + j0 * depth.
template <typename T>
int PanelVectors(int64_t columns_left) {
  return columns_left > kLanes<T> ? 2 : 1;
}

// Whether tiles read whole panels of B where they lie: when its rows run along n and either few
// tiles use a panel, or the rows are close enough to each other.
template <typename T>
bool ReadsInPlace(const Product<T>& p) {
  constexpr int64_t kNearBytes = 1024;
  if (p.b_n != 1) return false;
  return p.m <= 2 * kMaxRows || (p.m <= 16 * kMaxRows && p.b_k * int64_t{sizeof(T)} <= kNearBytes);
}

template <typename T>
void PackBlock(const Product<T>& p, int64_t k0, int64_t depth, int64_t j0, int64_t columns,
               T* packed) {
  const bool in_place = ReadsInPlace(p);
  // A few steps at a time: whole rows of B are read one after the other.
  const int64_t slice = p.b_n == 1 ? 8 : depth;
  for (int64_t step = 0; step < depth; step += slice) {
    const int64_t steps = Min(slice, depth - step);
    for (int64_t j = 0; j < columns; j += 2 * kLanes<T>) {
      const int width = PanelVectors<T>(columns - j) * kLanes<T>;
      if (in_place && columns - j >= width) continue;
      PackPanel(p.b + (k0 + step) * p.b_k + (j0 + j) * p.b_n, p.b_k, p.b_n, steps,
                static_cast<int>(Min(columns - j, width)), width,
                packed + j * depth + step * width);
    }
  }
}

// Elements that a copied row takes: whole vectors.
template <typename T>
constexpr int64_t kRowElements = (kMaxRows + kLanes<T> - 1) / kLanes<T>* kLanes<T>;

// packed[step][i] = a[i][step], with room behind the last step for the rest of its vectors.
template <typename T>
void PackRows(const T* a, int64_t a_m, int64_t a_k, int64_t depth, int rows, T* packed) {
  int64_t step = 0;
  if (a_m == 1 && a_k + rows >= kRowElements<T>) {
    // What a vector has beyond the rows is overwritten by the next step; the last one would read
    // beyond the matrix.
    for (; step + 1 < depth; ++step) {
      CopyPanel<T, kRowElements<T>>(a + step * a_k, 0, 1, packed + step * rows);
    }
  }
  for (; step < depth; ++step) {
    for (int i = 0; i < rows; ++i) packed[step * rows + i] = a[step * a_k + i * a_m];
  }
}

// The tiles of rows [i0, i0 + rows) over all panels of the packed block, to C from row `c_row` on.
template <typename T>
void RowOfTiles(const Product<T>& p, int64_t i0, int rows, int64_t c_row, int64_t k0, int64_t depth,
                int64_t j0, int64_t columns, const T* packed) {
  const bool last = k0 + depth == p.k, in_place = ReadsInPlace(p);
  alignas(64) T rows_packed[kMaxRows * kMaxDepth + kRowElements<T>];
  TileArgs<T> t;
  t.k = depth;
  t.a = p.a + i0 * p.a_m + k0 * p.a_k;
  t.a_m = p.a_m;
  t.a_k = p.a_k;
  if (p.a_k != 1 && columns > 2 * kLanes<T>) {
    PackRows(t.a, p.a_m, p.a_k, depth, rows, rows_packed);
    t.a = rows_packed;
    t.a_m = 1;
    t.a_k = rows;
  }
  t.c_m = p.c_m;
  t.c_n = p.c_n;
  t.accumulate = p.accumulate || k0 > 0;
  t.bias_m = last && p.bias_m != nullptr ? p.bias_m + i0 : nullptr;
  t.relu = last && p.relu;
  for (int64_t j = 0; j < columns; j += 2 * kLanes<T>) {
    const int vectors = PanelVectors<T>(columns - j);
    t.b = packed + j * depth;
    t.b_k = vectors * kLanes<T>;
    if (in_place && columns - j >= t.b_k) {
      t.b = p.b + k0 * p.b_k + j0 + j;
      t.b_k = p.b_k;
    }
    t.c = p.c + c_row * p.c_m + (j0 + j) * p.c_n;
    t.columns = static_cast<int>(Min(columns - j, vectors * kLanes<T>));
    t.bias_n = last && p.bias_n != nullptr ? p.bias_n + j0 + j : nullptr;
    t.plain = !t.accumulate && t.bias_m == nullptr && t.bias_n == nullptr && !t.relu;
    RunTile(rows, vectors, t);
  }
}

// Vectors run along n.
template <typename T>
void ProductAlongN(const Product<T>& p, const RowsSink* sink = nullptr) {
  constexpr int64_t kPacked = kPackedBytes / static_cast<int64_t>(sizeof(T));
  alignas(64) T packed[kPacked];
  const int64_t depths = Passes(p.k);
  const int64_t max_depth = CeilDiv(p.k, depths);
  const int64_t panel = 2 * kLanes<T>;
  const int64_t block = p.k > 0 ? kPacked / max_depth / panel * panel : p.n;
  const int64_t row_tiles = CeilDiv(p.m, kMaxRows);
  for (int64_t depth_index = 0; depth_index < depths; ++depth_index) {
    const int64_t k0 = depth_index * max_depth;
    const int64_t depth = Min(max_depth, p.k - k0);
    for (int64_t j0 = 0; j0 < p.n; j0 += block) {
      const int64_t columns = Min(block, p.n - j0);
      PackBlock(p, k0, depth, j0, columns, packed);
      for (int64_t tile = 0; tile < row_tiles; ++tile) {
        const int64_t i0 = p.m * tile / row_tiles;
        const int rows = static_cast<int>(p.m * (tile + 1) / row_tiles - i0);
        RowOfTiles(p, i0, rows, sink != nullptr ? 0 : i0, k0, depth, j0, columns, packed);
        if (sink != nullptr) sink->take(sink->self, i0, rows, j0, columns, true);
      }
    }
  }
}

// Cycles, roughly, with the vectors along n.
template <typename T>
double Cost(const Product<T>& p) {
  const double m = static_cast<double>(p.m), n = static_cast<double>(p.n);
  const double k = static_cast<double>(p.k);
  const double panels = static_cast<double>(CeilDiv(p.n, kLanes<T>)) / 2;
  const double pack = ReadsInPlace(p) ? 0 : k * n * (p.b_n == 1 ? 4.0 / kLanes<T> : 0.5);
  const double pack_rows = p.a_k != 1 && p.n > 2 * kLanes<T> ? k * m * 0.5 : 0;
  const double store = m * n * (p.c_n == 1 ? 2.0 / kLanes<T> : 0.8) * (1 + k / kMaxDepth);
  return m * panels * k + pack + pack_rows + store;
}

// The cheaper way of taking every element into account: with the vectors along n or along m.
template <typename T>
bool IsCheaperAlongN(const Product<T>& p, double* cost) {
  const double along_n = Cost(p), along_m = Cost(Transposed(p));
  *cost = along_n <= along_m ? along_n : along_m;
  return along_n <= along_m;
}

template <typename T>
bool SkipsZeros(const Product<T>& p) {
  double cost = 0;
  IsCheaperAlongN(p, &cost);
  return SkippingZerosPays(p, cost);
}

template <typename T>
void Run(const Product<T>& p) {
  if (p.m <= 0 || p.n <= 0) return;
  double cost = 0;
  const bool along_n = IsCheaperAlongN(p, &cost);
  if (SkippingZerosPays(p, cost)) {
    ProductSkippingZeros(p);
  } else {
    ProductAlongN(along_n ? p : Transposed(p));
  }
}

void RunRows(const Product<float>& p, const RowsSink& sink) {
  if (p.m <= 0 || p.n <= 0) return;
  if (SkippingZerosPays(p, Cost(p))) {
    ProductSkippingZeros(p, &sink);
  } else {
    ProductAlongN(p, &sink);
  }
}

}  // namespace

extern const gemm::Table kGemmTable;
const gemm::Table kGemmTable = {
    kLanes<float>, Run<float>, Run<double>, RunRows, SkipsZeros<float>, SkipsZeros<double>,
};

}  // namespace lockstep::cpu::LOCKSTEP_ISA
