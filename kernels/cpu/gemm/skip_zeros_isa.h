// The matrix product when many elements of A are zero, as behind a ReLU and in the gradients that
// come back through one: about half of them at the start of a training, more later. The nonzero
// elements of each row are listed once; then each is multiplied with its row of B, over as many
// columns as registers hold sums. Adding 0 * b changes no sum, so the bits are those of the dense
// product; where B has an infinity or a NaN the zeros are not left out. Include from files compiled
// once per instruction set only.
// Z. Gong et al., "SparseTrain: Leveraging Dynamic Sparsity in Software for Training DNNs on
// General-Purpose SIMD Processors", PACT 2020.
#ifndef LOCKSTEP_KERNELS_CPU_GEMM_SKIP_ZEROS_ISA_H_
#define LOCKSTEP_KERNELS_CPU_GEMM_SKIP_ZEROS_ISA_H_

#include <cstdint>

#include "kernels/cpu/gemm/list_isa.h"
#include "kernels/cpu/gemm/nonzeros_isa.h"
#include "kernels/cpu/gemm/pack_isa.h"
#include "kernels/cpu/gemm/product.h"

namespace lockstep::cpu::LOCKSTEP_ISA {
namespace {

using gemm::Product;
using gemm::RowsSink;

// A strip of B is kStripVectors vectors wide and as deep as the L1 cache holds.
constexpr int kStripDepth = 26 * 1024 / (kStripVectors * kVectorBytes);
constexpr int kMaxStrips = (kMaxDepth + kStripDepth - 1) / kStripDepth;  // of one pass over k

// Rows of A whose lists and sums are held at once.
constexpr int kListedRows = 512;
// With a sink, so that what it takes of C is in the cache.
constexpr int kSinkRows = 128;
template <typename T>
constexpr int64_t kListed = 512 * 1024 / (2 * int64_t{sizeof(T)});

// The nonzero elements of rows of A in one pass: those that meet strip s of row r lie at
// [first[r][s], first[r][s + 1]).
template <typename T>
struct Lists {
  Nonzero<T> elements[kListed<T>];
  int32_t first[kListedRows][kMaxStrips + 1];
};

template <typename T>
double ShareOfNonzeros(const Product<T>& p) {
  const bool rows = p.a_k == 1;
  const int64_t lines = rows ? p.m : p.k, size = rows ? p.k : p.m;
  int64_t count = 0;
  for (int64_t i = 0; i < lines; ++i) {
    count += CountNonzeros(p.a + i * (rows ? p.a_m : p.a_k), size);
  }
  return static_cast<double>(count) / (static_cast<double>(p.m) * static_cast<double>(p.k));
}

#if defined(LOCKSTEP_ISA_avx512)
constexpr double kListCycles = 0.8;  // an element
#else
constexpr double kListCycles = 2;
#endif

// Whether leaving out the zeros of A costs less than `dense`, in cycles.
template <typename T>
bool SkippingZerosPays(const Product<T>& p, double dense) {
  constexpr double kLeastWork = 1e6;
  const double m = static_cast<double>(p.m), n = static_cast<double>(p.n);
  const double k = static_cast<double>(p.k);
  if (p.c_n != 1 || p.bias_m != nullptr || (p.a_k != 1 && p.a_m != 1)) return false;
  if (m * n * k < kLeastWork) return false;
  const double vectors = static_cast<double>(CeilDiv(p.n, kLanes<T>));
  const double pack = k * n * (p.b_n == 1 ? 4.0 / kLanes<T> : 0.5) + k * m * kListCycles;
  const double store = m * vectors * 4 * (1 + k / kStripDepth);
  const double least_share = 0.1;  // spares the counting where even that would not pay
  const double product = m * k * vectors * 0.6;
  if (product * least_share + pack + store >= dense) return false;
  return product * ShareOfNonzeros(p) + pack + store < dense;
}

// Lists the nonzero ones of a row's `depth` elements strip by strip from elements + count on; the
// list has room for all. Returns where it ends.
template <typename T>
int32_t ListRow(const T* a, int64_t depth, Nonzero<T>* elements, int32_t count, int32_t* first) {
  for (int64_t step0 = 0; step0 < depth; step0 += kStripDepth) {
    *first++ = count;
    const Nonzero<T>* const end = ListAllNonzeros(a + step0, Min(kStripDepth, depth - step0),
                                                  EveryRow(kStripColumns<T>), elements + count);
    count = static_cast<int32_t>(end - elements);
  }
  *first = count;
  return count;
}

// Lists rows from i0 on until the lists are full, or have `max_rows`; returns the number of rows.
template <typename T>
int64_t ListRows(const Product<T>& p, int64_t i0, int64_t max_rows, int64_t k0, int64_t depth,
                 Lists<T>& lists) {
  constexpr int kTransposed = 16;
  alignas(64) T transposed[kTransposed * kMaxDepth];
  int32_t count = 0;
  int64_t listed = 0;
  const int64_t rows = Min(p.m - i0, max_rows);
  while (listed < rows && count + kTransposed * depth <= kListed<T>) {
    const T* a = p.a + (i0 + listed) * p.a_m + k0 * p.a_k;
    int64_t a_m = p.a_m;
    const int64_t some = Min(kTransposed, rows - listed);
    if (p.a_k != 1) {
      PackTransposed(a, p.a_k, depth, static_cast<int>(some), transposed);
      a = transposed;
      a_m = depth;
    }
    for (int64_t r = 0; r < some; ++r) {
      count = ListRow(a + r * a_m, depth, lists.elements, count, lists.first[listed + r]);
    }
    listed += some;
  }
  return listed;
}

// Whether any element is an infinity or a NaN.
template <typename T>
bool AnyNotFinite(const T* strip, int64_t depth, int vectors) {
  using V = Vector<T>;
  constexpr int kChains = 6;
  V sum[kChains] = {};  // of 0 * element: 0 or NaN
  for (int64_t step = 0; step < depth; ++step) {
    const T* row = strip + step * kStripColumns<T>;
    int v = 0;
    for (; v + kChains <= vectors; v += kChains) {
#pragma GCC unroll 6
      for (int q = 0; q < kChains; ++q) {
        sum[q] += *reinterpret_cast<const V*>(row + (v + q) * kLanes<T>) * T{0};
      }
    }
    for (; v < vectors; ++v) sum[0] += *reinterpret_cast<const V*>(row + v * kLanes<T>) * T{0};
  }
  sum[0] += sum[1] + (sum[2] + sum[3]) + (sum[4] + sum[5]);
  T total{};
  for (int lane = 0; lane < kLanes<T>; ++lane) total += sum[0][lane];
  return !(total == T{0});
}

// All of a row's elements, for a strip that is not finite.
template <typename T>
void ListAll(const T* a, int64_t a_k, int64_t steps, Nonzero<T>* elements) {
  for (int64_t step = 0; step < steps; ++step) {
    elements[step].value = a[step * a_k];
    elements[step].row = static_cast<uint32_t>(step) * kStripColumns<T>;
  }
}

// C = the sums of a pass, with what is to be done to them.
template <typename T>
void StoreSums(const T* sums, int columns, bool accumulate, const T* bias_n, bool relu, T* c) {
  using V = Vector<T>;
  const V zero{};
  int j = 0;
  for (; j + kLanes<T> <= columns; j += kLanes<T>) {
    V* const to = reinterpret_cast<V*>(c + j);
    V sum = *reinterpret_cast<const V*>(sums + j);
    if (accumulate) sum = *to + sum;
    if (bias_n != nullptr) sum += *reinterpret_cast<const V*>(bias_n + j);
    *to = relu ? (sum < zero ? zero : sum) : sum;
  }
  for (; j < columns; ++j) {
    T sum = sums[j];
    if (accumulate) sum = c[j] + sum;
    if (bias_n != nullptr) sum += bias_n[j];
    c[j] = relu && sum < T{0} ? T{0} : sum;
  }
}

inline void Prefetch(const void* from, int64_t bytes) {
  for (int64_t i = 0; i < bytes; i += 64) __builtin_prefetch(static_cast<const char*>(from) + i);
}

inline void PrefetchForWrite(const void* from, int64_t bytes) {
  for (int64_t i = 0; i < bytes; i += 64) __builtin_prefetch(static_cast<const char*>(from) + i, 1);
}

struct Columns {
  int64_t begin, end;
};

// A strip of B as it lies in memory: `count` runs of neighbours.
struct Runs {
  const char* first;
  int64_t count, stride, bytes;
};

template <typename T>
Runs RunsOf(const Product<T>& p, int64_t k0, int64_t steps, Columns columns) {
  constexpr int64_t kSize = sizeof(T);
  const int64_t width = columns.end - columns.begin;
  if (width == 0) return {nullptr, 0, 0, 0};
  const auto* first = reinterpret_cast<const char*>(p.b + k0 * p.b_k + columns.begin * p.b_n);
  if (p.b_n == 1) return {first, steps, p.b_k * kSize, width * kSize};
  return {first, width, p.b_n * kSize, steps * kSize};
}

// Has the first `count` runs brought to the L2 cache, and leaves the others.
inline void FetchRuns(int64_t count, Runs* runs) {
  if (count > runs->count) count = runs->count;
  for (int64_t i = 0; i < count; ++i) {
    for (int64_t byte = 0; byte < runs->bytes; byte += 64) {
      __builtin_prefetch(runs->first + byte, 0, 2);
    }
    runs->first += runs->stride;
  }
  runs->count -= count;
}

// Strip `index` of `strips` of the columns of B, cut between vectors.
template <typename T>
Columns ColumnsOf(const Product<T>& p, int64_t index, int64_t strips) {
  const int64_t vectors = CeilDiv(p.n, kLanes<T>);
  return {vectors * index / strips * kLanes<T>,
          Min(vectors * (index + 1) / strips * kLanes<T>, p.n)};
}

// The rows of A that are listed, of one pass, and where the first one's sums lie in C.
struct Block {
  int64_t i0, rows, k0, depth, c_row;
};

// The rows of a block against `columns` of B; `next` are the columns that follow.
template <typename T>
void SumColumns(const Product<T>& p, const Lists<T>& lists, const Block& block, Columns columns,
                Columns next) {
  alignas(64) T strip[kStripDepth * kStripColumns<T>];
  alignas(64) T sums[kListedRows * kStripColumns<T>];
  Nonzero<T> all[kStripDepth];
  const int64_t j0 = columns.begin, k0 = block.k0, rows = block.rows;
  const int width = static_cast<int>(columns.end - j0);
  const int vectors = static_cast<int>(CeilDiv(width, kLanes<T>));
  const AddNonzerosFunction<T> add = AddNonzerosOf<T>(vectors);
  const bool last_pass = k0 + block.depth == p.k, accumulate = p.accumulate || k0 > 0;
  const T* bias_n = last_pass && p.bias_n != nullptr ? p.bias_n + j0 : nullptr;
  const bool relu = last_pass && p.relu;
  const bool plain = !accumulate && !relu && bias_n == nullptr && width % kLanes<T> == 0;
  for (int64_t step0 = 0; step0 < block.depth; step0 += kStripDepth) {
    const int64_t steps = Min(kStripDepth, block.depth - step0);
    const bool last = step0 + steps == block.depth;
    PackStrip(p.b + (k0 + step0) * p.b_k + j0 * p.b_n, p.b_k, p.b_n, steps, width, kStripColumns<T>,
              strip);
    const bool finite = !AnyNotFinite(strip, steps, vectors);
    Runs fetch = last ? RunsOf(p, k0, Min(kStripDepth, block.depth), next)
                      : RunsOf(p, k0 + step0 + steps, Min(kStripDepth, block.depth - step0 - steps),
                               columns);
    const int64_t fetch_a_row = CeilDiv(fetch.count, rows);
    for (int64_t r = 0; r < rows; ++r) {
      const int32_t* first = lists.first[r] + step0 / kStripDepth;
      const Nonzero<T>*element = lists.elements + first[0], *end = lists.elements + first[1];
      if (!finite) {
        ListAll(p.a + (block.i0 + r) * p.a_m + (k0 + step0) * p.a_k, p.a_k, steps, all);
        element = all;
        end = all + steps;
      }
      T* row_sums = sums + r * kStripColumns<T>;
      T* c = p.c + (block.c_row + r) * p.c_m + j0;
      FetchRuns(fetch_a_row, &fetch);
      if (r + 1 < rows) {
        Prefetch(lists.elements + first[kMaxStrips + 1],
                 kStripDepth / 2 * int64_t{sizeof(Nonzero<T>)});
        if (last) PrefetchForWrite(c + p.c_m, width * int64_t{sizeof(T)});
      }
      add(element, end, strip, step0 > 0 ? row_sums : nullptr, last && plain ? c : row_sums);
      if (last && !plain) {
        StoreSums(row_sums, width, accumulate, bias_n, relu, c);
      }
    }
  }
}

template <typename T>
void ProductSkippingZeros(const Product<T>& p, const RowsSink* sink = nullptr) {
  Lists<T> lists;
  const int64_t passes = Passes(p.k), max_depth = CeilDiv(p.k, passes);
  const int64_t strips = CeilDiv(CeilDiv(p.n, kLanes<T>), kStripVectors);
  for (int64_t k0 = 0; k0 < p.k; k0 += max_depth) {
    Block block = {0, 0, k0, Min(max_depth, p.k - k0), 0};
    for (; block.i0 < p.m; block.i0 += block.rows) {
      const int64_t max_rows = sink != nullptr ? kSinkRows : kListedRows;
      block.rows = ListRows(p, block.i0, max_rows, k0, block.depth, lists);
      block.c_row = sink != nullptr ? 0 : block.i0;
      for (int64_t strip = 0; strip < strips; ++strip) {
        const Columns next =
            strip + 1 < strips ? ColumnsOf(p, strip + 1, strips) : Columns{p.n, p.n};
        const Columns columns = ColumnsOf(p, strip, strips);
        SumColumns(p, lists, block, columns, next);
        if (sink != nullptr) {
          sink->take(sink->self, block.i0, block.rows, columns.begin, columns.end - columns.begin,
                     true);
        }
      }
    }
  }
}

}  // namespace
}  // namespace lockstep::cpu::LOCKSTEP_ISA

#endif  // LOCKSTEP_KERNELS_CPU_GEMM_SKIP_ZEROS_ISA_H_
