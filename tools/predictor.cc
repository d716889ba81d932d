#include "tools/predictor.h"

#include <algorithm>
#include <span>
#include <vector>

#include "kernels/error.h"

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

// Whether a picture of a batch (n, c, h, w) becomes a sample of this shape by padding and cutting.
bool CanBeCut(const Shape& rows, const InputTransform& input, const Shape& sample) {
  if (rows.ndim() != 4 || input.crop == 0 || rows[1] != sample[0]) return false;
  return std::min(rows[2], rows[3]) + 2 * input.padding >= input.crop;
}

}  // namespace

Predictor::Predictor(const std::string& model_dir, PredictorOptions options)
    : found_(FindModelDirectory(model_dir)),
      options_(std::move(options)),
      backend_(MakeCpuBackend(options_.threads)),
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
         std::to_string(found_.input.padding) + " pixels of padding are no smaller";
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

Tensor Predictor::Run(const Tensor& stored) {
  const bool known = stored.dtype() == DType::kUint8 || IsFloating(stored.dtype());
  const Tensor rows = known ? stored : stored.Cast(DType::kFloat32);
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
