// The float32 matrix product on AMX tiles: sums of products of bfloat16 pieces. Loops outside the
// tiles follow K. Goto, R. van de Geijn, "Anatomy of high-performance matrix multiplication", 2008.
#include "kernels/cpu/amx/product.h"
#include "kernels/cpu/amx/tiles_isa.h"
#include "kernels/cpu/gemm/shape_isa.h"

namespace lockstep::cpu::amx {
namespace {

using gemm::Product;

constexpr int64_t kMaxDepth = 512;            // steps of k in one pass
constexpr int64_t kPackedBytes = 768 * 1024;  // of A packed at once: stays in the L2 cache
constexpr int64_t kMaxRows = 1024;            // of A packed at once
constexpr int64_t kChunkSteps = 64;           // of B packed at once: stays in the L1 cache
constexpr int64_t kAhead = 3;                 // blocks

// Brings what is packed next to the L2 cache, a few lines with every product of tiles: `runs` runs
// of `bytes` bytes, `stride` bytes apart.
struct Fetch {
  const char* run = nullptr;
  int64_t runs = 0, stride = 0, bytes = 0;
  int64_t lines = 0;  // at a time
  int64_t offset = 0;

  void Some() {
    for (int64_t i = 0; i < lines && runs > 0; ++i) {
      __builtin_prefetch(run + offset, 0, 2);
      offset += 64;
      if (offset < bytes) continue;
      offset = 0;
      run += stride;
      --runs;
    }
  }
};

// One pass over k.
struct Pass {
  int64_t k0, depth;
  bool first, last;
};

// How a product runs. A's lines are resident: packed at once, they stay in the L2 cache. B's are
// streamed: 32 at a time are packed where they stay in the L1 cache while they meet all of A's.
struct Way {
  bool streams_rows;  // the streamed tiles are those of rows, [line][pair], so that sums are of C^T
  bool mirrored;      // the tiles of rows are of the caller's second operand
};

void StoreSquare(const Product<float>& p, const Pass& pass, int64_t i, int64_t rows, int64_t j,
                 int64_t columns, const float* sums) {
  const bool accumulate = p.accumulate || !pass.first;
  const float* bias_m = pass.last && p.bias_m != nullptr ? p.bias_m + i : nullptr;
  const float* bias_n = pass.last && p.bias_n != nullptr ? p.bias_n + j : nullptr;
  const bool relu = pass.last && p.relu;
  float* const c = p.c + i * p.c_m + j * p.c_n;
  if (p.c_n == 1) {
    Store({c, p.c_m, accumulate, bias_m, bias_n, relu}, sums, rows, columns);
    return;
  }
  alignas(64) float transposed[kEdge * kEdge];
  TransposeSquare(sums, transposed);
  Store({c, p.c_n, accumulate, bias_n, bias_m, relu}, transposed, columns, rows);
}

// `lines` lines of an operand, all steps of a pass, to panels of 16 that lie `panel` bytes apart.
void PackPanels(const Lines& from, int64_t lines, int64_t depth, bool by_line, int64_t panel,
                char* to, __m512i* largest) {
  const auto pack = [&](int64_t line, int64_t step, int64_t ahead) {
    const float* first = from.first + line * from.line_stride + step * from.step_stride;
    PackBlock({first, from.line_stride, from.step_stride}, Min(lines - line, kLines),
              Min(depth - step, kSteps), by_line, ahead,
              to + line / kLines * panel + step / kSteps * kBlockBytes, largest);
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

// What lies at `lines`, to be fetched in `times` times.
Fetch FetchOf(const Lines& from, int64_t lines, int64_t depth, int64_t times) {
  constexpr int64_t kSize = sizeof(float);
  Fetch fetch;
  const bool steps_adjoin = from.step_stride == 1;
  fetch.run = reinterpret_cast<const char*>(from.first);
  fetch.runs = steps_adjoin ? lines : depth;
  fetch.stride = (steps_adjoin ? from.line_stride : from.step_stride) * kSize;
  fetch.bytes = (steps_adjoin ? depth : lines) * kSize;
  fetch.lines = CeilDiv(fetch.runs * CeilDiv(fetch.bytes, 64), times);
  return fetch;
}

// Steps of columns [j, j + width) of B.
struct Piece {
  int64_t j, width, step, steps;
};

Lines LinesOf(const Product<float>& p, const Pass& pass, const Piece& piece) {
  return {p.b + piece.j * p.b_n + (pass.k0 + piece.step) * p.b_k, p.b_n, p.b_k};
}

// The piece that follows; of width 0 behind the last one.
Piece NextPiece(const Product<float>& p, const Pass& pass, const Piece& piece) {
  const int64_t step = piece.step + piece.steps;
  if (step < pass.depth) {
    return {piece.j, piece.width, step, Min(pass.depth - step, kChunkSteps)};
  }
  const int64_t j = piece.j + kEdge;
  return {j, Min(p.n - j, kEdge), 0, Min(pass.depth, kChunkSteps)};
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

// All packed lines [i0, i0 + rows) of A against a packed piece of B.
void MultiplyPiece(const Product<float>& p, const Pass& pass, Way way, int64_t i0, int64_t rows,
                   const char* packed_a, const Piece& piece, const char* packed_b, Sums* sums) {
  const int64_t panel = CeilDiv(pass.depth, kSteps) * kBlockBytes;
  const int64_t blocks = CeilDiv(piece.steps, kSteps), piece_panel = blocks * kBlockBytes;
  const bool first = piece.step == 0, last = piece.step + piece.steps == pass.depth;
  const Piece next = NextPiece(p, pass, piece);
  Fetch fetch;
  if (next.width > 0) {
    fetch =
        FetchOf(LinesOf(p, pass, next), next.width, next.steps, CeilDiv(rows, kEdge) * blocks * 6);
  }
  const Product<float> transposed = Transposed(p);
  for (int64_t i = 0; i < rows; i += kEdge, ++sums) {
    const char* a = packed_a + i / kLines * panel + piece.step / kSteps * kBlockBytes;
    const int64_t height = Min(rows - i, kEdge);
    if (last) FetchSquare(p, i0 + i, piece.j);
    if (way.streams_rows) {
      MultiplyOf<Fetch>(piece.width, height, way.mirrored)(packed_b, piece_panel, a, panel, blocks,
                                                           first, &fetch, sums->values);
      if (last) {
        StoreSquare(transposed, pass, piece.j, piece.width, i0 + i, height, sums->values);
      }
    } else {
      MultiplyOf<Fetch>(height, piece.width, way.mirrored)(a, panel, packed_b, piece_panel, blocks,
                                                           first, &fetch, sums->values);
      if (last) StoreSquare(p, pass, i0 + i, height, piece.j, piece.width, sums->values);
    }
  }
}

void RunPass(const Product<float>& p, const Pass& pass, Way way, __m512i* largest) {
  alignas(64) char packed_a[kPackedBytes];
  alignas(64) char packed_b[2 * kChunkSteps / kSteps * kBlockBytes];
  Sums sums[kMaxRows / kEdge];
  const int64_t panel = CeilDiv(pass.depth, kSteps) * kBlockBytes;
  const int64_t max_rows = Min(kPackedBytes / (2 * panel) * kEdge, kMaxRows);
  for (int64_t i = 0; i < p.m; i += max_rows) {
    const int64_t rows = Min(p.m - i, max_rows);
    PackPanels({p.a + i * p.a_m + pass.k0 * p.a_k, p.a_m, p.a_k}, rows, pass.depth,
               !way.streams_rows, panel, packed_a, largest);
    Piece piece{0, Min(p.n, kEdge), 0, Min(pass.depth, kChunkSteps)};
    for (; piece.width > 0; piece = NextPiece(p, pass, piece)) {
      PackPanels(LinesOf(p, pass, piece), piece.width, piece.steps, way.streams_rows,
                 CeilDiv(piece.steps, kSteps) * kBlockBytes, packed_b, largest);
      MultiplyPiece(p, pass, way, i, rows, packed_a, piece, packed_b, sums);
    }
  }
}

// Whether the lines of A are streamed rather than those of B: the larger operand, but where there
// is little to do for an element of C it is written along its rows.
bool StreamsA(const Product<float>& p) {
  constexpr int64_t kFewSteps = 128;
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

bool RunProduct(const Product<float>& p) {
  if (p.m <= 0 || p.n <= 0) return true;
  const bool streams_a = StreamsA(p);
  const Product<float> product = streams_a ? Transposed(p) : p;
  // Packed without transposing.
  const bool streams_rows = product.b_k == 1;
  const Way way{streams_rows, streams_rows != streams_a};
  _tile_loadconfig(&kTileConfig);
  __m512i largest = _mm512_setzero_si512();
  const int64_t passes = CeilDiv(p.k, kMaxDepth);
  const int64_t depth = CeilDiv(CeilDiv(p.k, passes), kSteps) * kSteps;
  for (int64_t k0 = 0; k0 < p.k; k0 += depth) {
    RunPass(product, {k0, Min(depth, p.k - k0), k0 == 0, k0 + depth >= p.k}, way, &largest);
  }
  _tile_release();
  return AreHeld(largest);
}

}  // namespace lockstep::cpu::amx
