#include "kernels/cpu/reduce.h"

#include <atomic>

#include "kernels/cpu/channel_groups.h"
#include "kernels/cpu/parallel.h"

namespace lockstep::cpu {

void CpuReduce::AddSquares(DType dtype, int64_t size, const void* x, double* sum) {
  constexpr int64_t kChunks = 256;
  const int64_t chunk = std::max<int64_t>(kGrain, (size + kChunks - 1) / kChunks);
  const int64_t chunks = (size + chunk - 1) / chunk;
  double parts[kChunks];
  WithType(*isa_, dtype, [&](const auto& loops, auto* type) {
    ParallelFor(chunks, GrainOf(chunk), [&](int64_t begin, int64_t end) {
      for (int64_t k = begin; k < end; ++k) {
        const int64_t count = std::min(chunk, size - k * chunk);
        parts[k] = loops.reduce.sum_of_squares(count, As(x, type) + k * chunk);
      }
    });
  });
  double total = 0;
  for (int64_t k = 0; k < chunks; ++k) total += parts[k];
  *sum += total;
}

void CpuReduce::ChannelSums(DType dtype, const PictureShape& shape, Layout layout, const void* x,
                            void* y) {
  WithType(*isa_, dtype, [&](const auto& loops, auto* type) {
    auto* sums = As(y, type);
    std::fill_n(sums, shape.c, 0);
    ForChannelGroups(shape, layout, true, [&](const ChannelRows& g) {
      const int64_t chunks = ChunkCount(g);
      const int64_t positions = g.samples * g.rows;
      const int64_t channels = g.blocks * g.width;
      double parts[kMaxChunks * kGroupChannels];
      ParallelFor(chunks * g.blocks, GrainOf(positions * g.width / chunks),
                  [&](int64_t begin, int64_t end) {
                    for (int64_t i = begin; i < end; ++i) {
                      const int64_t k = i / g.blocks;
                      const int64_t b = i % g.blocks;
                      loops.reduce.channel_sums(g, b, positions * k / chunks,
                                                positions * (k + 1) / chunks, As(x, type),
                                                parts + k * channels + b * g.width);
                    }
                  });
      for (int64_t c = 0; c < channels; ++c) {
        double sum = 0;
        for (int64_t k = 0; k < chunks; ++k) sum += parts[k * channels + c];
        sums[g.c0 + c] = static_cast<std::remove_pointer_t<decltype(type)>>(sum);
      }
    });
  });
}

int64_t CpuReduce::FirstNonFinite(DType dtype, int64_t size, const void* x) {
  std::atomic<int64_t> first = size;
  WithType(*isa_, dtype, [&](const auto& loops, auto* type) {
    ParallelFor(size, kGrain, [&](int64_t begin, int64_t end) {
      const int64_t i = loops.reduce.first_non_finite(end - begin, As(x, type) + begin);
      if (i < 0) return;
      int64_t seen = first.load();
      while (begin + i < seen && !first.compare_exchange_weak(seen, begin + i)) {
      }
    });
  });
  return first.load() == size ? -1 : first.load();
}

double CpuReduce::LargestMagnitude(DType dtype, int64_t size, const void* x) {
  std::atomic<double> largest = 0.0;
  WithType(*isa_, dtype, [&](const auto& loops, auto* type) {
    ParallelFor(size, kGrain, [&](int64_t begin, int64_t end) {
      const double mine = loops.reduce.largest_magnitude(end - begin, As(x, type) + begin);
      double seen = largest.load();
      while (mine > seen && !largest.compare_exchange_weak(seen, mine)) {
      }
    });
  });
  return largest.load();
}

void CpuReduce::ToFixedPoint(DType dtype, int64_t size, const void* x, double scale,
                             bool accumulate, int64_t* sums) {
  WithType(*isa_, dtype, [&](const auto& loops, auto* type) {
    ParallelFor(size, kGrain, [&](int64_t begin, int64_t end) {
      loops.reduce.to_fixed_point(end - begin, As(x, type) + begin, scale, accumulate,
                                  sums + begin);
    });
  });
}

void CpuReduce::FromFixedPoint(DType dtype, int64_t size, const int64_t* sums, double scale,
                               void* y) {
  WithType(*isa_, dtype, [&](const auto& loops, auto* type) {
    ParallelFor(size, kGrain, [&](int64_t begin, int64_t end) {
      loops.reduce.from_fixed_point(end - begin, sums + begin, scale, As(y, type) + begin);
    });
  });
}

}  // namespace lockstep::cpu
