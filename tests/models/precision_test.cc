// The networks of this tree in 16 bits beside float32: one step, and whole trainings.
#include <gtest/gtest.h>

#include <memory>

#include "data/batch_iterator.h"
#include "data/synthetic.h"
#include "engine/train/trainer.h"
#include "kernels/math/half.h"
#include "models/model.h"
#include "tests/engine/rounding.h"

namespace lockstep {
namespace {

struct Case {
  const char* name;
  std::vector<int64_t> in_shape;
  double width;
};

Model BuildSmall(const Case& c) {
  return BuildModel({.name = c.name,
                     .in_shape = Shape(std::span<const int64_t>(c.in_shape)),
                     .classes = 10,
                     .width = c.width,
                     .hidden = std::string(c.name) == "mlp" ? std::vector<int64_t>{300, 200}
                                                            : std::vector<int64_t>{}});
}

const Case kCases[] = {
    {"mlp", {784}, 1.0}, {"lenet", {1, 28, 28}, 1.0}, {"vgg", {3, 32, 32}, 0.125}};

// What one batch leaves.
struct Step {
  double loss = 0.0;
  NamedTensors gradients = {};
  int64_t lines = 0;
};

float Rounded(float value, DType dtype) {
  return dtype == DType::kFloat16 ? math::WidenHalf(math::NarrowHalf(value))
                                  : math::WidenBfloat16(math::NarrowBfloat16(value));
}

Tensor Rounded(const Tensor& tensor, DType dtype) {
  Tensor rounded = tensor.Clone();
  for (float& value : rounded.values<float>()) value = Rounded(value, dtype);
  return rounded;
}

// Of products, whose copies are of 16 bits.
void RoundWeights(Variables& variables, DType dtype) {
  for (const auto& entry : variables.entries()) {
    if (entry.trained && entry.name.ends_with("/W")) {
      variables.Set(entry, Rounded(variables.Get(entry.name), dtype));
    }
  }
}

Step RunStep(const Model& model, const Dataset& data, std::optional<DType> compute,
             std::optional<DType> weights = std::nullopt) {
  const auto backend = MakeCpuBackend(1);
  Network network(*model.graph, *backend, {.compute_dtype = compute, .seed = 1});
  if (weights) RoundWeights(network.variables(), *weights);
  DatasetSource source(data, {.batch_size = 32, .seed = 1});
  // One that no gradient here overflows at.
  const double scale = compute == DType::kFloat16 ? 128.0 : 1.0;
  if (compute == DType::kFloat16) network.variables().SetLossScale({.scale = scale});
  const Batch& batch = source.Next();
  const LossSums sums = network.Train(batch);
  Step step{.loss = sums.loss / static_cast<double>(sums.count)};
  for (const auto& entry : network.variables().entries()) {
    if (!entry.trained) continue;
    Tensor gradient = network.variables().GetGradient(entry.name);
    for (float& g : gradient.values<float>()) g = static_cast<float>(g / scale);
    step.gradients[entry.name] = gradient;
  }
  if (compute) step.lines = LinesOf(network.plan(Mode::kTrain, batch.rows).ToString(), *compute);
  return step;
}

// How much of b is in a: 1 where they differ by what has nothing to do with b. Selections that are
// decided otherwise mostly cancel in it, unlike in the distance.
double Projection(const Tensor& a, const Tensor& b) {
  double product = 0.0, square = 0.0;
  const auto x = a.values<float>(), y = b.values<float>();
  for (size_t i = 0; i < y.size(); ++i) {
    product += double{x[i]} * double{y[i]};
    square += double{y[i]} * double{y[i]};
  }
  return product / square;
}

// Beside the distance that rounding weights and input makes. A layer here rounds up to nine times:
// its weights, and behind product, norm, activation and dropout what goes forward and what comes
// back. Errors that have nothing to do with each other add as their squares do: 3 times as far.
TEST(PrecisionOfModels, AStepFollowsFloat32WithinTheTypesRounding) {
  for (const Case& c : kCases) {
    const Model model = BuildSmall(c);
    const Dataset data = SyntheticDataset(Shape(std::span<const int64_t>(c.in_shape)), 10, 64, 1);
    const Step wanted = RunStep(model, data, std::nullopt);
    for (const DType dtype : {DType::kBfloat16, DType::kFloat16}) {
      SCOPED_TRACE(std::string(c.name) + " " + std::string(Name(dtype)));
      const Step found = RunStep(model, data, dtype);
      EXPECT_NEAR(found.loss, wanted.loss, StepTolerance(dtype, found.lines, 0) * wanted.loss);
      const Dataset rounded(Rounded(data.features(), dtype), data.labels(), {});
      const Step least = RunStep(model, rounded, std::nullopt, dtype);
      const double distance = Distance(found.gradients, wanted.gradients);
      EXPECT_LT(distance, 3 * Distance(least.gradients, wanted.gradients));
      EXPECT_GT(distance, Roundoff(dtype) / 16) << "computed in float32?";
      // Half way to those of a gradient that is lost, 0, or counted twice, 2.
      for (const auto& [name, gradient] : wanted.gradients) {
        EXPECT_NEAR(Projection(found.gradients.at(name), gradient), 1.0, 0.5) << name;
      }
    }
  }
}

// Validation accuracy behind some epochs on what a network can learn, but not at once.
double Accuracy(const Case& c, std::optional<DType> compute) {
  const Model model = BuildSmall(c);
  const auto backend = MakeCpuBackend(2);
  const Dataset all = SyntheticDataset(Shape(std::span<const int64_t>(c.in_shape)), 10, 1280, 5);
  DatasetSource train(all.Slice(0, 1024), {.batch_size = 64, .seed = 1});
  DatasetSource test(all.Slice(1024, 1280), {.batch_size = 64});
  Network network(*model.graph, *backend, {.compute_dtype = compute, .seed = 1});
  Updater updater(network.variables(), *backend, MakeMomentum(0.9), {.weight_decay = 5e-4});
  const auto schedule = MakeConstantSchedule();
  LocalSync sync;
  Trainer trainer(network, train, updater, *schedule, sync, {.epochs = 3, .learning_rate = 0.02});
  trainer.Run();
  const auto sums = EvaluateAll(network, test);
  return sums->metric / static_cast<double>(sums->metric_count);
}

TEST(PrecisionOfModels, TrainingConvergesAsInFloat32) {
  for (const Case& c : {kCases[0], kCases[1]}) {
    const double wanted = Accuracy(c, std::nullopt);
    ASSERT_GT(wanted, 0.9) << c.name;
    for (const DType dtype : {DType::kBfloat16, DType::kFloat16}) {
      // Two standard deviations of an accuracy over 256 samples near 0.95.
      EXPECT_NEAR(Accuracy(c, dtype), wanted, 0.03) << c.name << " " << Name(dtype);
    }
  }
}

}  // namespace
}  // namespace lockstep
