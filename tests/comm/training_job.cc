#include "tests/comm/training_job.h"

#include <algorithm>
#include <cmath>
#include <random>

#include "data/batch_iterator.h"
#include "engine/graph/layers.h"
#include "models/model_file.h"

namespace lockstep::testing {
namespace {

constexpr int64_t kClasses = 5;

Dataset MakeData(const JobOptions& options) {
  std::mt19937 random(11);
  std::normal_distribution<float> normal;
  const Shape sample = options.sample.value_or(options.pictures ? Shape({3, 7, 9}) : Shape({21}));
  std::vector<int64_t> dims{options.samples};
  dims.insert(dims.end(), sample.dims().begin(), sample.dims().end());
  const Shape shape{std::span<const int64_t>(dims)};
  Tensor features(DType::kFloat32, shape), labels(DType::kInt32, Shape({options.samples}));
  for (float& value : features.values<float>()) value = normal(random);
  for (int32_t& label : labels.values<int32_t>()) {
    label = static_cast<int32_t>(random() % static_cast<unsigned>(kClasses));
  }
  if (options.change) options.change(&features, &labels);
  return {features, labels, {}};
}

Shards PartsOf(int64_t samples, int ranks) {
  Shards shards{.rows = {}, .fingerprint = 1};
  int64_t end = 0;
  for (int rank = 0; rank < ranks; ++rank) {
    const int64_t begin = end;
    end = samples * (rank + 1) * (rank + 2) / (ranks * (ranks + 1));
    shards.rows.push_back(end - begin);
  }
  return shards;
}

std::vector<double> AllValues(const Variables& variables) {
  std::vector<double> all;
  for (const Variables::Entry& entry : variables.entries()) {
    const Tensor tensor = variables.Get(entry.name).Cast(DType::kFloat64);
    all.insert(all.end(), tensor.values<double>().begin(), tensor.values<double>().end());
  }
  return all;
}

}  // namespace

std::unique_ptr<Graph> MakeJobGraph(const JobOptions& options) {
  auto graph = std::make_unique<Graph>();
  Var h;
  if (options.pictures) {
    h = graph->Input("x", {Shape({3, 7, 9}), DType::kFloat32});
    h = Relu(BatchNorm(Conv2d(h, {.out_channels = 8, .pad_h = 1, .pad_w = 1, .bias = false}, "c1"),
                       {}, "bn1"));
    if (options.dropout) h = Dropout(h, 0.3, "drop");
    h = Relu(BatchNorm(Conv2d(h, {.out_channels = 16, .pad_h = 1, .pad_w = 1}, "c2"), {}, "bn2"));
    h = MaxPool2d(h, {.cover_all = true});
  } else {
    h = graph->Input("x", {Shape({21}), DType::kFloat32});
    h = Relu(Linear(h, {.out = 33}, "l1"));
    if (options.dropout) h = Dropout(h, 0.2, "drop");
    h = Relu(Linear(h, {.out = 17}, "l2"));
  }
  h = Linear(h, {.out = kClasses}, "fc");
  graph->SetOutput(h);
  graph->SetLoss(SoftmaxCrossEntropy(h, graph->Input("t", {Shape({}), DType::kInt32})));
  return graph;
}

CheckpointContents CopyState(Trainer& trainer) {
  CheckpointContents state = trainer.State();
  for (auto& [name, tensor] : state.tensors) tensor = tensor.Clone();
  return state;
}

JobResult RunJob(const JobOptions& options, CommGroup* group) {
  const auto graph = options.graph ? options.graph() : MakeJobGraph(options);
  const auto backend = options.backend ? options.backend() : MakeCpuBackend(options.threads);
  if (group != nullptr && options.extend) {
    group->Extend("reach devices", [&](Communicator& c) { return options.extend(c, *backend); });
  }
  NetworkOptions network_options = options.network;
  network_options.group = group;
  Network network(*graph, *backend, network_options);
  SourceOptions source_options{.batch_size = options.batch_size, .seed = 5};
  if (group != nullptr) {
    source_options.rank = group->rank();
    source_options.ranks = group->size();
  }
  if (network_options.lanes > 0) {
    source_options.cut = LaneRunner::CutOf(network_options.lanes, network_options.lane_norm);
  }
  Dataset data = MakeData(options);
  if (options.sharded) {
    source_options.shards = PartsOf(options.samples, source_options.ranks);
    const int64_t first = source_options.shards.first(source_options.rank);
    const auto rows = source_options.shards.rows[static_cast<size_t>(source_options.rank)];
    data = data.Slice(first, first + rows);
  }
  DatasetSource source(std::move(data), source_options);
  Updater updater(network.variables(), *backend, MakeMomentum(0.9), options.hooks);
  const auto schedule = MakeConstantSchedule();
  LocalSync alone;
  std::unique_ptr<AllreduceSync> together;
  if (group != nullptr) together = std::make_unique<AllreduceSync>(*group, options.allreduce);
  ParamSync& sync = together                  ? static_cast<ParamSync&>(*together)
                    : options.sync != nullptr ? *options.sync
                                              : alone;
  const std::unique_ptr<BatchSource> wrapped = options.wrap ? options.wrap(source) : nullptr;
  Trainer trainer(network, wrapped ? *wrapped : source, updater, *schedule, sync,
                  {.epochs = options.epochs,
                   .iterations = options.iterations,
                   .learning_rate = 0.05,
                   .should_stop = options.should_stop,
                   .keep_gradients = options.keep_gradients});
  if (options.prepare) options.prepare(trainer);
  trainer.Run();
  JobResult result{.values = AllValues(network.variables()),
                   .weights_hash = WeightsHash(network.variables()),
                   .clock = trainer.clock(),
                   .stopped = trainer.stopped()};
  result.evaluation = *EvaluateAll(network, source);
  result.algorithms = network.algorithms().ToString();
  result.updates = updater.updates();
  if (network.variables().loss_scale() != nullptr) {
    result.loss_scale = network.variables().GetLossScale();
  }
  return result;
}

std::vector<JobResult> RunJobOnThreads(const JobOptions& options, int ranks) {
  std::vector<JobResult> results(static_cast<size_t>(ranks));
  OnRanks(ranks, [&](Communicator& communicator) {
    CommGroup group(communicator);
    results[static_cast<size_t>(communicator.rank())] = RunJob(options, &group);
  });
  return results;
}

double Difference(const std::vector<double>& a, const std::vector<double>& b) {
  EXPECT_EQ(a.size(), b.size());
  double largest = 0.0;
  for (size_t i = 0; i < a.size(); ++i) {
    largest = std::max(largest, std::abs(a[i] - b[i]) / (1.0 + std::abs(b[i])));
  }
  return largest;
}

}  // namespace lockstep::testing
