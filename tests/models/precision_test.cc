// The networks of this tree in 16 bits beside float32: one step, and whole trainings.
#include <gtest/gtest.h>

#include <memory>

#include "data/batch_iterator.h"
#include "data/synthetic.h"
#include "engine/train/trainer.h"
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

Step RunStep(const Model& model, DatasetSource& source, std::optional<DType> compute) {
  const auto backend = MakeCpuBackend(1);
  Network network(*model.graph, *backend, {.compute_dtype = compute, .seed = 1});
  source.Seek({});
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

TEST(PrecisionOfModels, AStepFollowsFloat32WithinTheTypesRounding) {
  for (const Case& c : kCases) {
    const Model model = BuildSmall(c);
    DatasetSource source(SyntheticDataset(Shape(std::span<const int64_t>(c.in_shape)), 10, 64, 1),
                         {.batch_size = 32, .seed = 1});
    const Step wanted = RunStep(model, source, std::nullopt);
    for (const DType dtype : {DType::kBfloat16, DType::kFloat16}) {
      SCOPED_TRACE(std::string(c.name) + " " + std::string(Name(dtype)));
      const Step found = RunStep(model, source, dtype);
      const double tolerance = StepTolerance(dtype, found.lines, Selections(*model.graph));
      EXPECT_NEAR(found.loss, wanted.loss, tolerance * wanted.loss);
      const double distance = Distance(found.gradients, wanted.gradients);
      EXPECT_LT(distance, tolerance);
      EXPECT_GT(distance, Roundoff(dtype) / 16) << "computed in float32?";
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
