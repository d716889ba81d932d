#include "kernels/cpu/winograd/plan.h"

#include <algorithm>

namespace lockstep::cpu::winograd {

std::vector<const IsaKernels*> UsableIsas(Isa best) {
  std::vector<const IsaKernels*> isas;
  if (best >= Isa::kAvx512) isas.push_back(&avx512::kWinograd);
  if (best >= Isa::kAvx2) isas.push_back(&avx2::kWinograd);
  isas.push_back(&baseline::kWinograd);
  return isas;
}

Range Part(int64_t size, int64_t parts, int64_t part, int64_t grain) {
  const int64_t grains = (size + grain - 1) / grain;
  return {std::min(size, grains * part / parts * grain),
          std::min(size, grains * (part + 1) / parts * grain)};
}

std::vector<Panel> Panels(Range vectors) {
  std::vector<Panel> panels;
  for (int64_t v = vectors.begin; v < vectors.end;) {
    const int64_t left = vectors.end - v;
    const int64_t width = left == 4 ? 2 : std::min<int64_t>(left, kMaxPanel);
    panels.push_back({v, width});
    v += width;
  }
  return panels;
}

namespace {

Picture MakePicture(void* data, int64_t channels, int64_t h, int64_t w, Layout layout) {
  return {static_cast<float*>(data), h, w, layout.block, h * w * layout.block, h * w * channels};
}

}  // namespace

// The squares of the forward pass begin with its padding, those of the gradient of the data with
// what the filter reaches beyond.
TileJob Plan::JobOfX(void* x_data, Range tiles, Range vectors, float* planes,
                     PlaneOrder order) const {
  TileJob job = MakeTileJob(MakePicture(x_data, shape.c, shape.h, shape.w, x), shape.c, tiles,
                            vectors, planes, order);
  job.pad_h = shape.pad_h;
  job.pad_w = shape.pad_w;
  return job;
}

TileJob Plan::JobOfY(void* y_data, Range tiles, Range vectors, float* planes,
                     PlaneOrder order) const {
  TileJob job = MakeTileJob(MakePicture(y_data, shape.k, shape.out_h(), shape.out_w(), y), shape.k,
                            tiles, vectors, planes, order);
  job.pad_h = transforms->taps - 1 - shape.pad_h;
  job.pad_w = transforms->taps - 1 - shape.pad_w;
  return job;
}

TileJob Plan::MakeTileJob(const Picture& picture, int64_t channels, Range tiles, Range vectors,
                          float* planes, PlaneOrder order) const {
  TileJob job = {};
  job.picture = picture;
  job.channels = channels;
  job.rows = rows();
  job.cols = cols();
  job.first = tiles.begin;
  job.count = tiles.size();
  job.first_vector = vectors.begin;
  job.vectors = vectors.size();
  job.planes = planes;
  const int64_t lanes = isa->lanes, group = isa->group;
  const int64_t groups = (tiles.size() + group - 1) / group;
  const bool by_group = order == PlaneOrder::kByGroup;
  job.vector_stride = (by_group ? group : tiles.size()) * lanes;
  job.group_stride = (by_group ? vectors.size() * group : group) * lanes;
  job.point_stride =
      PointStride((by_group ? groups * group : tiles.size()) * vectors.size() * lanes);
  return job;
}

}  // namespace lockstep::cpu::winograd
