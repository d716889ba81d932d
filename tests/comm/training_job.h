// A small training job for tests of several ranks: made-up data, one network, one recipe.
#ifndef LOCKSTEP_TESTS_COMM_TRAINING_JOB_H_
#define LOCKSTEP_TESTS_COMM_TRAINING_JOB_H_

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "comm/allreduce_sync.h"
#include "data/dataset.h"
#include "engine/graph/graph.h"
#include "engine/train/trainer.h"
#include "kernels/error.h"
#include "tests/comm/ranks.h"

namespace lockstep::testing {

struct JobOptions {
  int64_t samples = 150;
  int64_t batch_size = 64;
  int64_t epochs = 2;
  int64_t iterations = 0;  // 0: no limit
  bool sharded = false;    // each rank has a part of the samples, the later the larger
  bool pictures = false;   // convolutions, batch normalisation and dropout; else an MLP
  // Another network, for samples of that shape.
  std::function<std::unique_ptr<Graph>()> graph = nullptr;
  std::optional<Shape> sample = {};
  bool dropout = true;
  int threads = 1;
  // Another device than the CPU on so many threads.
  std::function<std::unique_ptr<Backend>()> backend = nullptr;
  // Of several ranks: makes their communicator one that may reach that device.
  std::function<std::unique_ptr<Communicator>(Communicator&, Backend&)> extend = nullptr;
  NetworkOptions network = {.seed = 5, .exact_math = true};
  AllreduceOptions allreduce = {};
  ParamSync* sync = nullptr;  // of a job of one rank, instead of a LocalSync
  // Applied to the made-up data before it is used; on every rank.
  std::function<void(Tensor* features, Tensor* labels)> change = nullptr;
  // What the trainer gets in place of the source, which outlives it.
  std::function<std::unique_ptr<BatchSource>(BatchSource&)> wrap = nullptr;
  // Called with the trainer before it runs.
  std::function<void(Trainer&)> prepare = nullptr;
  std::function<bool()> should_stop = nullptr;
  bool keep_gradients = false;
  UpdateHooks hooks = {.weight_decay = 5e-4};
};

struct JobResult {
  std::vector<double> values = {};  // all parameters and running statistics
  std::string weights_hash = {};    // SHA-256
  LossSums evaluation = {};         // over the training data
  TrainingClock clock = {};
  bool stopped = false;
  std::string algorithms = {};  // what the network chose, with the times
  int64_t updates = 0;
  std::optional<LossScale> loss_scale = {};  // of float16
};

std::unique_ptr<Graph> MakeJobGraph(const JobOptions& options);

// A copy of a trainer's state, as a file would bring it back.
CheckpointContents CopyState(Trainer& trainer);

// The job's part of this rank; null: the only one.
JobResult RunJob(const JobOptions& options, CommGroup* group = nullptr);
// The same on threads: what each rank ends with.
std::vector<JobResult> RunJobOnThreads(const JobOptions& options, int ranks);

// "code: text" of what every rank of a job throws, all the same; "" for nothing. Another kind of
// error than Thrown goes through.
template <typename Thrown = Error>
std::string ErrorOf(const JobOptions& options, int ranks) {
  std::vector<std::string> errors(static_cast<size_t>(ranks));
  OnRanks(ranks, [&](Communicator& communicator) {
    CommGroup group(communicator);
    try {
      RunJob(options, &group);
    } catch (const Thrown& error) {
      errors[static_cast<size_t>(communicator.rank())] =
          std::to_string(static_cast<int>(error.code())) + ": " + error.what();
    }
  });
  for (const std::string& error : errors) EXPECT_EQ(error, errors[0]);
  return errors[0];
}

// Largest difference relative to the size of the values.
double Difference(const std::vector<double>& a, const std::vector<double>& b);

}  // namespace lockstep::testing

#endif  // LOCKSTEP_TESTS_COMM_TRAINING_JOB_H_
