// Updates in the backward pass: which parameters they are of, and that the training is the same.
#include "engine/plan/backward_updates.h"

#include <gmock/gmock.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <memory>
#include <new>
#include <string>
#include <vector>

#include "data/batch_iterator.h"
#include "engine/graph/custom_op.h"
#include "engine/train/trainer.h"
#include "kernels/error.h"
#include "tests/engine/compare.h"
#include "tests/engine/gradient_check.h"
#include "tests/kernels/backend_wrapper.h"

namespace lockstep {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

constexpr int64_t kSamples = 70, kBatch = 32;  // and a batch of 6

// Updates by a product and an update, on any machine.
class UpdatingGemm : public GemmKernels {
 public:
  explicit UpdatingGemm(Backend& base) : base_(base) {}
  void Gemm(DType dtype, const GemmArgs& args) override { base_.gemm().Gemm(dtype, args); }
  bool can_update(DType dtype, const GemmArgs&) const override { return !IsHalf(dtype); }
  void GemmUpdate(DType dtype, const GemmArgs& args, const ProductUpdate& update) override {
    ++updates;
    EXPECT_EQ(args.ldc, args.n);
    Gemm(dtype, args);
    base_.optimizer().Update(dtype, update.args, update.numbers, args.m * args.n, update.p, args.c,
                             update.s0, update.s1);
    const auto bytes = static_cast<size_t>(args.m * args.n) * SizeOf(dtype);
    std::memset(args.c, 0xff, bytes);  // NaN: C is scratch
  }

  int updates = 0;

 private:
  Backend& base_;
};

// A convolution's weight gradient that fails, once it is told to.
class BreakingConv : public ConvKernels {
 public:
  explicit BreakingConv(ConvKernels& base) : base_(base) {}
  std::vector<std::string> Algorithms(const ConvShape& shape, ConvPass pass, Layout x, Layout y,
                                      bool exact) const override {
    return base_.Algorithms(shape, pass, x, y, exact);
  }
  std::unique_ptr<ConvKernel> Make(const ConvShape& shape, ConvPass pass,
                                   const std::string& algorithm, Layout x,
                                   Layout y) const override {
    auto kernel = base_.Make(shape, pass, algorithm, x, y);
    if (pass != ConvPass::kBackwardWeights) return kernel;
    return std::make_unique<Breaking>(std::move(kernel), *this);
  }
  std::vector<Layout> Layouts(int64_t c, DType dtype) const override {
    return base_.Layouts(c, dtype);
  }

  bool breaks = false;
  bool throws_ours = true;  // else what no Error is

 private:
  class Breaking : public ConvKernel {
   public:
    Breaking(std::unique_ptr<ConvKernel> base, const BreakingConv& all)
        : base_(std::move(base)), all_(all) {}
    size_t scratch_bytes() const override { return base_->scratch_bytes(); }
    size_t prepared_bytes() const override { return base_->prepared_bytes(); }
    void PrepareWeights(const void* weights, void* prepared) override {
      base_->PrepareWeights(weights, prepared);
    }
    void Run(const ConvBuffers& buffers) override {
      if (all_.breaks && !all_.throws_ours) throw std::bad_alloc();
      if (all_.breaks) throw DeviceError("the device broke");
      base_->Run(buffers);
    }

   private:
    std::unique_ptr<ConvKernel> base_;
    const BreakingConv& all_;
  };

  ConvKernels& base_;
};

class UpdatingBackend : public BackendWrapper {
 public:
  UpdatingBackend()
      : BackendWrapper(MakeCpuBackend(2)), own_gemm(base()), own_conv(base().conv()) {}
  GemmKernels& gemm() override { return own_gemm; }
  ConvKernels& conv() override { return own_conv; }

  UpdatingGemm own_gemm;
  BreakingConv own_conv;
};

// Large linear layers behind a convolution, and a small one.
void AddLayers(Graph& graph) {
  const Var x = graph.Input("x", {{3, 7, 9}, DType::kFloat32});
  const Var h = Relu(Conv2d(x, {.out_channels = 8}, "c"));
  const Var l1 = Relu(BatchNorm(Linear(h, {.out = 120, .bias = false}, "l1"), {}, "bn"));
  LabelLoss(graph,
            Linear(Dropout(Relu(Linear(l1, {.out = 150}, "l2")), 0.3, "d"), {.out = 5}, "l3"));
}

// A small convolution, a large one whose input has a gradient, and one in groups.
void AddConvolutions(Graph& graph) {
  const Var x = graph.Input("x", {{3, 7, 9}, DType::kFloat32});
  const Var c1 = Relu(Conv2d(x, {.out_channels = 48}, "c1"));
  const Var c2 = Relu(BatchNorm(Conv2d(c1, {.out_channels = 48, .bias = false}, "c2"), {}, "bn"));
  const Var c3 = Relu(Conv2d(c2, {.out_channels = 96, .groups = 2}, "c3"));
  LabelLoss(graph, Linear(c3, {.out = 5}, "l"));
}

// Says what it is asked to update, and updates it with a rate of 0.
class Listener : public BackwardUpdates {
 public:
  explicit Listener(Variables& variables, bool agrees = true)
      : variables_(variables), agrees_(agrees) {}
  bool Begin(const LossSums& given) override {
    sums = given;
    return agrees_;
  }
  ProductUpdate UpdateOf(int graph_value) override {
    const Variables::Entry& entry = variables_.at(graph_value);
    names.push_back(entry.name);
    return {.args = {.rule = UpdateRule::kSgd}, .numbers = &numbers_, .p = entry.data};
  }

  std::vector<std::string> names;
  LossSums sums;

 private:
  Variables& variables_;
  bool agrees_;
  UpdateNumbers numbers_{.lr = 0.0};
};

struct Taken {
  std::vector<std::string> names;
  LossSums begun, sums;
};

Taken TakenFrom(const Graph& graph, const NetworkOptions& options = {}, bool agrees = true) {
  UpdatingBackend backend;
  Network network(graph, backend, options);
  const NamedTensors inputs = RandomInputs(graph, 6, 5);
  const Tensor rows = inputs.at("x").Cast(options.dtype);
  const int64_t ids[] = {0, 1, 2, 3, 4, 5};
  Listener listener(network.variables(), agrees);
  const Batch batch{.x = rows.data(), .labels = inputs.at("t").data(), .ids = ids, .rows = 6};
  const LossSums sums = network.Train(batch, nullptr, &listener);
  return {listener.names, listener.sums, sums};
}

TEST(BackwardUpdates, AreOfLargeLinearLayersFromTheLastOn) {
  Graph graph;
  AddLayers(graph);
  for (const DType dtype : {DType::kFloat32, DType::kFloat64}) {
    const Taken taken = TakenFrom(graph, {.dtype = dtype});
    EXPECT_THAT(taken.names, ElementsAre("l2/W", "l1/W"));
    EXPECT_EQ(taken.begun.loss, taken.sums.loss);
    EXPECT_EQ(taken.begun.count, taken.sums.count);
    EXPECT_GT(taken.sums.count, 0);
  }
}

TEST(BackwardUpdates, AreOfLargeConvolutionsFromTheLastOn) {
  Graph graph;
  AddConvolutions(graph);
  for (const DType dtype : {DType::kFloat32, DType::kFloat64}) {
    EXPECT_THAT(TakenFrom(graph, {.dtype = dtype}).names, ElementsAre("c3/W", "c2/W"));
  }
  EXPECT_THAT(TakenFrom(graph, {.frozen = {"c3/W"}}).names, ElementsAre("c2/W"));
  EXPECT_THAT(TakenFrom(graph, {.compute_dtype = DType::kBfloat16}).names, IsEmpty());
}

TEST(BackwardUpdates, AreNotMadeWhereTheStepIsNotBegun) {
  Graph graph;
  AddLayers(graph);
  EXPECT_THAT(TakenFrom(graph, {}, false).names, IsEmpty());
}

TEST(BackwardUpdates, LeaveFrozenParametersAlone) {
  Graph graph;
  AddLayers(graph);
  EXPECT_THAT(TakenFrom(graph, {.frozen = {"l2/W"}}).names, ElementsAre("l1/W"));
}

TEST(BackwardUpdates, AreNotOfWeightsThatAreComputedWithIn16Bits) {
  Graph graph;
  AddLayers(graph);
  EXPECT_THAT(TakenFrom(graph, {.compute_dtype = DType::kBfloat16}).names, IsEmpty());
}

TEST(BackwardUpdates, WaitForPartsOfABatch) {
  Graph graph;
  AddLayers(graph);
  EXPECT_THAT(TakenFrom(graph, {.accumulate = 2}).names, IsEmpty());
}

class PassingOn : public CustomOp {
 public:
  std::string type() const override { return "passing on"; }
  std::vector<TensorType> Infer(std::span<const TensorType> inputs) const override {
    return {inputs[0]};
  }
  void Compute(const ForwardArgs& args) const override {
    std::memcpy(args.outputs[0].data(), args.inputs[0].data(), args.inputs[0].bytes());
  }
  void Differentiate(const BackwardArgs& args) const override {
    std::memcpy(args.input_gradients[0].data(), args.output_gradients[0].data(),
                args.input_gradients[0].bytes());
  }
};

// Someone else's code may throw, and a step is made wholly or not at all.
TEST(BackwardUpdates, AreNotMadeInFrontOfCustomOperations) {
  Graph graph;
  const Var x = graph.Input("x", {{130}, DType::kFloat32});
  const Var l1 = Linear(x, {.out = 130}, "l1");
  const Var inputs[] = {l1};
  const Var own = graph.Apply(std::make_shared<PassingOn>(), inputs, "own").front();
  const Var l2 = Linear(own, {.out = 140}, "l2");
  LabelLoss(graph, Linear(l2, {.out = 5}, "l3"));
  EXPECT_THAT(TakenFrom(graph).names, ElementsAre("l1/W"));
}

// A gradient of two parts, of which the first layer's is computed last.
TEST(BackwardUpdates, AreNotOfSharedWeights) {
  Graph graph;
  const Var x = graph.Input("x", {{130}, DType::kFloat32});
  const Var twice = Linear(Relu(Linear(x, {.out = 130}, "tied")), {.out = 130}, "tied");
  LabelLoss(graph, Linear(Relu(Linear(twice, {.out = 140}, "l2")), {.out = 5}, "l3"));
  EXPECT_THAT(TakenFrom(graph).names, ElementsAre("l2/W"));
}

// One that does not take a product is not asked to.
TEST(BackwardUpdates, AreNotMadeWhereKernelsAreNotFasterSo) {
  Graph graph;
  AddLayers(graph);
  const auto backend = MakeCpuBackend(1);
  Network network(graph, *backend, {.dtype = DType::kFloat64});
  const NamedTensors inputs = RandomInputs(graph, 6, 5);
  const int64_t ids[] = {0, 1, 2, 3, 4, 5};
  Listener listener(network.variables());
  const Tensor rows = inputs.at("x").Cast(DType::kFloat64);
  network.Train({.x = rows.data(), .labels = inputs.at("t").data(), .ids = ids, .rows = 6}, nullptr,
                &listener);
  EXPECT_THAT(listener.names, IsEmpty());
}

struct TrainOptions {
  void (*add_layers)(Graph&) = AddLayers;
  bool keep_gradients = false;
  NetworkOptions network = {};
  UpdateHooks hooks = {};
  std::string optimizer = "momentum";
  float odd = 0.0F;             // in place of a number of the 40th sample
  std::string algorithms = {};  // chosen before; empty: none
  std::unique_ptr<Backend> (*make_backend)() = [] {
    return std::unique_ptr<Backend>(std::make_unique<UpdatingBackend>());
  };
};

std::unique_ptr<Optimizer> OptimizerNamed(const std::string& name) {
  if (name == "sgd") return MakeSgd();
  if (name == "nesterov") return MakeNesterov(0.9, NesterovForm::kTextbook);
  if (name == "adamw") return MakeAdam({.decoupled_weight_decay = 0.01});
  if (name == "adadelta") return MakeAdaDelta();
  return MakeMomentum();
}

// What 7 steps leave, or those in front of one that throws.
struct Trained {
  NamedTensors arrays;
  std::string message;
  int64_t updates = 0;
  std::string algorithms;  // that were chosen
  int in_backward = 0;     // updates of one parameter, of an UpdatingBackend
};

Trained Train(const TrainOptions& options) {
  Graph graph;
  options.add_layers(graph);
  const auto backend = options.make_backend();
  Network network(graph, *backend, options.network);
  network.algorithms().Parse(options.algorithms);
  Updater updater(network.variables(), *backend, OptimizerNamed(options.optimizer), options.hooks);
  Tensor x = RandomNormal(Shape({kSamples, 3, 7, 9}), 3).Cast(DType::kFloat32);
  if (options.odd != 0.0F) x.values<float>()[40 * 3 * 7 * 9 + 5] = options.odd;
  Tensor labels = RandomLabels(kSamples, 5, 4);
  // The second batch has nothing that counts.
  if (options.odd == 0.0F) {
    for (int64_t i = kBatch; i < 2 * kBatch; ++i) labels.values<int32_t>()[i] = -1;
  }
  DatasetSource source(
      Dataset(x, labels, {}),
      {.batch_size = kBatch, .shuffle = false, .transform = {.dtype = options.network.dtype}});
  const auto schedule = MakeKerasDecay(0.1);
  LocalSync sync;
  Trainer trainer(network, source, updater, *schedule, sync,
                  {.epochs = 0,
                   .iterations = 7,
                   .learning_rate = 0.01,
                   .keep_gradients = options.keep_gradients});
  Trained trained;
  try {
    trainer.Run();
  } catch (const FormatError& error) {
    trained.message = error.what();
  }
  for (const Variables::Entry& entry : network.variables().entries()) {
    trained.arrays[entry.name] = network.variables().Get(entry.name);
    if (entry.role != Role::kParameter) continue;
    for (const std::string& state : updater.optimizer().state_names()) {
      trained.arrays[entry.name + " " + state] = updater.GetState(entry.name, state);
    }
  }
  trained.updates = updater.updates();
  trained.algorithms = network.algorithms().ToString();
  if (const auto* updating = dynamic_cast<UpdatingBackend*>(backend.get())) {
    trained.in_backward = updating->own_gemm.updates;
  }
  return trained;
}

// Returns what both left, and how many updates the one without kept gradients made in backward
// passes.
Trained ExpectSameTraining(TrainOptions options) {
  const Trained early = Train(options);
  options.keep_gradients = true;
  options.algorithms = early.algorithms;  // convolutions are not what is compared
  const Trained late = Train(options);
  EXPECT_EQ(late.in_backward, 0);
  EXPECT_EQ(early.message, late.message);
  EXPECT_EQ(early.updates, late.updates);
  EXPECT_EQ(early.arrays.size(), late.arrays.size());
  for (const auto& [name, tensor] : late.arrays) {
    EXPECT_TRUE(SameBits(tensor, early.arrays.at(name))) << name << ", " << options.optimizer;
  }
  return early;
}

TEST(UpdatesInBackward, HaveTheBitsOfUpdatesBehindAllGradients) {
  for (const DType dtype : {DType::kFloat32, DType::kFloat64}) {
    std::string algorithms;  // chosen once
    for (const std::string optimizer : {"sgd", "momentum", "nesterov", "adamw", "adadelta"}) {
      const Trained trained = ExpectSameTraining({.network = {.dtype = dtype},
                                                  .hooks = {.weight_decay = 1e-3},
                                                  .optimizer = optimizer,
                                                  .algorithms = algorithms});
      algorithms = trained.algorithms;
      EXPECT_EQ(trained.message, "");
      EXPECT_EQ(trained.updates, 5);  // of 7 batches two are ignored
      EXPECT_EQ(trained.in_backward, 10);
    }
  }
}

// The kernels of this machine, whatever they can do.
TEST(UpdatesInBackward, HaveTheBitsOfThisMachinesKernels) {
  ExpectSameTraining({.make_backend = [] { return MakeCpuBackend(2); }});
}

TEST(UpdatesInBackward, HaveTheBitsOfUpdatesBehindAllGradientsOfConvolutions) {
  for (const DType dtype : {DType::kFloat32, DType::kFloat64}) {
    std::string algorithms;
    for (const std::string optimizer : {"sgd", "nesterov", "adamw"}) {
      const Trained trained = ExpectSameTraining({.add_layers = AddConvolutions,
                                                  .network = {.dtype = dtype},
                                                  .hooks = {.weight_decay = 1e-3},
                                                  .optimizer = optimizer,
                                                  .algorithms = algorithms});
      algorithms = trained.algorithms;
      EXPECT_EQ(trained.message, "");
      EXPECT_EQ(trained.updates, 5);
    }
  }
  ExpectSameTraining(
      {.add_layers = AddConvolutions, .make_backend = [] { return MakeCpuBackend(2); }});
}

// Which then takes none.
TEST(UpdatesInBackward, LeaveTheMemoryOfGradientsOfConvolutionsAlone) {
  Graph graph;
  AddConvolutions(graph);
  const auto backend = MakeCpuBackend(2);
  Network network(graph, *backend, {});
  const NamedTensors inputs = RandomInputs(graph, 6, 5);
  const Tensor x = inputs.at("x").Cast(DType::kFloat32);
  const int64_t ids[] = {0, 1, 2, 3, 4, 5};
  Listener listener(network.variables());
  network.Train({.x = x.data(), .labels = inputs.at("t").data(), .ids = ids, .rows = 6}, nullptr,
                &listener);
  const auto is_zero = [&](const std::string& name) {
    const Tensor gradient = network.variables().GetGradient(name);
    return SameBits(gradient, Tensor(gradient.dtype(), gradient.shape()));
  };
  EXPECT_TRUE(is_zero("c2/W"));
  EXPECT_FALSE(is_zero("c1/W"));
}

TEST(UpdatesInBackward, GoWithFrozenParameters) {
  EXPECT_EQ(ExpectSameTraining({.network = {.frozen = {"l1/W", "c/b"}}}).in_backward, 5);
}

TEST(UpdatesInBackward, WaitForAllGradientsWhereTheseAreWantedAsAWhole) {
  EXPECT_EQ(ExpectSameTraining({.hooks = {.gradient_clipping = 0.1}}).in_backward, 0);
  EXPECT_EQ(ExpectSameTraining({.network = {.accumulate = 3}}).in_backward, 0);
  EXPECT_EQ(ExpectSameTraining({.network = {.compute_dtype = DType::kFloat16}}).in_backward, 0);
  EXPECT_EQ(ExpectSameTraining({.network = {.lanes = 2}}).in_backward, 0);
}

TEST(UpdatesInBackward, AreNotMadeInAStepWhoseLossIsNotFinite) {
  for (const float odd :
       {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    const Trained trained = ExpectSameTraining({.odd = odd});
    EXPECT_THAT(trained.message, testing::HasSubstr("at iteration 2"));
    EXPECT_EQ(trained.updates, 1);
    EXPECT_EQ(trained.in_backward, 2);
  }
}

// A training on a device that fails once it is told to.
struct BreakingJob {
  explicit BreakingJob(const Graph& graph) : network(graph, backend, {}) {}

  UpdatingBackend backend;
  Network network;
  Updater updater{network.variables(), backend, MakeMomentum(), {}};
  DatasetSource source{Dataset(RandomNormal(Shape({kSamples, 3, 7, 9}), 3).Cast(DType::kFloat32),
                               RandomLabels(kSamples, 5, 4), {}),
                       {.batch_size = kBatch}};
  std::unique_ptr<Schedule> schedule = MakeConstantSchedule();
  LocalSync sync;
  Trainer trainer{network, source, updater, *schedule, sync, {.learning_rate = 0.01}};
};

// Behind the first update of a step there is no way back but to a checkpoint.
TEST(UpdatesInBackward, AStepThatFailsHalfwayCannotBeSaved) {
  for (const bool throws_ours : {true, false}) {
    Graph graph;
    AddLayers(graph);
    BreakingJob job(graph);
    job.trainer.Step();
    CheckpointContents saved = job.trainer.State();
    for (auto& [name, tensor] : saved.tensors) tensor = tensor.Clone();
    const Tensor before = job.network.variables().Get("l2/W");

    job.backend.own_conv.breaks = true;
    job.backend.own_conv.throws_ours = throws_ours;
    if (throws_ours) {
      EXPECT_THROW(job.trainer.Step(), DeviceError);
    } else {
      EXPECT_THROW(job.trainer.Step(), std::bad_alloc);
    }
    EXPECT_FALSE(SameBits(job.network.variables().Get("l2/W"), before));
    EXPECT_EQ(job.updater.updates(), 1);
    job.backend.own_conv.breaks = false;
    EXPECT_THROW(job.trainer.State(), Error);
    EXPECT_THROW(job.trainer.Step(), Error);
    EXPECT_EQ(job.updater.updates(), 1);

    job.trainer.Restore(saved);
    EXPECT_TRUE(SameBits(job.network.variables().Get("l2/W"), before));
    job.trainer.Step();
    job.trainer.State();
    EXPECT_EQ(job.updater.updates(), 2);
  }
}

// Where nothing was updated yet the next step goes on as if there had been none.
TEST(UpdatesInBackward, AStepThatFailsInFrontOfThemChangesNothing) {
  Graph graph;
  const Var x = graph.Input("x", {{3, 7, 9}, DType::kFloat32});
  LabelLoss(graph, Linear(Conv2d(x, {.out_channels = 8}, "c"), {.out = 5}, "l"));
  BreakingJob job(graph);
  job.backend.own_conv.breaks = true;
  EXPECT_THROW(job.trainer.Step(), DeviceError);
  job.backend.own_conv.throws_ours = false;
  EXPECT_THROW(job.trainer.Step(), std::bad_alloc);
  EXPECT_EQ(job.updater.updates(), 0);
  job.backend.own_conv.breaks = false;
  job.trainer.Step();
  job.trainer.State();
  EXPECT_EQ(job.updater.updates(), 1);
}

TEST(UpdatesInBackward, EndWithTheCountAndRateTheyBeganWith) {
  Graph graph;
  AddLayers(graph);
  UpdatingBackend backend;
  Network network(graph, backend, {});
  Updater updater(network.variables(), backend, MakeSgd(), {});
  BackwardUpdates* const updates = updater.UpdatesInBackward(0.1);
  ASSERT_TRUE(updates->Begin({.loss = 1.0, .count = 6}));
  EXPECT_THROW(updater.Update(5, 0.1), Error);
  EXPECT_THROW(updater.Update(6, 0.2), Error);
  updater.Update(6, 0.1);
  EXPECT_EQ(updater.updates(), 1);
}

}  // namespace
}  // namespace lockstep
