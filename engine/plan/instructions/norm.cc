#include "engine/plan/instructions/norm.h"

#include <algorithm>
#include <vector>

#include "engine/plan/instructions/elementwise.h"
#include "engine/plan/layouts.h"
#include "kernels/math/batch_norm.h"

namespace lockstep {
namespace {

// Arrays of a lane, which lie in the device's memory.
template <typename T>
std::vector<T> Load(const RunContext& lane, ValueId id, int64_t size) {
  std::vector<T> values(static_cast<size_t>(size));
  lane.backend->Download(lane.at(id), values.data(), values.size() * sizeof(T));
  return values;
}

template <typename T>
void Store(const RunContext& lane, ValueId id, std::span<const T> values) {
  lane.backend->Upload(values.data(), lane.at(id), values.size_bytes());
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
  const size_t bytes = static_cast<size_t>(channels()) * sizeof(double);
  lane.backend->Download(lane.at(first), given, bytes);
  lane.backend->Download(lane.at(second), given + channels(), bytes);
  given[2 * channels()] = CountOf(lane);
}

void BatchNormMoments::Run(const RunContext& context) {
  context.backend->norm().Moments(shape_, context.at(inputs[0]), context.at<double>(outputs[0]),
                                  context.at<double>(outputs[1]));
}

MomentsUse BatchNormJoin::UseOf(double count) const {
  return {.channels = channels(),
          .dtype = AccumulatorOf(shape_.dtype),
          .count = count,
          .eps = eps_,
          .decay = running_.decay,
          .divisor = running_.unbiased ? std::max(count - 1.0, 1.0) : count};
}

void BatchNormJoin::Run(const RunContext& context) {
  context.backend->norm().FinishMoments(UseOf(CountOf(context)), context.at<double>(inputs[0]),
                                        context.at<double>(inputs[1]), context.at(inputs[3]),
                                        context.at(inputs[4]), context.at<double>(outputs[0]),
                                        context.at<double>(outputs[1]));
}

template <typename T>
void BatchNormJoin::FollowRunning(const RunContext& context, const Merged& all) const {
  const MomentsUse use = UseOf(all.count);
  auto mean = Load<T>(context, inputs[3], channels());
  auto variance = Load<T>(context, inputs[4], channels());
  for (size_t c = 0; c < mean.size(); ++c) {
    mean[c] = math::Follow(mean[c], use.decay, all.mean[c]);
    variance[c] = math::Follow(variance[c], use.decay, all.m2[c] / use.divisor);
  }
  Store<T>(context, inputs[3], mean);
  Store<T>(context, inputs[4], variance);
}

void BatchNormJoin::GiveToJoin(const RunContext& lane, double* given) const {
  Give(lane, inputs[0], inputs[1], given);
}

// In the order of the lanes, by Chan's formula, whoever ran them.
BatchNormJoin::Merged BatchNormJoin::Merge(std::span<const double> given) const {
  const auto size = static_cast<size_t>(join_size());
  const auto width = static_cast<size_t>(channels());
  Merged all{.mean = std::vector<double>(width), .m2 = std::vector<double>(width)};
  for (size_t at = 0; at < given.size(); at += size) {
    const double* lane = given.data() + at;
    const double count = lane[2 * width];
    const double total = all.count + count;
    for (size_t c = 0; c < width; ++c) {
      const double delta = lane[c] - all.mean[c];
      all.mean[c] += delta * count / total;
      all.m2[c] += lane[width + c] + delta * delta * all.count * count / total;
    }
    all.count = total;
  }
  return all;
}

void BatchNormJoin::Join(const JoinedLanes& lanes) {
  const Merged all = Merge(lanes.given);
  if (shape_.dtype == DType::kFloat64) {
    FollowRunning<double>(*lanes.any, all);
  } else {
    FollowRunning<float>(*lanes.any, all);
  }
  const auto width = static_cast<size_t>(channels());
  for (size_t i = 0; i < lanes.mine.size(); ++i) {
    const RunContext& lane = lanes.mine[i];
    std::vector<double> mean = all.mean, inv_std = all.m2;
    double count = all.count;
    if (lane_norm_ == LaneNorm::kLane) {
      const auto own = lanes.given.subspan((lanes.first + i) * static_cast<size_t>(join_size()));
      mean.assign(own.begin(), own.begin() + channels());
      inv_std.assign(own.begin() + channels(), own.begin() + 2 * channels());
      count = own[2 * width];
    }
    for (double& value : inv_std) value = math::InverseDeviation(value / count, eps_);
    Store<double>(lane, outputs[0], mean);
    Store<double>(lane, outputs[1], inv_std);
  }
}

void BatchNormNormalize::DescribeLayouts(LayoutGroups& groups) const {
  groups.Tie(inputs[0], outputs[0]);
}

void BatchNormNormalize::Run(const RunContext& context) {
  if (tail.pooled) {
    context.backend->norm().pooled()->Normalize(
        shape_, context.at(inputs[0]), context.at<double>(inputs[1]), context.at<double>(inputs[2]),
        context.at(inputs[3]), context.at(inputs[4]), context.at(outputs[0]));
    return;
  }
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

void BatchNormInference::Run(const RunContext& context) {
  double* mean = static_cast<double*>(context.scratch);
  double* inv_std = mean + channels();
  context.backend->norm().LoadRunning(AccumulatorOf(shape_.dtype), channels(), eps_,
                                      context.at(inputs[3]), context.at(inputs[4]), mean, inv_std);
  context.backend->norm().Normalize(shape_, context.at(inputs[0]), mean, inv_std,
                                    context.at(inputs[1]), context.at(inputs[2]),
                                    context.at(outputs[0]));
}

void BatchNormGradientSums::DescribeLayouts(LayoutGroups& groups) const {
  groups.Tie(inputs[1], inputs[0]);
  if (inputs.size() > 4) groups.Tie(inputs[4], inputs[0]);
}

void BatchNormGradientSums::Run(const RunContext& context) {
  if (tail.pooled) {
    context.backend->norm().pooled()->GradientSums(
        shape_, context.at(inputs[0]), context.at(inputs[4]), context.at(inputs[1]),
        context.at<double>(inputs[2]), context.at<double>(inputs[3]), context.at(inputs[5]),
        context.at<double>(outputs[0]), context.at<double>(outputs[1]));
    return;
  }
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

void BatchNormGradientJoin::Run(const RunContext& context) {
  context.backend->norm().FinishGradientSums(
      AccumulatorOf(shape_.dtype), channels(), CountOf(context), context.at<double>(inputs[0]),
      context.at<double>(inputs[1]), context.at<double>(outputs[0]), context.at<double>(outputs[1]),
      context.at<double>(outputs[2]), Gradient(context, dgamma_), Gradient(context, dbeta_));
}

void BatchNormGradientJoin::Join(const JoinedLanes& lanes) {
  const auto size = static_cast<size_t>(join_size());
  const auto width = static_cast<size_t>(channels());
  std::vector<double> sums(size, 0.0);
  for (size_t at = 0; at < lanes.given.size(); at += size) {
    for (size_t i = 0; i < size; ++i) sums[i] += lanes.given[at + i];
  }
  for (size_t i = 0; i < lanes.mine.size(); ++i) {
    const RunContext& lane = lanes.mine[i];
    // dgamma and dbeta, and by the way what a lane that is alone would apply.
    Run(lane);
    if (lane_norm_ == LaneNorm::kLane) continue;
    const std::span<const double> all = sums;
    Store(lane, outputs[0], all.first(width));
    Store(lane, outputs[1], all.subspan(width, width));
    Store(lane, outputs[2], all.last(1));
  }
}

void BatchNormGradientApply::DescribeLayouts(LayoutGroups& groups) const {
  groups.Tie(inputs[1], inputs[0]);
  groups.Tie(outputs[0], inputs[0]);
  if (inputs.size() > 8) groups.Tie(inputs[8], inputs[0]);
}

void BatchNormGradientApply::Run(const RunContext& context) {
  if (tail.pooled) {
    context.backend->norm().pooled()->GradientApply(
        shape_, context.at(inputs[0]), context.at(inputs[8]), context.at(inputs[1]),
        context.at<double>(inputs[2]), context.at<double>(inputs[3]), context.at(inputs[4]),
        context.at<double>(inputs[5]), context.at<double>(inputs[6]), context.at<double>(inputs[7]),
        context.at(outputs[0]));
    return;
  }
  const void* y = inputs.size() > 8 ? context.at(inputs[8]) : nullptr;
  context.backend->norm().GradientApply(
      ShapeFor(context), context.at(inputs[0]), y, context.at(inputs[1]),
      context.at<double>(inputs[2]), context.at<double>(inputs[3]), context.at(inputs[4]),
      context.at<double>(inputs[5]), context.at<double>(inputs[6]), context.at<double>(inputs[7]),
      context.at(outputs[0]));
}

}  // namespace lockstep
