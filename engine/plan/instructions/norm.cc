#include "engine/plan/instructions/norm.h"

#include <algorithm>
#include <cmath>
#include <vector>

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

void NormInstruction::Give(const RunContext& lane, ValueId first, ValueId second,
                           double* given) const {
  std::copy_n(lane.at<double>(first), channels(), given);
  std::copy_n(lane.at<double>(second), channels(), given + channels());
  given[2 * channels()] = CountOf(lane);
}

void BatchNormMoments::Run(const RunContext& context) {
  context.backend->norm().Moments(shape_, context.at(inputs[0]), context.at<double>(outputs[0]),
                                  context.at<double>(outputs[1]));
}

template <typename T>
void BatchNormJoin::UpdateRunning(const RunContext& context, int64_t channel, double mean,
                                  double m2, double count) const {
  T& avg_mean = context.at<T>(inputs[3])[channel];
  T& avg_var = context.at<T>(inputs[4])[channel];
  const double divisor = running_.unbiased ? std::max(count - 1.0, 1.0) : count;
  const double keep = running_.decay;
  avg_mean = static_cast<T>(keep * static_cast<double>(avg_mean) + (1 - keep) * mean);
  avg_var = static_cast<T>(keep * static_cast<double>(avg_var) + (1 - keep) * m2 / divisor);
}

void BatchNormJoin::UpdateRunning(const RunContext& context, int64_t channel, double mean,
                                  double m2, double count) const {
  if (shape_.dtype == DType::kFloat64) {
    UpdateRunning<double>(context, channel, mean, m2, count);
  } else {
    UpdateRunning<float>(context, channel, mean, m2, count);
  }
}

void BatchNormJoin::GiveToJoin(const RunContext& lane, double* given) const {
  Give(lane, inputs[0], inputs[1], given);
}

// Lanes are merged in their order by Chan's formula, whoever ran them.
void BatchNormJoin::Join(const JoinedLanes& lanes) {
  const auto size = static_cast<size_t>(join_size());
  const auto width = static_cast<size_t>(channels());
  const bool own = lane_norm_ == LaneNorm::kLane;
  for (size_t c = 0; c < width; ++c) {
    double count = 0.0, mean = 0.0, m2 = 0.0;
    for (size_t at = 0; at < lanes.given.size(); at += size) {
      const double* given = lanes.given.data() + at;
      const double lane_count = given[2 * width];
      const double delta = given[c] - mean;
      const double total = count + lane_count;
      mean += delta * lane_count / total;
      m2 += given[width + c] + delta * delta * count * lane_count / total;
      count = total;
    }
    UpdateRunning(*lanes.any, static_cast<int64_t>(c), mean, m2, count);
    for (const RunContext& lane : lanes.mine) {
      const double variance = own ? lane.at<double>(inputs[1])[c] / CountOf(lane) : m2 / count;
      lane.at<double>(outputs[0])[c] = own ? lane.at<double>(inputs[0])[c] : mean;
      lane.at<double>(outputs[1])[c] = 1.0 / std::sqrt(variance + eps_);
    }
  }
}

void BatchNormNormalize::DescribeLayouts(LayoutGroups& groups) const {
  groups.Tie(inputs[0], outputs[0]);
}

void BatchNormNormalize::Run(const RunContext& context) {
  context.backend->norm().Normalize(ShapeFor(context), context.at(inputs[0]),
                                    context.at<double>(inputs[1]), context.at<double>(inputs[2]),
                                    context.at(inputs[3]), context.at(inputs[4]),
                                    context.at(outputs[0]));
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

void BatchNormGradientSums::DescribeLayouts(LayoutGroups& groups) const {
  groups.Tie(inputs[1], inputs[0]);
  if (inputs.size() > 4) groups.Tie(inputs[4], inputs[0]);
}

void BatchNormGradientSums::Run(const RunContext& context) {
  const void* y = inputs.size() > 4 ? context.at(inputs[4]) : nullptr;
  context.backend->norm().GradientSums(
      ShapeFor(context), context.at(inputs[0]), y, context.at(inputs[1]),
      context.at<double>(inputs[2]), context.at<double>(inputs[3]), context.at<double>(outputs[0]),
      context.at<double>(outputs[1]));
}

BatchNormGradientJoin::BatchNormGradientJoin(DType dtype, LaneNorm lane_norm,
                                             std::vector<ValueId> in, Outputs out)
    : NormInstruction(dtype, std::move(in), {out.sum_dz, out.sum_dz_xhat, out.count}),
      lane_norm_(lane_norm) {
  const auto add = [&](ValueId id) {
    if (id < 0) return -1;
    outputs.push_back(id);
    return static_cast<int>(outputs.size()) - 1;
  };
  dgamma_ = add(out.dgamma);
  dbeta_ = add(out.dbeta);
}

void BatchNormGradientJoin::GiveToJoin(const RunContext& lane, double* given) const {
  Give(lane, inputs[0], inputs[1], given);
}

void BatchNormGradientJoin::Join(const JoinedLanes& lanes) {
  const auto size = static_cast<size_t>(join_size());
  std::vector<double> sums(size, 0.0);
  for (size_t at = 0; at < lanes.given.size(); at += size) {
    for (size_t i = 0; i < size; ++i) sums[i] += lanes.given[at + i];
  }
  for (size_t i = 0; i < lanes.mine.size(); ++i) {
    const RunContext& lane = lanes.mine[i];
    const bool own = lane_norm_ == LaneNorm::kLane;
    const double* from = own ? lanes.given.data() + (lanes.first + i) * size : sums.data();
    std::copy_n(from, channels(), lane.at<double>(outputs[0]));
    std::copy_n(from + channels(), channels(), lane.at<double>(outputs[1]));
    *lane.at<double>(outputs[2]) = from[size - 1];
    StoreParameterGradients(lane);
  }
}

void BatchNormGradientJoin::StoreParameterGradients(const RunContext& lane) const {
  if (dgamma_ >= 0) {
    StoreSums(shape_.dtype, lane.at<double>(inputs[1]), channels(),
              lane.at(outputs[static_cast<size_t>(dgamma_)]));
  }
  if (dbeta_ >= 0) {
    StoreSums(shape_.dtype, lane.at<double>(inputs[0]), channels(),
              lane.at(outputs[static_cast<size_t>(dbeta_)]));
  }
}

void BatchNormGradientApply::DescribeLayouts(LayoutGroups& groups) const {
  groups.Tie(inputs[1], inputs[0]);
  groups.Tie(outputs[0], inputs[0]);
  if (inputs.size() > 8) groups.Tie(inputs[8], inputs[0]);
}

void BatchNormGradientApply::Run(const RunContext& context) {
  const void* y = inputs.size() > 8 ? context.at(inputs[8]) : nullptr;
  context.backend->norm().GradientApply(
      ShapeFor(context), context.at(inputs[0]), y, context.at(inputs[1]),
      context.at<double>(inputs[2]), context.at<double>(inputs[3]), context.at(inputs[4]),
      context.at<double>(inputs[5]), context.at<double>(inputs[6]), *context.at<double>(inputs[7]),
      context.at(outputs[0]));
}

}  // namespace lockstep
