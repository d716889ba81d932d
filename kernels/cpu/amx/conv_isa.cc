// Convolutions on AMX tiles.
#include "kernels/cpu/amx/conv.h"
#include "kernels/cpu/amx/lower_isa.h"
#include "kernels/cpu/amx/tiles_isa.h"
#include "kernels/cpu/gemm/shape_isa.h"

namespace lockstep::cpu::amx {
namespace {

static_assert(kBlockSteps == kSteps && kPanelLines == kLines && kPackedBlockBytes == kBlockBytes);

constexpr int kSquareSize = kEdge * kEdge;

struct Pieces {
  __m512i high, middle, low;
};

// Of pairs (first[i], second[i]).
Pieces Split(__m512 first, __m512 second, __m512i* largest) {
  *largest = _mm512_max_epi32(*largest, _mm512_max_epi32(Magnitude(first), Magnitude(second)));
  Pieces pieces;
  SplitPairs(first, second, &pieces.high, &pieces.middle, &pieces.low);
  return pieces;
}

// `piece` elements apart.
template <typename T>
void StorePieces(const Pieces& pieces, T* to, int64_t piece) {
  _mm512_storeu_si512(to, pieces.high);
  _mm512_storeu_si512(to + piece, pieces.middle);
  _mm512_storeu_si512(to + 2 * piece, pieces.low);
}

// 16 elements of a padded row, from element `at` on; `x` is what the row pads.
__m512 LoadPadded(const PaddedRows& p, const float* x, int64_t at) {
  const int64_t begin = p.pad - at, end = p.pad + p.width - at;
  const auto lanes = static_cast<__mmask16>(FirstOf(end) & ~FirstOf(begin));
  return _mm512_maskz_loadu_ps(lanes, x - begin);
}

// visit(row in x, row in the planes) for every row.
template <typename Visit>
__attribute__((always_inline)) inline void ForEachRow(const PaddedRows& p, const float* x,
                                                      Visit&& visit) {
  const int64_t row = p.width + 2 * p.pad;
  for (int64_t i = 0; i < p.rows; ++i) visit(x + i * p.width, (p.pad_rows + i) * row);
}

// Filters in as few tiles as hold them, of equal height.
struct FilterTiles {
  explicit FilterTiles(int64_t filters)
      : count(CeilDiv(filters, kLines)), height(CeilDiv(filters, count)) {}

  int64_t count, height;
};

// A forward pass, 32 pixels after another. While some blocks of these meet all filters the next
// ones are lowered; each square of sums is stored behind the next products, so that storing need
// not wait for the tiles.
template <int kSegments>
class Forward {
 public:
  explicit Forward(const TileForward& w) : w_(w) {}

  void Run() {
    Chunk chunk{0, 0, Min(w_.blocks, kChunkBlocks)};
    int turn = 0;
    auto first = LowererOf<2>(chunk, lowered_[turn]);
    Finish(&first);
    for (; chunk.pixel < w_.pixels; turn ^= 1) {
      const Chunk next = Next(chunk);
      MultiplyBeside(
          next.pixel < w_.pixels, CeilDiv(w_.filters, kEdge),
          [&]<int kPanels>() { return LowererOf<kPanels>(next, lowered_[turn ^ 1]); },
          [&](int64_t begin, int64_t end, auto* side) {
            Multiply(chunk, lowered_[turn], begin * kEdge, Min(end * kEdge, w_.filters), side);
          });
      chunk = next;
    }
    StorePending();
  }

 private:
  static constexpr int64_t kChunkBlocks = 16;  // lowered ones stay in the L2 cache
  // Pixels [pixel, pixel + 32), blocks [block, block + blocks).
  struct Chunk {
    int64_t pixel, block, blocks;
  };
  // A square of sums that is still to be stored.
  struct Square {
    int64_t pixel, filter;
    const float* sums;  // null: none
  };

  Chunk Next(const Chunk& chunk) const {
    const int64_t block = chunk.block + chunk.blocks;
    if (block >= w_.blocks) return {chunk.pixel + kEdge, 0, Min(w_.blocks, kChunkBlocks)};
    return {chunk.pixel, block, Min(w_.blocks - block, kChunkBlocks)};
  }

  template <int kPanels>
  Lowerer<uint16_t, kSegments, kPanels> LowererOf(const Chunk& chunk, char* to) const {
    return {w_.planes,    w_.piece,    w_.places + chunk.pixel,
            w_.elements,  chunk.block, kPanelsOfPixels,
            chunk.blocks, to};
  }

  // With filters [begin, end).
  template <typename Side>
  void Multiply(const Chunk& chunk, const char* lowered, int64_t begin, int64_t end, Side* side) {
    const int64_t panel = w_.blocks * kBlockBytes, pixels = Min(w_.pixels - chunk.pixel, kEdge);
    for (int64_t k = begin; k < end; k += kEdge) {
      float* const sums = sums_[chunk.pixel / kEdge % 2][k / kEdge].values;
      MultiplyOf<Side>(pixels, end - k, false)(
          lowered, chunk.blocks * kBlockBytes,
          w_.weights + k / kLines * panel + chunk.block * kBlockBytes, panel, chunk.blocks,
          chunk.block == 0, side, sums);
      StorePending();
      if (chunk.block + chunk.blocks == w_.blocks) pending_ = {chunk.pixel, k, sums};
    }
  }

  void StorePending() {
    if (pending_.sums == nullptr) return;
    const int64_t k = pending_.filter;
    Store({w_.y + pending_.pixel * w_.filters + k, w_.filters, false, nullptr,
           w_.bias != nullptr ? w_.bias + k : nullptr, w_.relu},
          pending_.sums, Min(w_.pixels - pending_.pixel, kEdge), Min(w_.filters - k, kEdge));
    pending_.sums = nullptr;
  }

  const TileForward& w_;
  Square pending_ = {};
  alignas(64) char lowered_[2][kEdge / kLines * kChunkBlocks * kBlockBytes];
  Sums sums_[2][kMaxTileFilters / kEdge];
};

// The gradient of some filters at one block of pixels: [filter][pair].
void PackGradient(const TileBackwardWeights& w, int64_t filter, int64_t filter_count, int64_t block,
                  char* to, __m512i* largest) {
  __m512i first[kPairs], second[kPairs];
  const __mmask16 filters = FirstOf(filter_count);
  for (int64_t i = 0; i < kPairs; ++i) {
    const int64_t pair = block * kPairs + i;
    first[i] = second[i] = _mm512_setzero_si512();
    if (pair >= w.pairs) continue;
    const float* dy = w.dy + filter;
    first[i] = _mm512_maskz_loadu_epi32(filters, dy + w.first_rows[pair] * w.filters);
    if (w.second_rows[pair] < 0) continue;
    second[i] = _mm512_maskz_loadu_epi32(filters, dy + w.second_rows[pair] * w.filters);
  }
  Transpose(first, first);
  Transpose(second, second);
  for (int64_t i = 0; i < kLines; ++i) {
    StorePieces(Split(_mm512_castsi512_ps(first[i]), _mm512_castsi512_ps(second[i]), largest),
                to + i * 64, kTileBytes);
  }
}

// A weight gradient: some pairs of pixels, 32 elements after another. While these meet all filters
// the next ones are lowered.
template <int kSegments>
class Gradient {
 public:
  explicit Gradient(const TileBackwardWeights& w) : w_(w), tiles_(w.filters) {}

  // Whether pieces hold all elements of dy.
  bool Run() {
    Chunk chunk{0, Min(blocks(), kMaxGradientBlocks), 0};
    int turn = 0;
    auto first = LowererOf<2>(chunk, lowered_[turn]);
    Finish(&first);
    for (; chunk.block < blocks(); turn ^= 1) {
      if (chunk.element == 0) Pack(chunk);
      const Chunk next = Next(chunk);
      MultiplyBeside(
          next.block < blocks(), CeilDiv(tiles_.count, 2),
          [&]<int kPanels>() { return LowererOf<kPanels>(next, lowered_[turn ^ 1]); },
          [&](int64_t begin, int64_t end, auto* side) {
            Multiply(chunk, lowered_[turn], 2 * begin, Min(2 * end, tiles_.count), side);
          });
      chunk = next;
    }
    return AreHeld(largest_);
  }

 private:
  // Blocks [block, block + blocks) of pairs, elements [element, element + 32).
  struct Chunk {
    int64_t block, blocks, element;
  };

  int64_t blocks() const { return CeilDiv(w_.pairs, kPairs); }
  Chunk Next(const Chunk& chunk) const {
    if (chunk.element + kEdge < w_.elements) {
      return {chunk.block, chunk.blocks, chunk.element + kEdge};
    }
    const int64_t block = chunk.block + chunk.blocks;
    return {block, Min(blocks() - block, kMaxGradientBlocks), 0};
  }

  template <int kPanels>
  Lowerer<uint32_t, kSegments, kPanels> LowererOf(const Chunk& chunk, char* to) const {
    PanelSteps steps = kPanelsOfElements;
    if (w_.elements - chunk.element <= kLines) steps.other_vectors = steps.next_vectors = 0;
    return {w_.planes,
            w_.piece,
            w_.places + chunk.block * kPairs,
            w_.vectors,
            chunk.element / kLines,
            steps,
            chunk.blocks,
            to};
  }

  // The gradient of all filters.
  void Pack(const Chunk& chunk) {
    for (int64_t tile = 0; tile < tiles_.count; ++tile) {
      const int64_t filter = tile * tiles_.height;
      for (int64_t i = 0; i < chunk.blocks; ++i) {
        PackGradient(w_, filter, Min(w_.filters - filter, tiles_.height), chunk.block + i,
                     w_.packed + (tile * chunk.blocks + i) * kBlockBytes, &largest_);
      }
    }
  }

  // With tiles [begin, end) of filters.
  template <typename Side>
  void Multiply(const Chunk& chunk, const char* lowered, int64_t begin, int64_t end, Side* side) {
    const int64_t panel = chunk.blocks * kBlockBytes, elements = w_.elements - chunk.element;
    float* const row = w_.sums + chunk.element / kEdge * CeilDiv(tiles_.count, 2) * kSquareSize;
    for (int64_t tile = begin; tile < end; tile += 2) {
      MultiplyOf<Side>(tile + 1 < tiles_.count ? kEdge : kLines, elements, false)(
          w_.packed + tile * panel, panel, lowered, panel, chunk.blocks,
          w_.first && chunk.block == 0, side, row + tile / 2 * kSquareSize);
    }
  }

  const TileBackwardWeights& w_;
  const FilterTiles tiles_;
  __m512i largest_ = _mm512_setzero_si512();
  alignas(64) char lowered_[2][kEdge / kLines * kMaxGradientBlocks * kBlockBytes];
};

// dx += a square of sums, of pixels from `pixel` and vectors of elements from `vector` on.
void AddSquare(const TileBackwardData& w, int64_t pixel, int64_t pixels, int64_t vector,
               int64_t vectors, const float* sums) {
  for (int64_t v = 0; v < vectors; ++v) {
    const int64_t* first = w.vectors.first + vector + v;
    for (int64_t s = first[0]; s < first[1]; ++s) {
      const Segment& segment = w.vectors.segments[s];
      const auto lanes = static_cast<__mmask16>(segment.lanes);
      for (int64_t i = 0; i < pixels; ++i) {
        float* const to = w.dx + w.places[pixel + i] + segment.offset;
        const __m512 sum = _mm512_add_ps(_mm512_maskz_loadu_ps(lanes, to),
                                         _mm512_load_ps(sums + i * kEdge + v * 16));
        _mm512_mask_storeu_ps(to, lanes, sum);
      }
    }
  }
}

}  // namespace

bool PackWeights(const TileWeights& w, int64_t begin, int64_t end, char* to) {
  __m512i largest = _mm512_setzero_si512();
  const __m512 zero = _mm512_setzero_ps();
  for (int64_t panel = begin; panel < end; ++panel) {
    const __mmask16 lines = FirstOf(w.lines - panel * kLines);
    const __m512i offsets = _mm512_maskz_loadu_epi32(lines, w.line_offsets + panel * kLines);
    const auto gather = [&](int32_t step) {
      if (step < 0) return zero;
      return _mm512_mask_i32gather_ps(zero, lines, offsets, w.weights + step, 4);
    };
    for (int64_t pair = 0; pair < w.blocks * kPairs; ++pair) {
      const int32_t* steps = w.step_offsets + 2 * pair;
      char* const row = to + (panel * w.blocks + pair / kPairs) * kBlockBytes + pair % kPairs * 64;
      StorePieces(Split(gather(steps[0]), gather(steps[1]), &largest), row, kTileBytes);
    }
  }
  return AreHeld(largest);
}

bool SplitRows(const PaddedRows& p, const float* x, int64_t piece, uint16_t* planes) {
  const __m512i even = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
  const __m512i odd = _mm512_add_epi32(even, _mm512_set1_epi32(1));
  __m512i largest = _mm512_setzero_si512();
  ForEachRow(p, x, [&](const float* from, int64_t to) {
    for (int64_t at = 0; at < p.width + 2 * p.pad; at += 32) {
      const __m512 lower = LoadPadded(p, from, at), upper = LoadPadded(p, from, at + 16);
      StorePieces(Split(_mm512_permutex2var_ps(lower, even, upper),
                        _mm512_permutex2var_ps(lower, odd, upper), &largest),
                  planes + to + at, piece);
    }
  });
  return AreHeld(largest);
}

bool SplitRowsInPairs(const PaddedRows& p, const float* x, int64_t second, int64_t piece,
                      uint32_t* planes) {
  __m512i largest = _mm512_setzero_si512();
  ForEachRow(p, x, [&](const float* from, int64_t to) {
    for (int64_t at = 0; at < p.width + 2 * p.pad; at += 16) {
      StorePieces(Split(LoadPadded(p, from, at), LoadPadded(p, from, at + second), &largest),
                  planes + to + at, piece);
    }
  });
  return AreHeld(largest);
}

void RunForward(const TileForward& w) {
  _tile_loadconfig(&kTileConfig);
  if (w.elements.most <= 2) {
    Forward<2>(w).Run();
  } else if (w.elements.most <= 5) {
    Forward<5>(w).Run();
  } else {
    Forward<kAnySegments>(w).Run();
  }
  _tile_release();
}

void RunBackwardData(const TileBackwardData& w) {
  _tile_loadconfig(&kTileConfig);
  alignas(64) char packed[2 * kMaxTileFilters / kSteps * kBlockBytes];
  Sums sums[2];  // by turns, so that adding up need not wait for the tiles
  const int64_t blocks = CeilDiv(w.filters, kSteps), panel = blocks * kBlockBytes;
  Nothing nothing;
  for (int64_t pixel = 0; pixel < w.pixels; pixel += kEdge) {
    const int64_t pixels = Min(w.pixels - pixel, kEdge);
    for (int64_t line = 0; line < pixels; line += kLines) {
      for (int64_t k = 0; k < w.filters; k += kSteps) {
        PackBlock({w.dy + (pixel + line) * w.filters + k, w.filters, 1}, Min(pixels - line, kLines),
                  Min(w.filters - k, kSteps), true, kSteps,
                  packed + (line / kLines * blocks + k / kSteps) * kBlockBytes);
      }
    }
    for (int64_t element = 0; element < w.elements; element += kEdge) {
      const int64_t elements = Min(w.elements - element, kEdge);
      float* const square = sums[element / kEdge % 2].values;
      MultiplyOf<Nothing>(pixels, elements, false)(packed, panel,
                                                   w.weights + element / kLines * panel, panel,
                                                   blocks, true, &nothing, square);
      AddSquare(w, pixel, pixels, element / 16, CeilDiv(elements, 16), square);
    }
  }
  _tile_release();
}

bool AddToWeights(const TileBackwardWeights& w) {
  _tile_loadconfig(&kConfigsOfHeight[FilterTiles(w.filters).height - 1]);
  const bool held = w.vectors.most <= 2   ? Gradient<2>(w).Run()
                    : w.vectors.most <= 4 ? Gradient<4>(w).Run()
                                          : Gradient<kAnySegments>(w).Run();
  _tile_release();
  return held;
}

void StoreWeights(const float* sums, int64_t filters, int64_t elements, float* dw) {
  const FilterTiles tiles(filters);
  for (int64_t element = 0; element < elements; element += kEdge) {
    for (int64_t tile = 0; tile < tiles.count; ++tile) {
      const int64_t k = tile * tiles.height;
      const float* square = sums + tile / 2 * kSquareSize + tile % 2 * kLines * kEdge;
      Store({dw + k * elements + element, elements, false, nullptr, nullptr, false}, square,
            Min(filters - k, tiles.height), Min(elements - element, kEdge));
    }
    sums += CeilDiv(tiles.count, 2) * kSquareSize;
  }
}

}  // namespace lockstep::cpu::amx
