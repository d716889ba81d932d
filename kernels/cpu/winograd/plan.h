// What the passes of this folder share: which kernels, how pictures fall into tiles, channels into
// panels and work onto threads.
#ifndef LOCKSTEP_KERNELS_CPU_WINOGRAD_PLAN_H_
#define LOCKSTEP_KERNELS_CPU_WINOGRAD_PLAN_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "kernels/conv.h"
#include "kernels/cpu/isa_choice.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/winograd/isa.h"

namespace lockstep::cpu::winograd {

// Kernels for `best` and what it includes, the widest first.
std::vector<const IsaKernels*> UsableIsas(Isa best);

// A half-open range of anything.
struct Range {
  int64_t begin, end;
  int64_t size() const { return end - begin; }
};

// Part `part` of `parts` of [0, size), in multiples of `grain`.
Range Part(int64_t size, int64_t parts, int64_t part, int64_t grain = 1);

// A panel of `width` vectors of channels.
struct Panel {
  int64_t vector, width;
};

// Covers the vectors with panels of three, and of two where that leaves no single one over.
std::vector<Panel> Panels(Range vectors);

enum class PlaneOrder { kByGroup, kByVector };

// Floats between the planes of two points that hold `floats` each: kept off multiples of the page
// size, where 36 planes would fall into the same few lines of a cache.
inline int64_t PointStride(int64_t floats) { return (floats + 15) / 16 * 16 + 16; }

struct Plan {
  ConvShape shape;
  ConvPass pass;
  Layout x, y;
  const IsaKernels* isa;
  const Transforms* transforms;
  int parts;  // threads the work is split for

  int64_t points() const { return transforms->points * transforms->points; }
  bool backward() const { return pass == ConvPass::kBackwardData; }
  // Tiles of what the pass writes, or of dy.
  int64_t rows() const { return Tiles(backward() ? shape.h : shape.out_h()); }
  int64_t cols() const { return Tiles(backward() ? shape.w : shape.out_w()); }
  int64_t tiles() const { return shape.n * rows() * cols(); }
  int64_t vectors(int64_t channels) const { return (channels + isa->lanes - 1) / isa->lanes; }
  // Channels in whole vectors.
  int64_t Padded(int64_t channels) const { return vectors(channels) * isa->lanes; }

  // Planes at `planes` of `tiles` tiles and as many vectors of channels as `vectors` has, ordered
  // for sums over channels or over tiles (isa.h), of x (or dx) and of y (or dy).
  TileJob JobOfX(void* x, Range tiles, Range vectors, float* planes, PlaneOrder order) const;
  TileJob JobOfY(void* y, Range tiles, Range vectors, float* planes, PlaneOrder order) const;
  // Floats of all points' planes.
  int64_t PlaneFloats(int64_t tiles, int64_t channels) const {
    return points() *
           PointStride((tiles + isa->group - 1) / isa->group * isa->group * Padded(channels));
  }

 private:
  int64_t Tiles(int64_t size) const { return (size + transforms->tile - 1) / transforms->tile; }
  TileJob MakeTileJob(const Picture& picture, int64_t channels, Range tiles, Range vectors,
                      float* planes, PlaneOrder order) const;
};

// body(part) for every part, on the backend's threads.
template <typename Body>
void ForParts(int64_t parts, Body&& body) {
  ParallelThreads([&](int thread, int threads) {
    for (int64_t part = thread; part < parts; part += threads) body(part);
  });
}

// The passes. Forward and the data's gradient with transformed weights kept (tiled) or made on the
// way (fused); the weights' gradient with sums kept over blocks of tiles (tiled) or with all
// pictures transformed first (fused).
std::unique_ptr<ConvKernel> MakeTiled(const Plan& plan);
std::unique_ptr<ConvKernel> MakeFused(const Plan& plan);
std::unique_ptr<ConvKernel> MakeTiledGradient(const Plan& plan);
std::unique_ptr<ConvKernel> MakeFusedGradient(const Plan& plan);

// As MakeWinograd, with one instruction set.
bool Runs(const ConvShape& shape, Layout x, Layout y, const IsaKernels& isa);
std::unique_ptr<ConvKernel> Make(const ConvShape& shape, ConvPass pass,
                                 const std::string& algorithm, Layout x, Layout y,
                                 const IsaKernels& isa);

}  // namespace lockstep::cpu::winograd

#endif  // LOCKSTEP_KERNELS_CPU_WINOGRAD_PLAN_H_
