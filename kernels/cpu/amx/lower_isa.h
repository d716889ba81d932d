// Tiles of lowered pictures; include from files compiled for AMX only.
#ifndef LOCKSTEP_KERNELS_CPU_AMX_LOWER_ISA_H_
#define LOCKSTEP_KERNELS_CPU_AMX_LOWER_ISA_H_

#include <immintrin.h>

#include <cstdint>

#include "kernels/cpu/amx/conv.h"
#include "kernels/cpu/amx/pieces_isa.h"

namespace lockstep::cpu::amx {
namespace {

static_assert(kBlockSteps == kSteps && kPanelLines == kLines && kPackedBlockBytes == kBlockBytes);

// The lanes of a segment at p; the others stay.
__attribute__((always_inline)) inline __m512i LoadLanes(__m512i other, uint32_t lanes,
                                                        const uint32_t* p) {
  return _mm512_mask_loadu_epi32(other, static_cast<__mmask16>(lanes), p);
}
__attribute__((always_inline)) inline __m512i LoadLanes(__m512i other, uint32_t lanes,
                                                        const uint16_t* p) {
  return _mm512_mask_loadu_epi16(other, lanes, p);
}

// As many segments a vector as there are: a loop.
constexpr int kAnySegments = 0;

// From the panel of a block to its other one, and from there to the first one of the next block:
// by how many places and vectors.
struct PanelSteps {
  int64_t other_places, other_vectors, next_places, next_vectors;
};
// Panels of 16 pixels, blocks of 32 elements.
constexpr PanelSteps kPanelsOfPixels = {kLines, 0, -kLines, 1};
// Panels of 16 elements, blocks of 16 pairs of pixels.
constexpr PanelSteps kPanelsOfElements = {0, 1, kPairs, -1};

// Lowers blocks of two panels, of which every vector has at most kSegments segments, beside
// products of tiles: kPanels panels with every block of these; with those that are too many, the
// last one again. Without branches, as what runs beside tiles must be, but for kAnySegments.
template <typename T, int kSegments, int kPanels>
class Lowerer {
 public:
  // To panels of `blocks` blocks at `to`, beginning with vector `vector` at the first 16 places.
  Lowerer(const T* planes, int64_t piece, const int64_t* places, const FilterVectors& vectors,
          int64_t vector, const PanelSteps& steps, int64_t blocks, char* to)
      : planes_(planes),
        piece_(piece),
        places_(places),
        segments_(vectors.segments),
        first_(vectors.first + vector),
        steps_(steps),
        left_(2 * blocks),
        to_(to),
        to_step_(blocks * kBlockBytes) {
    TakeSegments();
  }

  template <int kPart>
  __attribute__((always_inline)) void Some() {
    constexpr int kRows = kLines * kPanels, kParts = 6;
#pragma GCC unroll 8
    for (int row = kRows * kPart / kParts; row < kRows * (kPart + 1) / kParts; ++row) {
      LowerRow(places_[row % kLines], to_ + row % kLines * 64);
      if (row % kLines == kLines - 1) NextPanel();
    }
  }

  bool done() const { return left_ <= 0; }

 private:
  static constexpr int kHeld = kSegments > 0 ? kSegments : 1;

  __attribute__((always_inline)) void LowerRow(int64_t place, char* to) const {
    const T* from = planes_ + place;
#pragma GCC unroll 3
    for (int part = 0; part < kPieces; ++part, from += piece_) {
      __m512i row = _mm512_setzero_si512();
      if constexpr (kSegments == kAnySegments) {
        for (int64_t s = first_[0]; s < first_[1]; ++s) {
          row = LoadLanes(row, segments_[s].lanes, from + segments_[s].offset);
        }
      } else {
#pragma GCC unroll 8
        for (int s = 0; s < kSegments; ++s) row = LoadLanes(row, lanes_[s], from + offsets_[s]);
      }
      _mm512_store_si512(to + part * kTileBytes, row);
    }
  }

  // By turns the other panel of a block, and the first one of the next block.
  void NextPanel() {
    const bool more = --left_ > 0, other = left_ % 2 != 0;
    places_ += more ? (other ? steps_.other_places : steps_.next_places) : 0;
    first_ += more ? (other ? steps_.other_vectors : steps_.next_vectors) : 0;
    to_ += more ? to_step_ : 0;
    to_step_ = kBlockBytes - to_step_;
    TakeSegments();
  }
  // Of fewer the last one several times.
  void TakeSegments() {
    if constexpr (kSegments != kAnySegments) {
      const int64_t last = first_[1] - 1;
      for (int s = 0; s < kSegments; ++s) {
        const Segment& segment = segments_[first_[0] + s < last ? first_[0] + s : last];
        lanes_[s] = segment.lanes;
        offsets_[s] = segment.offset;
      }
    }
  }

  const T* planes_;
  int64_t piece_;
  const int64_t* places_;
  const Segment* segments_;
  const int64_t* first_;
  PanelSteps steps_;
  int64_t left_;  // panels
  char* to_;
  int64_t to_step_;
  uint32_t lanes_[kHeld];
  int64_t offsets_[kHeld];
};

}  // namespace
}  // namespace lockstep::cpu::amx

#endif  // LOCKSTEP_KERNELS_CPU_AMX_LOWER_ISA_H_
