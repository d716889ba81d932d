#include "kernels/cpu/isa/dropout_vec.h"
#include "kernels/cpu/isa/families.h"
#include "kernels/cpu/isa/segments.h"
#include "kernels/math/box_muller.h"

namespace lockstep::cpu::LOCKSTEP_ISA {
namespace {

// A plain vector of `size` elements of one sample, cut into draws.
template <typename T>
void DropoutRun(const DropoutDraw& draw, int64_t sample, int64_t first, int64_t size, const T* x,
                T* y) {
  constexpr int64_t kPart = kDrawElements - 8;
  alignas(64) T keep[kDrawElements];
  for (int64_t begin = 0; begin < size; begin += kPart) {
    const int64_t count = size - begin < kPart ? size - begin : kPart;
    DrawKeep(draw, sample, first + begin, 0, 1, count, keep);
    LOCKSTEP_INDEPENDENT
    for (int64_t i = 0; i < count; ++i) y[begin + i] = x[begin + i] * keep[i];
  }
}

template <typename T>
void Dropout(const ChannelRows& g, int64_t begin, int64_t end, const DropoutDraw& draw, const T* x,
             T* y) {
  ForSegments(g, begin, end, [&](const Segment& s) {
    if (g.width == g.channels) {
      DropoutRun(draw, s.sample, s.row * g.width, s.rows * g.width, x + s.offset, y + s.offset);
      return;
    }
    if (g.width > kDrawElements / 2) {
      for (int64_t i = 0; i < s.rows; ++i) {
        const int64_t offset = s.offset + i * g.row_stride;
        DropoutRun(draw, s.sample, s.element + i * g.channels, g.width, x + offset, y + offset);
      }
      return;
    }
    alignas(64) T keep[kDrawElements];
    const int64_t rows_at_once = DrawRows(g.width);
    for (int64_t r = 0; r < s.rows; r += rows_at_once) {
      const int64_t rows = s.rows - r < rows_at_once ? s.rows - r : rows_at_once;
      DrawKeep(draw, s.sample, s.element + r * g.channels, g.channels, rows, g.width, keep);
      const int64_t offset = s.offset + r * g.row_stride;  // rows are dense: no group is split
      LOCKSTEP_INDEPENDENT
      for (int64_t i = 0; i < rows * g.width; ++i) y[offset + i] = x[offset + i] * keep[i];
    }
  });
}

// body(words, first element, elements) for Philox blocks [begin, end) of a flat array.
template <typename Body>
LOCKSTEP_FORMULA void ForWords(uint64_t key, int64_t begin, int64_t end, int64_t size,
                               const Body& body) {
  alignas(64) uint32_t blocks[kDrawBlocks];
  alignas(64) uint32_t words[kDrawElements];
  for (; begin < end; begin += kDrawBlocks) {
    for (int64_t i = 0; i < kDrawBlocks; ++i) blocks[i] = static_cast<uint32_t>(begin + i);
    // A draw never crosses a multiple of 2^32 blocks: `begin` starts at multiples of kDrawBlocks.
    const uint64_t high = static_cast<uint64_t>(begin) >> 32;
    for (int64_t i = 0; i < kDrawBlocks; i += kPhiloxLanes) {
      PhiloxVector(key, LoadBlocks(blocks + i), high, 0, words + 4 * i);
    }
    const int64_t stop = 4 * end < size ? 4 * end : size;
    const int64_t count = stop - 4 * begin < kDrawElements ? stop - 4 * begin : kDrawElements;
    body(words, 4 * begin, count);
  }
}

template <typename T>
void FillNormal(uint64_t key, T mean, T stddev, int64_t begin, int64_t end, int64_t size, T* x) {
  ForWords(key, begin, end, size, [&](const uint32_t* words, int64_t first, int64_t count) {
    alignas(64) T z[kDrawElements];
    for (int64_t i = 0; i < kDrawElements / 2; ++i) {
      T z0, z1;
      math::BoxMuller(words[2 * i], words[2 * i + 1], &z0, &z1);
      z[2 * i] = z0;
      z[2 * i + 1] = z1;
    }
    for (int64_t i = 0; i < count; ++i) x[first + i] = mean + stddev * z[i];
  });
}

template <typename T>
void FillUniform(uint64_t key, T low, T width, T last, int64_t begin, int64_t end, int64_t size,
                 T* x) {
  ForWords(key, begin, end, size, [&](const uint32_t* words, int64_t first, int64_t count) {
    for (int64_t i = 0; i < count; ++i) {
      const T value = low + width * math::UniformUnit<T>(words[i]);
      x[first + i] = value < last ? value : last;
    }
  });
}

}  // namespace

void GetRandom(RandomLoops<float>* f32, RandomLoops<double>* f64) {
  *f32 = {Dropout<float>, FillNormal<float>, FillUniform<float>};
  *f64 = {Dropout<double>, FillNormal<double>, FillUniform<double>};
}

}  // namespace lockstep::cpu::LOCKSTEP_ISA
