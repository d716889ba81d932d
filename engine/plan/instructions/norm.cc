#include "engine/plan/instructions/norm.h"

#include <algorithm>
#include <cmath>

#include "engine/plan/instructions/elementwise.h"
#include "engine/plan/layouts.h"

namespace lockstep {
namespace {

template <typename T>
void StoreSums(const double* sums, int64_t size, void* out) {
  T* values = static_cast<T*>(out);
  for (int64_t i = 0; i < size; ++i) values[i] = static_cast<T>(sums[i]);
}

void StoreSums(DType dtype, const double* sums, int64_t size, void* out) {
  if (dtype == DType::kFloat64) {
    StoreSums<double>(sums, size, out);
  } else {
    StoreSums<float>(sums, size, out);
  }
}

}  // namespace

void NormInstruction::Prepare(const PrepareContext& context) {
  const PlanValue& x = context.values[static_cast<size_t>(picture())];
  shape_.picture = PictureOf(x.type.shape);
  shape_.layout = x.layout;
  shape_.activation = tail.activation;
}

BatchNormShape NormInstruction::ShapeFor(const RunContext& context) const {
  BatchNormShape shape = shape_;
  if (tail.dropout_ratio > 0.0) {
    shape.dropout = MakeDropout(context, tail.dropout_ratio, tail.dropout_hash);
  }
  return shape;
}

void BatchNormForward::DescribeLayouts(LayoutGroups& groups) const {
  groups.Tie(inputs[0], outputs[0]);
}

template <typename T>
void BatchNormForward::UpdateRunning(const RunContext& context, const double* mean,
                                     const double* m2) const {
  T* avg_mean = context.at<T>(inputs[3]);
  T* avg_var = context.at<T>(inputs[4]);
  const double divisor = running_.unbiased ? std::max(count() - 1.0, 1.0) : count();
  const double keep = running_.decay;
  for (int64_t c = 0; c < channels(); ++c) {
    avg_mean[c] = static_cast<T>(keep * static_cast<double>(avg_mean[c]) + (1 - keep) * mean[c]);
    avg_var[c] =
        static_cast<T>(keep * static_cast<double>(avg_var[c]) + (1 - keep) * m2[c] / divisor);
  }
}

void BatchNormForward::Run(const RunContext& context) {
  const BatchNormShape shape = ShapeFor(context);
  NormKernels& kernels = context.backend->norm();
  double* mean = context.at<double>(outputs[1]);
  double* inv_std = context.at<double>(outputs[2]);  // holds m2 first
  kernels.Moments(shape, context.at(inputs[0]), mean, inv_std);
  if (shape_.dtype == DType::kFloat64) {
    UpdateRunning<double>(context, mean, inv_std);
  } else {
    UpdateRunning<float>(context, mean, inv_std);
  }
  for (int64_t c = 0; c < channels(); ++c)
    inv_std[c] = 1.0 / std::sqrt(inv_std[c] / count() + eps_);
  kernels.Normalize(shape, context.at(inputs[0]), mean, inv_std, context.at(inputs[1]),
                    context.at(inputs[2]), context.at(outputs[0]));
}

void BatchNormInference::DescribeLayouts(LayoutGroups& groups) const {
  groups.Tie(inputs[0], outputs[0]);
}

size_t BatchNormInference::scratch_bytes() const {
  return 2 * static_cast<size_t>(channels()) * sizeof(double);
}

template <typename T>
void BatchNormInference::LoadStatistics(const RunContext& context, double* mean,
                                        double* inv_std) const {
  const T* avg_mean = context.at<const T>(inputs[3]);
  const T* avg_var = context.at<const T>(inputs[4]);
  for (int64_t c = 0; c < channels(); ++c) {
    mean[c] = static_cast<double>(avg_mean[c]);
    inv_std[c] = 1.0 / std::sqrt(static_cast<double>(avg_var[c]) + eps_);
  }
}

void BatchNormInference::Run(const RunContext& context) {
  double* mean = static_cast<double*>(context.scratch);
  double* inv_std = mean + channels();
  if (shape_.dtype == DType::kFloat64) {
    LoadStatistics<double>(context, mean, inv_std);
  } else {
    LoadStatistics<float>(context, mean, inv_std);
  }
  context.backend->norm().Normalize(shape_, context.at(inputs[0]), mean, inv_std,
                                    context.at(inputs[1]), context.at(inputs[2]),
                                    context.at(outputs[0]));
}

BatchNormBackward::BatchNormBackward(DType dtype, std::vector<ValueId> in, Outputs wanted)
    : NormInstruction(dtype, std::move(in), {}), has_dx_(wanted.dx >= 0) {
  const auto add = [&](ValueId id) {
    if (id < 0) return -1;
    outputs.push_back(id);
    return static_cast<int>(outputs.size()) - 1;
  };
  add(wanted.dx);
  dgamma_ = add(wanted.dgamma);
  dbeta_ = add(wanted.dbeta);
}

void BatchNormBackward::DescribeLayouts(LayoutGroups& groups) const {
  groups.Tie(inputs[1], inputs[0]);
  if (has_dx_) groups.Tie(outputs[0], inputs[0]);
  if (inputs.size() > 5) groups.Tie(inputs[5], inputs[0]);
}

size_t BatchNormBackward::scratch_bytes() const {
  return 2 * static_cast<size_t>(channels()) * sizeof(double);
}

void BatchNormBackward::Run(const RunContext& context) {
  const BatchNormShape shape = ShapeFor(context);
  NormKernels& kernels = context.backend->norm();
  const void* x = context.at(inputs[0]);
  const void* dy = context.at(inputs[1]);
  const void* y = inputs.size() > 5 ? context.at(inputs[5]) : nullptr;
  const double* mean = context.at<double>(inputs[2]);
  const double* inv_std = context.at<double>(inputs[3]);
  double* sum_dz = static_cast<double*>(context.scratch);
  double* sum_dz_xhat = sum_dz + channels();
  kernels.GradientSums(shape, x, y, dy, mean, inv_std, sum_dz, sum_dz_xhat);
  if (has_dx_) {
    kernels.GradientApply(shape, x, y, dy, mean, inv_std, context.at(inputs[4]), sum_dz,
                          sum_dz_xhat, count(), context.at(outputs[0]));
  }
  if (dgamma_ >= 0) {
    StoreSums(shape_.dtype, sum_dz_xhat, channels(),
              context.at(outputs[static_cast<size_t>(dgamma_)]));
  }
  if (dbeta_ >= 0) {
    StoreSums(shape_.dtype, sum_dz, channels(), context.at(outputs[static_cast<size_t>(dbeta_)]));
  }
}

}  // namespace lockstep
