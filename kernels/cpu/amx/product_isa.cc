// The float32 matrix product on AMX tiles: sums of products of bfloat16 pieces. Loops outside the
// tiles follow K. Goto, R. van de Geijn, "Anatomy of high-performance matrix multiplication", 2008.
#include "kernels/cpu/amx/product.h"
#include "kernels/cpu/amx/tiles_isa.h"
#include "kernels/cpu/gemm/shape_isa.h"

namespace lockstep::cpu::amx {
namespace {

using gemm::Product;

constexpr int64_t kMaxDepth = 1024;           // steps of k in one pass
constexpr int64_t kPackedBytes = 400 * 1024;  // of A packed at once: stays in the L2 cache
constexpr int64_t kMaxRows = 1024;            // of A packed at once
constexpr int64_t kAhead = 3;                 // blocks
// Of a group: 32 lines of B, all of a pass.
constexpr int64_t kGroupBytes = kEdge / kLines * (kMaxDepth / kSteps) * kBlockBytes;

// One pass over k.
struct Pass {
  int64_t k0, depth;
  bool first, last;
};

// How a product runs. A's lines are resident: packed at once, they stay in the L2 cache. B's are
// streamed: while 32 of them meet all of A's, the next ones are packed.
struct Way {
  bool streams_rows;  // the streamed tiles are those of rows, [line][pair], so that sums are of C^T
  bool mirrored;      // the tiles of rows are of the caller's second operand
};

// A square of sums: rows [i, i + rows) and columns [j, j + columns) of C, from element
// (first_row, first_column) of the square on.
struct Square {
  int64_t i, rows, first_row;
  int64_t j, columns, first_column;
  const float* sums;
};
Square Transposed(const Square& s) {
  return {s.j, s.columns, s.first_column, s.i, s.rows, s.first_row, s.sums};
}

// The largest magnitudes of its sums, as bits.
__m512i StoreSquare(const Product<float>& p, const Pass& pass, const Square& s) {
  const bool accumulate = p.accumulate || !pass.first;
  const float* bias_m = pass.last && p.bias_m != nullptr ? p.bias_m + s.i : nullptr;
  const float* bias_n = pass.last && p.bias_n != nullptr ? p.bias_n + s.j : nullptr;
  const bool relu = pass.last && p.relu;
  float* const c = p.c + s.i * p.c_m + s.j * p.c_n;
  if (p.c_n == 1) {
    return Store({c, p.c_m, accumulate, bias_m, bias_n, relu},
                 s.sums + s.first_row * kEdge + s.first_column, s.rows, s.columns);
  }
  alignas(64) float transposed[kEdge * kEdge];
  TransposeSquare(s.sums, transposed);
  return Store({c, p.c_n, accumulate, bias_n, bias_m, relu},
               transposed + s.first_column * kEdge + s.first_row, s.columns, s.rows);
}

// `lines` lines of an operand, all steps of a pass, to panels of 16 that lie `panel` bytes apart.
void PackPanels(const Lines& from, int64_t lines, int64_t depth, bool by_line, int64_t panel,
                char* to) {
  const auto pack = [&](int64_t line, int64_t step, int64_t ahead) {
    const float* first = from.first + line * from.line_stride + step * from.step_stride;
    PackBlock({first, from.line_stride, from.step_stride}, Min(lines - line, kLines),
              Min(depth - step, kSteps), by_line, ahead,
              to + line / kLines * panel + step / kSteps * kBlockBytes);
  };
  // Along memory.
  if (from.step_stride == 1) {
    for (int64_t line = 0; line < lines; line += kLines) {
      for (int64_t step = 0; step < depth; step += kSteps) pack(line, step, kAhead * kSteps);
    }
  } else {
    for (int64_t step = 0; step < depth; step += kSteps) {
      for (int64_t line = 0; line < lines; line += kLines) {
        pack(line, step, kSteps * from.step_stride);
      }
    }
  }
}

// Has the lines of a square of C brought to where they can be written.
void FetchSquare(const Product<float>& p, int64_t i, int64_t j) {
  const float* c = p.c + i * p.c_m + j * p.c_n;
  const int64_t stride = p.c_n == 1 ? p.c_m : p.c_n;
  const int64_t rows = p.c_n == 1 ? Min(p.m - i, kEdge) : Min(p.n - j, kEdge);
  for (int64_t row = 0; row < rows; ++row) {
    __builtin_prefetch(c + row * stride, 1);
    __builtin_prefetch(c + row * stride + 16, 1);
  }
}

// Packs whole blocks of 32 lines x 32 steps beside products of tiles, as they lie, kPanels panels
// of 16 lines with every block of products; with those that are too many, the last one again.
// Without branches, as what runs beside tiles must be.
template <int kPanels>
class Packer {
 public:
  // `panel`: bytes between the two panels packed. What lies `ahead` elements behind is brought to
  // the L2 cache.
  Packer(const Lines& from, int64_t blocks, int64_t panel, char* to, int64_t ahead)
      : from_(from.first),
        to_(to),
        left_(2 * blocks),
        row_(from.step_stride == 1 ? from.line_stride : from.step_stride),
        second_(kPairs * from.step_stride),
        ahead_(ahead),
        from_step_(kLines * from.line_stride),
        from_both_(kSteps * from.step_stride),
        to_step_(panel) {}

  template <int kPart>
  __attribute__((always_inline)) void Some() {
    constexpr int kRows = kLines * kPanels, kParts = 6;
#pragma GCC unroll 8
    for (int row = kRows * kPart / kParts; row < kRows * (kPart + 1) / kParts; ++row) {
      const float* const first = from_ + row % kLines * row_;
      __builtin_prefetch(first + ahead_, 0, 2);
      __builtin_prefetch(first + second_ + ahead_, 0, 2);
      PackRow(_mm512_loadu_ps(first), _mm512_loadu_ps(first + second_), to_ + row % kLines * 64);
      if (row % kLines == kLines - 1) NextPanel();
    }
  }

  bool done() const { return left_ <= 0; }

 private:
  // By turns the other panel of a block, and the first one of the next block.
  void NextPanel() {
    const bool more = --left_ > 0;
    from_ += more ? from_step_ : 0;
    to_ += more ? to_step_ : 0;
    from_step_ = from_both_ - from_step_;
    to_step_ = kBlockBytes - to_step_;
  }

  const float* from_;
  char* to_;
  int64_t left_;  // panels
  int64_t row_, second_, ahead_, from_step_, from_both_, to_step_;
};

// Lines of A against all of B, by squares. Each is stored behind the products of the next one, so
// that storing need not wait for the tiles.
class Run {
 public:
  Run(const Product<float>& p, const Pass& pass, Way way, const gemm::RowsSink* sink)
      : p_(p), transposed_(Transposed(p)), pass_(pass), way_(way), sink_(sink) {}

  // Whether all sums are finite.
  bool Rows(int64_t i0, int64_t rows, const char* packed_a) {
    Pack(0, 0, packed_b_[0]);
    for (int64_t j = 0, turn = 0; j < p_.n; j += kEdge, turn ^= 1) {
      const Group group{i0, rows, packed_a, j, packed_b_[turn]};
      const int64_t next = j + kEdge, whole = next < p_.n ? pass_.depth / kSteps : 0;
      char* const to = packed_b_[turn ^ 1];
      MultiplyBeside(
          whole > 0, CeilDiv(rows, kEdge),
          [&]<int kPanels>() { return PackerOf<kPanels>(next, whole, to); },
          [&](int64_t begin, int64_t end, auto* side) {
            MultiplySquares(group, begin * kEdge, Min(end * kEdge, rows), side);
          });
      if (sink_ != nullptr) Give(group);
      if (next < p_.n) Pack(next, whole, to);
    }
    StorePending();
    return AreFinite(largest_);
  }

 private:
  // Lines [i0, i0 + rows) of A and [j, j + 32) of B.
  struct Group {
    int64_t i0, rows;
    const char* packed_a;
    int64_t j;
    const char* packed_b;
  };

  int64_t blocks() const { return CeilDiv(pass_.depth, kSteps); }
  int64_t panel() const { return blocks() * kBlockBytes; }
  // The group of columns [j, ...) of B is packed from here on: where it would be narrow, columns of
  // the one before are packed again.
  int64_t PackedFrom(int64_t j) const { return j + kEdge <= p_.n ? j : p_.n - Min(p_.n, kEdge); }
  Lines LinesOf(int64_t j) const {
    return {p_.b + PackedFrom(j) * p_.b_n + pass_.k0 * p_.b_k, p_.b_n, p_.b_k};
  }

  template <int kPanels>
  Packer<kPanels> PackerOf(int64_t j, int64_t blocks, char* to) const {
    return {LinesOf(j), blocks, panel(), to, j + kEdge < p_.n ? kEdge * p_.b_n : 0};
  }
  // The group of columns [j, ...) of B, from block `block` on.
  void Pack(int64_t j, int64_t block, char* to) const {
    Lines lines = LinesOf(j);
    lines.first += block * kSteps * lines.step_stride;
    PackPanels(lines, Min(p_.n, kEdge), pass_.depth - block * kSteps, way_.streams_rows, panel(),
               to + block * kBlockBytes);
  }

  // With lines [begin, end) of A's.
  template <typename Side>
  void MultiplySquares(const Group& group, int64_t begin, int64_t end, Side* side) {
    // Those packed again come first; whole panels of them are left out.
    int64_t again = group.j - PackedFrom(group.j);
    const char* b = group.packed_b;
    if (again >= kLines) again -= kLines, b += panel();
    const int64_t columns = Min(p_.n - group.j, kEdge), packed = again + columns;
    const int64_t place = sink_ != nullptr ? 0 : group.j;
    for (int64_t i = begin; i < end; i += kEdge) {
      const int64_t rows = Min(end - i, kEdge);
      const char* const a = group.packed_a + i / kLines * panel();
      float* const sums = sums_[turn_ ^= 1].values;
      FetchSquare(p_, group.i0 + i, place);
      if (way_.streams_rows) {
        MultiplyOf<Side>(packed, rows, way_.mirrored)(b, panel(), a, panel(), blocks(), true, side,
                                                      sums);
      } else {
        MultiplyOf<Side>(rows, packed, way_.mirrored)(a, panel(), b, panel(), blocks(), true, side,
                                                      sums);
      }
      StorePending();
      pending_ = {group.i0 + i, rows, 0, place, columns, again, sums};
    }
  }

  // All lines of a group were stored at the first one's place.
  void Give(const Group& group) {
    StorePending();
    sink_->take(sink_->self, group.j, Min(p_.n - group.j, kEdge), group.i0, group.rows,
                AreFinite(largest_));
    largest_ = _mm512_setzero_si512();
  }

  void StorePending() {
    if (pending_.sums == nullptr) return;
    const __m512i largest = way_.streams_rows
                                ? StoreSquare(transposed_, pass_, Transposed(pending_))
                                : StoreSquare(p_, pass_, pending_);
    largest_ = _mm512_max_epi32(largest_, largest);
    pending_.sums = nullptr;
  }

  const Product<float>& p_;
  const Product<float> transposed_;
  const Pass& pass_;
  const Way way_;
  const gemm::RowsSink* const sink_;          // or null
  __m512i largest_ = _mm512_setzero_si512();  // of the magnitudes of sums
  int turn_ = 0;
  Square pending_ = {};  // without sums: none
  Sums sums_[2];
  alignas(64) char packed_b_[2][kGroupBytes];
};

// Whether all sums are finite.
bool RunPass(const Product<float>& p, const Pass& pass, Way way, const gemm::RowsSink* sink) {
  alignas(64) char packed_a[kPackedBytes];
  const int64_t panel = CeilDiv(pass.depth, kSteps) * kBlockBytes;
  const int64_t max_rows = Min(kPackedBytes / (2 * panel) * kEdge, kMaxRows);
  bool finite = true;
  for (int64_t i = 0; i < p.m; i += max_rows) {
    const int64_t rows = Min(p.m - i, max_rows);
    PackPanels({p.a + i * p.a_m + pass.k0 * p.a_k, p.a_m, p.a_k}, rows, pass.depth,
               !way.streams_rows, panel, packed_a);
    finite = Run(p, pass, way, sink).Rows(i, rows, packed_a) && finite;
  }
  return finite;
}

// Whether the lines of A are streamed rather than those of B: the larger operand, but where there
// is little to do for an element of C it is written along its rows.
bool StreamsA(const Product<float>& p) {
  const int64_t packed_b = CeilDiv(p.n, kEdge) * kEdge * CeilDiv(p.k, kSteps) * kSteps * 6;
  if (p.c_n == 1 && p.k <= kFewSteps && p.n <= kMaxRows && packed_b <= kPackedBytes) return true;
  return p.m > p.n;
}

}  // namespace

bool HoldsAll(const float* first, int64_t lines, int64_t line_stride, int64_t steps,
              int64_t step_stride) {
  if (step_stride != 1) return HoldsAll(first, steps, step_stride, lines, 1);
  __m512i largest = _mm512_setzero_si512();
  for (int64_t line = 0; line < lines; ++line) {
    const float* p = first + line * line_stride;
    for (int64_t i = 0; i < steps; i += 16) {
      const __m512 some = _mm512_maskz_loadu_ps(FirstOf(steps - i), p + i);
      largest = _mm512_max_epi32(largest, Magnitude(some));
    }
  }
  return AreHeld(largest);
}

bool RunProduct(const Product<float>& p, const gemm::RowsSink* sink) {
  if (p.m <= 0 || p.n <= 0) return true;
  const bool streams_a = sink != nullptr || StreamsA(p);
  const Product<float> product = streams_a ? Transposed(p) : p;
  // Packed without transposing.
  const bool streams_rows = product.b_k == 1;
  const Way way{streams_rows, streams_rows != streams_a};
  _tile_loadconfig(&kTileConfig);
  const int64_t passes = CeilDiv(p.k, kMaxDepth);
  const int64_t depth = CeilDiv(CeilDiv(p.k, passes), kSteps) * kSteps;
  bool finite = true;
  for (int64_t k0 = 0; k0 < p.k; k0 += depth) {
    const Pass pass{k0, Min(depth, p.k - k0), k0 == 0, k0 + depth >= p.k};
    finite = RunPass(product, pass, way, sink) && finite;
  }
  _tile_release();
  return finite;
}

}  // namespace lockstep::cpu::amx
