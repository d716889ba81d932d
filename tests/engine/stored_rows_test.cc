// Pictures that travel to a device as they are stored, and are cut, mirrored and normalised there:
// what is trained has the bits of pictures that the host prepared.
#include <algorithm>
#include <map>
#include <memory>
#include <string>

#include "data/batch_iterator.h"
#include "data/synthetic.h"
#include "engine/train/trainer.h"
#include "kernels/error.h"
#include "tests/engine/compare.h"
#include "tests/engine/test_networks.h"
#include "tests/kernels/far_backend.h"
#include "tests/kernels/host_device.h"

namespace lockstep {
namespace {

constexpr int64_t kSamples = 26, kBatch = 8;
constexpr uint64_t kSeed = 11;
TensorType Stored() { return {Shape({3, 15, 12}), DType::kUint8}; }

// To the 13x13 pictures of the network.
TransformOptions Augmentation(DType dtype = DType::kFloat32) {
  return {.dtype = dtype,
          .mean = {0.5F, 0.4F, 0.3F},
          .deviation = {0.25F, 0.3F, 0.2F},
          .padding = 2,
          .crop = 13,
          .random_crop = true,
          .flip = true};
}

TransformOptions Plain(DType dtype = DType::kFloat32) {
  TransformOptions options = Augmentation(dtype);
  options.random_crop = options.flip = false;
  return options;
}

struct JobOptions {
  NetworkOptions network = {};
  int64_t iterations = 14;  // several epochs, with a short batch in each
};

// Everything that trains one network on one backend.
class Job {
 public:
  Job(Backend& backend, const Graph& graph, bool as_stored, JobOptions options = {})
      : network(graph, backend, options.network),
        source(Pictures(), {.batch_size = kBatch,
                            .seed = kSeed,
                            .transform = Augmentation(options.network.dtype),
                            .as_stored = as_stored}),
        updater_(network.variables(), backend, MakeMomentum(), {}),
        trainer(network, source, updater_, *schedule_, sync_,
                {.epochs = 0, .iterations = options.iterations, .learning_rate = 0.01}) {}

  static Dataset Pictures() {
    return SyntheticDataset(Stored().shape, 7, kSamples, 3, DType::kUint8);
  }

  std::map<std::string, Tensor> Arrays() {
    std::map<std::string, Tensor> arrays;
    for (const Variables::Entry& entry : network.variables().entries()) {
      arrays[entry.name] = network.variables().Get(entry.name);
    }
    return arrays;
  }

  // Of other pictures, in order.
  LossSums Validate(const TransformOptions& transform, bool as_stored) {
    DatasetSource validation(SyntheticDataset(Stored().shape, 7, 19, 4, DType::kUint8),
                             {.batch_size = kBatch,
                              .seed = kSeed,
                              .shuffle = false,
                              .transform = transform,
                              .as_stored = as_stored});
    return *EvaluateAll(network, validation);
  }

  Network network;
  DatasetSource source;

 private:
  Updater updater_;
  std::unique_ptr<Schedule> schedule_ = MakeConstantSchedule();
  LocalSync sync_;

 public:
  Trainer trainer;
};

void ExpectSame(const LossSums& a, const LossSums& b) {
  EXPECT_EQ(a.loss, b.loss);
  EXPECT_EQ(a.count, b.count);
  EXPECT_EQ(a.metric, b.metric);
}

class StoredRowsTest : public testing::Test {
 protected:
  StoredRowsTest() {
    Var x = graph_.Input("x", {{3, 13, 13}, DType::kFloat32});
    x = Relu(BatchNorm(Conv2d(x, Conv3x3(16), "conv"), {}, "bn"));
    x = Dropout(MaxPool2d(x, {.cover_all = true}), 0.3, "dropout");
    LabelLoss(graph_, Linear(x, {.out = 7}, "fc"));
  }

  // Of pictures that the host has prepared.
  std::unique_ptr<Job> Trained(const JobOptions& options = {}) {
    auto job = std::make_unique<Job>(*cpu_, graph_, false, options);
    job->trainer.Run();
    return job;
  }
  void ExpectSameTraining(Backend& backend, const JobOptions& options = {}) {
    const std::unique_ptr<Job> wanted = Trained(options);
    Job job(backend, graph_, true, options);
    ExpectSameAsTrained(*wanted, &job);
    ExpectSame(*EvaluateAll(wanted->network, wanted->source),
               *EvaluateAll(job.network, job.source));
    const TransformOptions plain = Plain(options.network.dtype);
    ExpectSame(wanted->Validate(plain, false), job.Validate(plain, true));
  }
  static void ExpectSameAsTrained(Job& wanted, Job* job) {
    job->network.algorithms().Parse(wanted.network.algorithms().ToString());
    job->trainer.Run();
    ExpectSame(wanted.trainer.last_sums(), job->trainer.last_sums());
    const auto arrays = wanted.Arrays(), found = job->Arrays();
    ASSERT_EQ(arrays.size(), found.size());
    for (const auto& [name, array] : arrays) EXPECT_TRUE(SameBits(array, found.at(name))) << name;
  }

  std::unique_ptr<Backend> cpu_ = MakeCpuBackend(1);
  FarBackend far_;
  Graph graph_;
};

TEST_F(StoredRowsTest, ADeviceTrainsOnThemToTheBitsOfTheCpu) {
  for (const DType dtype : {DType::kFloat32, DType::kFloat64}) {
    ExpectSameTraining(far_, {.network = {.dtype = dtype}});
  }
}

TEST_F(StoredRowsTest, TheCpuDoesTooWhereItIsGivenThem) { ExpectSameTraining(*cpu_); }

TEST_F(StoredRowsTest, PartsAndLanesOfABatchAreTheirRows) {
  ExpectSameTraining(far_, {.network = {.accumulate = 3}});
  ExpectSameTraining(far_, {.network = {.lanes = 3}});
  ExpectSameTraining(*cpu_, {.network = {.lanes = 3, .accumulate = 2}});
}

// The kernels that a GPU is given round otherwise than the CPU's, but make the same of pictures.
TEST_F(StoredRowsTest, TheKernelsOfAGpuPrepareWhatTheHostDoes) {
  FarBackend prepared(std::make_unique<test::HostDevice>(0));
  FarBackend stored(std::make_unique<test::HostDevice>(0));
  Job wanted(prepared, graph_, false), job(stored, graph_, true);
  wanted.trainer.Run();
  ExpectSameAsTrained(wanted, &job);
}

// What differs from step to step, pictures, ids and epoch, is read from the device's memory.
TEST_F(StoredRowsTest, TheirPreparationIsPartOfTheStepThatADeviceRepeats) {
  const std::unique_ptr<Job> wanted = Trained({.iterations = 40});
  Job job(far_, graph_, true, {.iterations = 40});
  ExpectSameAsTrained(*wanted, &job);
  // 10 epochs of batches of 8, 8, 8 and 2: all but the first of each size.
  EXPECT_EQ(far_.recordings(), 2);
  EXPECT_EQ(far_.repetitions(), 29 + 9);
}

TEST_F(StoredRowsTest, OneByteAValueTravels) {
  const auto uploaded = [&](bool as_stored) {
    Job job(far_, graph_, as_stored);
    for (int i = 0; i < 4; ++i) job.trainer.Step();  // every size of batch has been there
    const int64_t before = far_.uploaded_bytes();
    for (int i = 0; i < 4; ++i) job.trainer.Step();
    job.trainer.Settle();
    return far_.uploaded_bytes() - before;
  };
  constexpr int64_t kFed = 3 * 13 * 13, kBytes = 3 * 15 * 12;
  const int64_t prepared = uploaded(false), stored = uploaded(true);
  EXPECT_EQ(prepared - stored, kSamples * (kFed * int64_t{sizeof(float)} - kBytes));
  // Labels, ids, and what a step and its update are told.
  EXPECT_LE(stored, kSamples * (kBytes + 4 + 8) + 4 * 256);
}

// One plan, fed by several sources in turns.
TEST_F(StoredRowsTest, EachSourceHasItsOwnPreparation) {
  const std::unique_ptr<Job> wanted = Trained();
  Job job(far_, graph_, true);
  ExpectSameAsTrained(*wanted, &job);
  TransformOptions darker = Plain();
  darker.scale = 1.0 / 500.0;
  ASSERT_NE(wanted->Validate(Plain(), false).loss, wanted->Validate(darker, false).loss);
  for (int i = 0; i < 4; ++i) {
    ExpectSame(wanted->Validate(Plain(), false), job.Validate(Plain(), true));
    ExpectSame(wanted->Validate(darker, false), job.Validate(darker, i % 2 == 0));
  }
}

TEST_F(StoredRowsTest, APreparationOfOtherRowsIsRefused) {
  const RowTransform smaller(Stored(), {.crop = 12}, 0);
  const RowTransform doubles(Stored(), Plain(DType::kFloat64), 0);
  Job job(far_, graph_, true);
  Plan& plan = job.network.plan(Mode::kTrain, kBatch);
  const Tensor rows(DType::kUint8, {kBatch, Stored().shape.size()});
  EXPECT_THROW(plan.SetInput("x", rows.data(), smaller.preparation()), ShapeError);
  EXPECT_THROW(plan.SetInput("x", rows.data(), doubles.preparation()), ShapeError);
}

}  // namespace
}  // namespace lockstep
