// Convolutions on AMX tiles, of pictures with channels last: matrix products whose one operand,
// the lowered pictures, is packed piece by piece while it is multiplied and never written as a
// whole. As exact as kernels/cpu/amx/product.h says. Included by files compiled for AMX, so
// nothing here has a function body.
#ifndef LOCKSTEP_KERNELS_CPU_AMX_CONV_H_
#define LOCKSTEP_KERNELS_CPU_AMX_CONV_H_

#include <cstdint>

namespace lockstep::cpu::amx {

// Of an operand's tiles (pieces_isa.h): lines of a panel, steps of a block, bytes of the block's
// three pieces in a panel.
constexpr int64_t kPanelLines = 16, kBlockSteps = 32, kPackedBlockBytes = 3072;
constexpr int64_t kMaxTileFilters = 1024;

// Lanes of a vector that are neighbours in memory: lane i, where its bit is set, lies at
// offset + i.
struct Segment {
  int64_t offset;
  uint32_t lanes;
};

// Elements that a filter reads, by vectors: the segments of vector v are segments[first[v]] to
// segments[first[v + 1] - 1]. Offsets are from the first one.
struct FilterVectors {
  const Segment* segments;
  const int64_t* first;
  int64_t most;  // segments of a vector
};

// Weights as tiles [pair of steps][line], `lines` lines of `blocks` blocks. Element (line, step) is
// weights[line_offsets[line] + step_offsets[step]], or 0 where the step's offset is negative.
// Steps 2 i and 2 i + 1 are a pair: the order of the offsets says which of the caller's these are.
struct TileWeights {
  const float* weights;
  const int32_t* line_offsets;
  const int32_t* step_offsets;
  int64_t lines, blocks;
};
// Panels [begin, end), to where they lie in all of `to`. Whether pieces hold all elements.
bool PackWeights(const TileWeights& weights, int64_t begin, int64_t end, char* to);

// Rows of `width` elements, channels last, with `pad` elements on both sides of each and room for
// padding above and below.
struct PaddedRows {
  int64_t rows, width, pad, pad_rows;
};
// To three planes, `piece` elements apart, of one piece an element. What is above and below is not
// written; up to 32 elements behind the last row are. Whether pieces hold all elements.
bool SplitRows(const PaddedRows& rows, const float* x, int64_t piece, uint16_t* planes);
// The same, each element with the one `second` behind it in the padded row, 0 behind its end.
bool SplitRowsInPairs(const PaddedRows& rows, const float* x, int64_t second, int64_t piece,
                      uint32_t* planes);

// y (pixels, filters) = f(lowered (pixels, steps) * weights (steps, filters) + bias).
struct TileForward {
  const uint16_t* planes;
  int64_t piece;
  const int64_t* places;   // of every output pixel: what it reads first; a multiple of 32 of them
  FilterVectors elements;  // of 32 steps
  const char* weights;     // filters x steps
  int64_t pixels, filters, blocks;
  float* y;
  const float* bias;  // (filters,) or null
  bool relu;
};
void RunForward(const TileForward& work);

// dx += dy (pixels, filters) * weights (filters, elements), each pixel's elements where the filter
// read them. In the weights, steps i and i + 16 of a block are a pair.
struct TileBackwardData {
  const float* dy;
  const char* weights;  // elements x filters
  int64_t pixels, filters, elements;
  float* dx;
  const int64_t* places;  // of every output pixel
  FilterVectors vectors;  // of 16 elements
};
void RunBackwardData(const TileBackwardData& work);

// sums (filters, elements) += dy (pixels, filters)^T * lowered (pixels, elements).
struct TileBackwardWeights {
  const uint32_t* planes;  // SplitRowsInPairs'
  int64_t piece;
  // Of each pair of pixels: what the first one reads first, its row of dy, and the second one's
  // row, which is negative where there is none. A multiple of 16 of places.
  const int64_t* places;
  const int64_t* first_rows;
  const int64_t* second_rows;
  int64_t pairs;
  FilterVectors vectors;  // of 16 elements
  const float* dy;
  int64_t filters, elements;
  bool first;    // the sums are 0 yet
  float* sums;   // by squares of at most 32 filters x 32 elements
  char* packed;  // scratch: filters x kMaxGradientBlocks blocks
};
constexpr int64_t kMaxGradientBlocks = 8;
// Whether pieces hold all elements of dy.
bool AddToWeights(const TileBackwardWeights& work);
// dw (filters, elements) of all sums.
void StoreWeights(const float* sums, int64_t filters, int64_t elements, float* dw);

}  // namespace lockstep::cpu::amx

#endif  // LOCKSTEP_KERNELS_CPU_AMX_CONV_H_
