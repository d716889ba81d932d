// Keep factors of a dropout in the order of memory.
#ifndef LOCKSTEP_KERNELS_CPU_ISA_DROPOUT_VEC_H_
#define LOCKSTEP_KERNELS_CPU_ISA_DROPOUT_VEC_H_

#include "kernels/cpu/isa/channel_rows.h"
#include "kernels/cpu/isa/philox_vec.h"

namespace lockstep::cpu::LOCKSTEP_ISA {

// Philox blocks, and elements, that are drawn together.
inline constexpr int64_t kDrawBlocks = 256;
inline constexpr int64_t kDrawElements = 4 * kDrawBlocks;

// Rows of `width` elements, starting anywhere in a block of four, that one draw can take.
LOCKSTEP_FORMULA int64_t DrawRows(int64_t width) {
  const int64_t rows = kDrawBlocks / ((width + 6) / 4);
  return rows < 1 ? 1 : rows;
}

// The blocks that hold the elements of each row, one after the other; their number. Whole vectors
// are stored: what one writes too much the next overwrites.
LOCKSTEP_FORMULA int64_t ListBlocks(int64_t first, int64_t row_step, int64_t rows, int64_t width,
                                    uint32_t* blocks) {
  HalfWords iota;
  for (int i = 0; i < kPhiloxLanes; ++i) iota[i] = static_cast<uint32_t>(i);
  if (width == 1 && row_step % 4 == 0) {
    for (int64_t i = 0; i < rows; ++i) {
      blocks[i] = static_cast<uint32_t>(first / 4 + i * (row_step / 4));
    }
    return rows;
  }
  int64_t count = 0;
  for (int64_t i = 0; i < rows; ++i, first += row_step) {
    const int64_t begin = first / 4;
    const int64_t more = (first + width - 1) / 4 - begin + 1;
    for (int64_t k = 0; k < more; k += kPhiloxLanes) {
      Store(blocks + count + k, Broadcast<HalfWords>(static_cast<uint32_t>(begin + k)) + iota);
    }
    count += more;
  }
  return count;
}

// keep[i * width + j] = the factor, 0 or draw.scale, of logical element
// first + i * row_step + j of sample `sample`, for i < rows, j < width. rows <= DrawRows(width),
// width <= kDrawElements - 8.
template <typename T>
void DrawKeep(const DropoutDraw& draw, int64_t sample, int64_t first, int64_t row_step,
              int64_t rows, int64_t width, T* keep) {
  alignas(64) uint32_t blocks[kDrawBlocks + 16];
  alignas(64) uint32_t words[kDrawElements + 64];
  const uint64_t id = static_cast<uint64_t>(draw.sample_ids[sample]);
  const bool aligned = (first % 4 | row_step % 4 | width % 4) == 0;
  const int64_t count = ListBlocks(first, row_step, rows, width, blocks);
  for (int64_t i = 0; i < count; i += kPhiloxLanes) {
    PhiloxVector(draw.key, LoadBlocks(blocks + i), id, draw.epoch, words + 4 * i);
  }
  const T scale = static_cast<T>(draw.scale);
  const uint32_t threshold = draw.threshold;
  if (aligned) {
    for (int64_t i = 0; i < rows * width; ++i) keep[i] = words[i] >= threshold ? scale : T(0);
    return;
  }
  if (width == 1 && row_step % 4 == 0) {
    for (int64_t i = 0; i < rows; ++i) {
      keep[i] = words[4 * i + first % 4] >= threshold ? scale : T(0);
    }
    return;
  }
  const uint32_t* from = words;
  for (int64_t i = 0; i < rows; ++i, keep += width) {
    const int64_t e = first + i * row_step;
    for (int64_t j = 0; j < width; ++j) keep[j] = from[e % 4 + j] >= threshold ? scale : T(0);
    from += 4 * ((e + width - 1) / 4 - e / 4 + 1);
  }
}

}  // namespace lockstep::cpu::LOCKSTEP_ISA

#endif  // LOCKSTEP_KERNELS_CPU_ISA_DROPOUT_VEC_H_
