#include "tools/predictor.h"

#include <algorithm>
#include <cstring>
#include <span>
#include <vector>

#include "engine/text.h"
#include "kernels/error.h"
#include "tools/device.h"

namespace lockstep::tools {
namespace {

DType Precision(const FoundModel& found) {
  return found.card && found.card->dtype == "float64" ? DType::kFloat64 : DType::kFloat32;
}

// Shape of `rows` rows of `sample`.
Shape WithRows(int64_t rows, const Shape& sample) {
  std::vector<int64_t> dims{rows};
  dims.insert(dims.end(), sample.dims().begin(), sample.dims().end());
  return Shape(std::span<const int64_t>(dims));
}

// (n, h, w, c) as (n, c, h, w).
Shape ChannelsFirst(const Shape& rows) { return {rows[0], rows[3], rows[1], rows[2]}; }

Tensor ChannelsFirst(const Tensor& rows) {
  Tensor planes(rows.dtype(), ChannelsFirst(rows.shape()));
  const size_t element = SizeOf(rows.dtype());
  const auto channels = static_cast<size_t>(rows.shape()[3]);
  const auto plane = static_cast<size_t>(rows.shape()[1] * rows.shape()[2]);
  const auto* from = static_cast<const char*>(rows.data());
  for (size_t i = 0; i < static_cast<size_t>(rows.size()); ++i, from += element) {
    const size_t picture = i / (channels * plane), pixel = i / channels % plane;
    const size_t to = (picture * channels + i % channels) * plane + pixel;
    std::memcpy(static_cast<char*>(planes.data()) + to * element, from, element);
  }
  return planes;
}

// Whether a picture of a batch (n, c, h, w) becomes a sample of this shape by padding and cutting.
bool CanBeCut(const Shape& rows, const InputTransform& input, const Shape& sample) {
  if (rows.ndim() != 4 || input.crop == 0 || rows[1] != sample[0]) return false;
  return std::min(rows[2], rows[3]) + 2 * input.padding >= input.crop;
}

}  // namespace

Predictor::Predictor(const std::string& model_dir, PredictorOptions options)
    : found_(FindModelDirectory(model_dir)),
      options_(std::move(options)),
      backend_(OpenDevice({.device = options_.device, .allowed_gpus = options_.allowed_gpus},
                          options_.threads)
                   .backend),
      model_(BuildModel(found_.spec)),
      network_(*model_.graph, *backend_,
               {.dtype = Precision(found_), .algorithm_file = options_.algorithm_file}),
      warning_(LoadFoundModel(found_, network_.variables())) {}

std::string Predictor::Wanted() const {
  const Shape& sample = model_.spec.in_shape;
  std::string text = "(n";
  for (const int64_t extent : sample.dims()) text += ", " + std::to_string(extent);
  text += ") with any number of rows";
  if (found_.input.crop == 0) return text;
  return text + ", or pictures (n, " + std::to_string(sample[0]) + ", h, w) that with " +
         Counted(found_.input.padding, "pixel") + " of padding are no smaller";
}

bool Predictor::AreSamples(const Shape& pictures) const {
  const Shape& sample = model_.spec.in_shape;
  return pictures == WithRows(pictures[0], sample) || CanBeCut(pictures, found_.input, sample);
}

Tensor Predictor::AsStored(const Tensor& rows) const {
  const bool known = rows.dtype() == DType::kUint8 || IsFloating(rows.dtype());
  Tensor stored = known ? rows : rows.Cast(DType::kFloat32);
  const bool pictures = rows.shape().ndim() == 4 && model_.spec.in_shape.ndim() == 3;
  if (!pictures || AreSamples(rows.shape())) return stored;
  if (AreSamples(ChannelsFirst(rows.shape()))) return ChannelsFirst(stored);
  throw ShapeError(
      "the input has shape " + rows.shape().ToString() + "; the model wants " + Wanted(),
      ExitCode::kBadData);
}

RowTransform Predictor::TransformFor(const Tensor& rows) const {
  const Shape& sample = model_.spec.in_shape;
  const InputTransform& input = found_.input;
  TransformOptions transform{.dtype = network_.options().dtype,
                             .scale = found_.card ? input.scale : 1.0 / 255.0,
                             .mean = {input.mean.begin(), input.mean.end()},
                             .deviation = {input.stddev.begin(), input.stddev.end()}};
  if (CanBeCut(rows.shape(), input, sample)) {
    transform.padding = input.padding;
    transform.crop = input.crop;
    return {{{sample[0], rows.shape()[2], rows.shape()[3]}, rows.dtype()}, transform, 0};
  }
  if (rows.shape().ndim() == 0 || rows.shape().row_size() != sample.size()) {
    throw ShapeError(
        "the input has shape " + rows.shape().ToString() + "; the model wants " + Wanted(),
        ExitCode::kBadData);
  }
  return {{sample, rows.dtype()}, transform, 0};
}

Tensor Predictor::Run(const Tensor& given) {
  const Tensor rows = AsStored(given);
  const RowTransform transform = TransformFor(rows);
  const int64_t n = rows.shape()[0];
  const auto from_bytes = static_cast<size_t>(rows.shape().row_size()) * SizeOf(rows.dtype());
  const TensorType sample = transform.output();
  const auto to_bytes = static_cast<size_t>(sample.shape.size()) * SizeOf(sample.dtype);
  Tensor result(DType::kFloat32, Shape({n, model_.spec.classes}));
  for (int64_t begin = 0; begin < n; begin += options_.batch_size) {
    const int64_t count = std::min(options_.batch_size, n - begin);
    Tensor x(sample.dtype, WithRows(count, sample.shape));
    for (int64_t i = 0; i < count; ++i) {
      transform.Apply(
          static_cast<const char*>(rows.data()) + static_cast<size_t>(begin + i) * from_bytes,
          begin + i, 0, static_cast<char*>(x.data()) + static_cast<size_t>(i) * to_bytes);
    }
    const Tensor y = network_.Predict(x).Cast(DType::kFloat32);
    std::copy_n(y.values<float>().data(), y.size(),
                result.values<float>().data() + begin * model_.spec.classes);
  }
  return result;
}

}  // namespace lockstep::tools
