// Sums per channel over the samples and pixels of a picture batch, in any layout: block
// (k * tiles + t) adds part k of the positions of channel tile t, then one block a channel adds the
// parts. Threads are [row][column]: neighbours read neighbouring elements in every layout.
#ifndef LOCKSTEP_KERNELS_MATH_CHANNEL_SUMS_H_
#define LOCKSTEP_KERNELS_MATH_CHANNEL_SUMS_H_

#include <cstdint>

#include "kernels/math/block.h"
#include "kernels/math/divisor.h"
#include "kernels/math/half.h"
#include "kernels/math/host_device.h"
#include "kernels/math/sums.h"

namespace lockstep::math {

// Channels of a tile: what 32 threads of a GPU read at once.
inline constexpr int64_t kTileChannels = 32;

struct ChannelTiles {
  int64_t channels, pixels, block;
  int64_t width;      // channels of a tile: a power of two, at most kTileChannels
  int64_t in_block;   // tiles of a layout block, the last may be narrower
  int64_t positions;  // n * pixels
  int64_t parts;
  Divisor by_pixels, by_in_block;

  LOCKSTEP_FORMULA ChannelTiles(int64_t n, int64_t c, int64_t pixel_count, int64_t layout_block)
      : channels(c),
        pixels(pixel_count),
        block(pixel_count == 1 ? c : layout_block),
        width(1),
        positions(n * pixel_count),
        by_pixels(pixel_count < 1 ? 1 : pixel_count) {
    while (2 * width <= kTileChannels && 2 * width <= block) width *= 2;
    in_block = block < 1 ? 0 : (block + width - 1) / width;
    by_in_block = Divisor(in_block < 1 ? 1 : in_block);
    // Enough blocks for a large GPU, each with enough to do.
    constexpr int64_t kElements = 4096, kBlocks = 2048, kMostParts = 256;
    const int64_t wanted = positions * width / kElements;
    const int64_t limit = tiles() < 1 || kBlocks / tiles() < 1 ? 1 : kBlocks / tiles();
    parts = wanted < limit ? wanted : limit;
    parts = parts < 1 ? 1 : parts < kMostParts ? parts : kMostParts;
  }

  LOCKSTEP_FORMULA int64_t tiles() const { return block < 1 ? 0 : channels / block * in_block; }
  LOCKSTEP_FORMULA int64_t blocks() const { return tiles() * parts; }
  LOCKSTEP_FORMULA Parts cut() const { return {positions, parts}; }

  // Of the caller's tile: the first channel, its lane in its layout block, and its channels.
  struct Tile {
    int64_t part, channel, lane, count;
  };
  LOCKSTEP_FORMULA Tile TileOf(int64_t b) const {
    const int64_t part = b / tiles();
    int64_t in;
    const int64_t layout_block = by_in_block.Divide(b - part * tiles(), &in);
    const int64_t lane = in * width;
    return {part, layout_block * block + lane, lane, block - lane < width ? block - lane : width};
  }
  // Offset of channel `c` of lane `lane` at position n * pixels + p.
  LOCKSTEP_FORMULA int64_t Offset(int64_t position, int64_t c, int64_t lane) const {
    if (block == channels) return position * channels + c;
    int64_t p;
    const int64_t n = by_pixels.Divide(position, &p);
    return (n * channels + c - lane) * pixels + p * block + lane;
  }
};

struct TwoSums {
  double a, b;
};
struct AddBoth {
  LOCKSTEP_FORMULA TwoSums operator()(const TwoSums& x, const TwoSums& y) const {
    return {x.a + y.a, x.b + y.b};
  }
};

// Terms that are added in T before they go to a double.
inline constexpr int kFlushTerms = 16;

// parts_a[k * channels + c] and parts_b[...], unless that is null, = the sums of a channel's terms.
// T is what terms are added in.
// term.Start(c, positions' begin, end, offset function) gives what the channel's terms share;
// term.Add(shared, offset, &a, &b) gives one term; term.End(shared, count, sums) the results.
template <typename T, typename Term>
struct ChannelSumParts {
  ChannelTiles tiles;
  Term term;
  double* parts_a;
  double* parts_b;

  template <typename Block>
  LOCKSTEP_FORMULA void operator()(const Block& block, int64_t b) const {
    const ChannelTiles::Tile tile = tiles.TileOf(b);
    const int columns =
        static_cast<int>(tiles.width < block.size() ? tiles.width : int64_t{block.size()});
    const int rows = block.size() / columns;
    const int row = block.rank() / columns;
    const int64_t begin = tiles.cut().Begin(tile.part), end = tiles.cut().Begin(tile.part + 1);
    for (int64_t first = 0; first < tile.count; first += columns) {
      const int64_t j = first + block.rank() % columns;
      const bool works = j < tile.count && row < rows;
      const int64_t c = tile.channel + j, lane = tile.lane + j;
      const auto shared =
          term.Start(tiles, works ? c : tile.channel, works ? lane : tile.lane, begin, end);
      TwoSums sums{0, 0};
      if (works) sums = Column(shared, c, lane, begin + row, end, rows);
      sums = block.Combine(sums, columns, AddBoth{});
      if (!works || row != 0) continue;
      const TwoSums result = term.End(shared, c, static_cast<double>(end - begin), sums);
      const int64_t at = tile.part * tiles.channels + c;
      parts_a[at] = result.a;
      if (parts_b != nullptr) parts_b[at] = result.b;
    }
  }

 private:
  template <typename Shared>
  LOCKSTEP_FORMULA TwoSums Column(const Shared& shared, int64_t c, int64_t lane, int64_t begin,
                                  int64_t end, int64_t step) const {
    TwoSums sums{0, 0};
    for (int64_t i = begin; i < end;) {
      T a = 0, b = 0;
      for (int k = 0; k < kFlushTerms && i < end; ++k, i += step) {
        T one, other;
        term.Add(shared, tiles.Offset(i, c, lane), &one, &other);
        a += one;
        b += other;
      }
      sums.a += static_cast<double>(a);
      sums.b += static_cast<double>(b);
    }
    return sums;
  }
};

// y = the sum of x.
template <typename T>
struct ValueTerm {
  struct Shared {};
  const T* x;
  LOCKSTEP_FORMULA Shared Start(const ChannelTiles&, int64_t, int64_t, int64_t, int64_t) const {
    return {};
  }
  LOCKSTEP_FORMULA void Add(Shared, int64_t offset, Accumulator<T>* a, Accumulator<T>* b) const {
    *a = x[offset];
    *b = 0;
  }
  LOCKSTEP_FORMULA TwoSums End(Shared, int64_t, double, const TwoSums& sums) const { return sums; }
};

// The second step for channel c: y[c] = the sum of its parts.
template <typename T>
struct AddChannelParts {
  int64_t channels, parts;
  const double* part;
  T* y;

  template <typename Block>
  LOCKSTEP_FORMULA void operator()(const Block& block, int64_t c) const {
    double sum = 0;
    for (int64_t k = block.rank(); k < parts; k += block.size()) sum += part[k * channels + c];
    sum = block.Sum(sum);
    if (block.rank() == 0) y[c] = static_cast<T>(sum);
  }
};

}  // namespace lockstep::math

#endif  // LOCKSTEP_KERNELS_MATH_CHANNEL_SUMS_H_
