// Training on a device whose memory the host cannot touch and whose work is done when it is waited
// for: what is trained has the bits of the CPU.
#include <gmock/gmock.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <memory>
#include <string>

#include "data/batch_iterator.h"
#include "engine/train/state.h"
#include "engine/train/trainer.h"
#include "kernels/error.h"
#include "tests/engine/compare.h"
#include "tests/engine/test_networks.h"
#include "tests/kernels/far_backend.h"
#include "tests/kernels/host_device.h"

namespace lockstep {
namespace {

constexpr int64_t kSamples = 26, kBatch = 8;

struct JobOptions {
  NetworkOptions network = {};
  std::string optimizer = "momentum";
  UpdateHooks hooks = {};
  int64_t iterations = 5;  // with a short batch among them
};

// Everything that trains one network on one backend.
class Job {
 public:
  Job(Backend& backend, const Graph& graph, const Tensor& x, const Tensor& labels,
      JobOptions options = {})
      : network(graph, backend, options.network),
        updater(network.variables(), backend, MakeOptimizer(options), options.hooks),
        source(Dataset(x, labels, {}),
               {.batch_size = kBatch, .transform = {.dtype = options.network.dtype}}),
        trainer(network, source, updater, *schedule_, sync_,
                {.iterations = options.iterations, .learning_rate = 0.01}) {}

  // By name, with the optimizer's arrays.
  std::map<std::string, Tensor> Arrays() {
    std::map<std::string, Tensor> arrays;
    for (const Variables::Entry& entry : network.variables().entries()) {
      arrays[entry.name] = network.variables().Get(entry.name);
      if (entry.role != Role::kParameter) continue;
      for (const std::string& state : updater.optimizer().state_names()) {
        arrays[entry.name + " " + state] = updater.GetState(entry.name, state);
      }
    }
    return arrays;
  }

  Network network;
  Updater updater;
  DatasetSource source;

 private:
  static std::unique_ptr<Optimizer> MakeOptimizer(const JobOptions& options) {
    if (options.optimizer == "adam") return MakeAdam();
    return MakeMomentum();
  }
  std::unique_ptr<Schedule> schedule_ = MakeConstantSchedule();
  LocalSync sync_;

 public:
  Trainer trainer;
};

void ExpectSame(const std::map<std::string, Tensor>& a, const std::map<std::string, Tensor>& b) {
  ASSERT_EQ(a.size(), b.size());
  for (const auto& [name, tensor] : a) {
    ASSERT_TRUE(b.contains(name)) << name;
    EXPECT_TRUE(SameBits(tensor, b.at(name))) << name;
  }
}

// Relative to the largest element of each array.
void ExpectClose(const std::map<std::string, Tensor>& a, const std::map<std::string, Tensor>& b,
                 double tolerance) {
  ASSERT_EQ(a.size(), b.size());
  for (const auto& [name, tensor] : a) {
    const Tensor wanted = tensor.Cast(DType::kFloat64), found = b.at(name).Cast(DType::kFloat64);
    double largest = 0.0, difference = 0.0;
    for (size_t i = 0; i < wanted.values<double>().size(); ++i) {
      const double value = wanted.values<double>()[i];
      largest = std::max(largest, std::abs(value));
      difference = std::max(difference, std::abs(found.values<double>()[i] - value));
    }
    EXPECT_LE(difference, tolerance * largest) << name;
  }
}

class FarDeviceTest : public testing::Test {
 protected:
  FarDeviceTest() {
    AddMiniVgg(vgg_);
    AddZoo(zoo_);
    for (size_t i = 0; i < vgg_labels_.values<int32_t>().size(); ++i) {
      vgg_labels_.values<int32_t>()[i] = i % 6 == 5 ? -1 : static_cast<int32_t>(i % 7);
    }
  }
  static Tensor Features(DType dtype, const Shape& shape) {
    Tensor x(dtype, shape);
    const auto fill = [&](auto values) {
      for (size_t i = 0; i < values.size(); ++i) {
        values[i] = static_cast<std::remove_reference_t<decltype(values[0])>>(
            0.013 * static_cast<double>(i * 7919 % 199) - 1.2);
      }
    };
    dtype == DType::kFloat64 ? fill(x.values<double>()) : fill(x.values<float>());
    return x;
  }
  // Trains on both, with the same choices of algorithms, and compares all there is.
  void ExpectSameTraining(const Graph& graph, const Tensor& x, const Tensor& labels,
                          const JobOptions& options) {
    Job near(*cpu_, graph, x, labels, options);
    near.trainer.Run();
    Job remote(far_, graph, x, labels, options);
    remote.network.algorithms().Parse(near.network.algorithms().ToString());
    remote.trainer.Run();
    ExpectSame(near.Arrays(), remote.Arrays());
    EXPECT_EQ(near.trainer.last_sums().loss, remote.trainer.last_sums().loss);
    EXPECT_EQ(near.trainer.last_sums().metric, remote.trainer.last_sums().metric);
    const auto evaluated = EvaluateAll(near.network, near.source);
    EXPECT_EQ(evaluated->loss, EvaluateAll(remote.network, remote.source)->loss);
    EXPECT_GT(evaluated->count, 0);
  }

  std::unique_ptr<Backend> cpu_ = MakeCpuBackend(1);
  FarBackend far_;
  Graph vgg_, zoo_;
  Tensor pictures_ = Features(DType::kFloat32, {kSamples, 3, 13, 10});
  Tensor vgg_labels_{DType::kInt32, Shape({kSamples})};
};

TEST_F(FarDeviceTest, ANarrowVggIsTrainedToTheSameBits) {
  ExpectSameTraining(vgg_, pictures_, vgg_labels_, {});
}

TEST_F(FarDeviceTest, EveryOpIsTrainedToTheSameBits) {
  for (const DType dtype : {DType::kFloat32, DType::kFloat64}) {
    ExpectSameTraining(zoo_, Features(dtype, {kSamples, 5, 11, 9}), Features(dtype, {kSamples, 5}),
                       {.network = {.dtype = dtype}, .optimizer = "adam"});
  }
}

TEST_F(FarDeviceTest, HooksPartsAndFrozenWeightsWorkThere) {
  ExpectSameTraining(vgg_, pictures_, vgg_labels_,
                     {.network = {.frozen = {"b2/conv/W"}, .accumulate = 3},
                      .hooks = {.weight_decay = 5e-4, .gradient_clipping = 0.5}});
}

TEST_F(FarDeviceTest, LanesGiveTheBitsOfTheReproducibleMode) {
  for (const LaneNorm norm : {LaneNorm::kSync, LaneNorm::kLane}) {
    ExpectSameTraining(vgg_, pictures_, vgg_labels_,
                       {.network = {.lanes = 2, .lane_norm = norm, .accumulate = 2}});
  }
}

// The kernels that a GPU is given, as the host runs them: a step is the CPU's but for rounding.
// (Adam would divide rounding by itself where a gradient is next to nothing.)
TEST_F(FarDeviceTest, TheKernelsOfAGpuTrainAsTheCpuDoes) {
  const auto expect_close = [&](const Graph& graph, const Tensor& x, const Tensor& labels,
                                const JobOptions& options) {
    Job near(*cpu_, graph, x, labels, options);
    near.trainer.Run();
    FarBackend gpu(std::make_unique<test::HostDevice>(0));
    Job remote(gpu, graph, x, labels, options);
    remote.network.algorithms().Parse(near.network.algorithms().ToString());
    remote.trainer.Run();
    ExpectClose(near.Arrays(), remote.Arrays(), 1e-4);
    const double loss = near.trainer.last_sums().loss;
    EXPECT_NEAR(remote.trainer.last_sums().loss, loss, 1e-4 * std::abs(loss));
  };
  expect_close(vgg_, pictures_, vgg_labels_, {.iterations = 2});
  expect_close(zoo_, Features(DType::kFloat32, {kSamples, 5, 11, 9}),
               Features(DType::kFloat32, {kSamples, 5}), {.iterations = 2});
}

TEST_F(FarDeviceTest, PredictionsComeBackPlain) {
  Job near(*cpu_, vgg_, pictures_, vgg_labels_), remote(far_, vgg_, pictures_, vgg_labels_);
  const Tensor wanted = near.network.Predict(pictures_);
  remote.network.algorithms().Parse(near.network.algorithms().ToString());
  const Tensor found = remote.network.Predict(pictures_);
  EXPECT_TRUE(SameBits(found, wanted));
}

TEST_F(FarDeviceTest, ACheckpointOfTheOneGoesOnOnTheOther) {
  Job whole(*cpu_, vgg_, pictures_, vgg_labels_, {.iterations = 5});
  whole.trainer.Run();
  Job first(*cpu_, vgg_, pictures_, vgg_labels_, {.iterations = 2});
  first.network.algorithms().Parse(whole.network.algorithms().ToString());
  first.trainer.Run();
  Job second(far_, vgg_, pictures_, vgg_labels_, {.iterations = 4});
  second.trainer.Restore(first.trainer.State());
  second.trainer.Run();
  Job third(*cpu_, vgg_, pictures_, vgg_labels_, {.iterations = 5});
  third.trainer.Restore(second.trainer.State());
  third.trainer.Run();
  ExpectSame(whole.Arrays(), third.Arrays());
}

// Nothing in a step but its sums is waited for, or a device would idle while the host thinks.
TEST_F(FarDeviceTest, AStepWaitsOnce) {
  Job job(far_, vgg_, pictures_, vgg_labels_, {.iterations = 40});
  job.trainer.Prepare();
  job.trainer.Step();
  const int64_t before = far_.waits();
  for (int i = 0; i < 7; ++i) job.trainer.Step();
  EXPECT_EQ(far_.waits() - before, 7);
}

TEST_F(FarDeviceTest, ABadLabelIsNamedAndNothingIsTrainedOnIt) {
  vgg_labels_.values<int32_t>()[19] = 7;
  Job job(far_, vgg_, pictures_, vgg_labels_, {.iterations = 4});
  try {
    job.trainer.Run();
    FAIL() << "the label was taken";
  } catch (const FormatError& error) {
    EXPECT_THAT(error.what(), testing::HasSubstr("label 7 in row"));
  }
  for (const auto& [name, tensor] : job.Arrays()) {
    if (tensor.dtype() != DType::kFloat32) continue;
    for (const float value : tensor.values<float>()) ASSERT_TRUE(std::isfinite(value)) << name;
  }
}

TEST_F(FarDeviceTest, ANaNInTheDataIsFoundAndItsRowNamed) {
  pictures_.values<float>()[11 * 3 * 130 + 5] = std::numeric_limits<float>::quiet_NaN();
  Job job(far_, vgg_, pictures_, vgg_labels_, {.iterations = 4});
  try {
    job.trainer.Run();
    FAIL() << "the row was taken";
  } catch (const FormatError& error) {
    EXPECT_THAT(error.what(), testing::HasSubstr("row 11"));
  }
}

TEST_F(FarDeviceTest, WhatAHostArrayWouldBreakIsRefused) {
  const float x[4] = {};
  EXPECT_THROW(far_.reduce().FirstNonFinite(DType::kFloat32, 4, x), Error);
}

}  // namespace
}  // namespace lockstep
