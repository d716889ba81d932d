#include "models/chainer_snapshot.h"

#include <gtest/gtest.h>

#include "kernels/error.h"
#include "models/model_file.h"
#include "tests/engine/compare.h"
#include "tests/models/fixtures.h"
#include "tests/models/snapshot_network.h"
#include "tests/temporary_directory.h"

namespace lockstep {
namespace {

NpzReader Open(const NpzWriter& writer) {
  return NpzReader(InputFile::FromMemory(Bytes::Copy(writer.ToBytes()), "snapshot"));
}

int64_t IntegerIn(const NpzReader& file, const std::string& name) {
  const Tensor value = file.Read(name);
  return value.values<int64_t>()[0];
}

double RealIn(const NpzReader& file, const std::string& name) {
  const Tensor value = file.Read(name);
  return value.values<double>()[0];
}

class GoldenSnapshot : public testing::TestWithParam<const char*> {
 protected:
  static std::unique_ptr<Optimizer> MakeOptimizer() {
    return std::string(GetParam()) == "adam" ? MakeAdam() : MakeMomentum(0.9);
  }
};

INSTANTIATE_TEST_SUITE_P(Chainer, GoldenSnapshot, testing::Values("momentum", "adam"),
                         [](const auto& info) { return std::string(info.param); });

TEST_P(GoldenSnapshot, NamesTypesAndShapesAreChainers) {
  LOCKSTEP_NEEDS_CHAINER(path, std::string("snapshot/") + GetParam() + "_snapshot_iter_5.npz");
  const NpzReader golden(path);
  SnapshotTraining training(MakeOptimizer());
  const NpzReader ours =
      Open(MakeChainerSnapshot(training.variables(), training.updater(), training.Progress()));
  for (const std::string& name : golden.names()) {
    ASSERT_TRUE(ours.Contains(name)) << name;
    const NpyHeader a = ours.ReadHeader(name), b = golden.ReadHeader(name);
    EXPECT_EQ(a.kind, b.kind) << name;
    EXPECT_TRUE(b.kind == 'U' || a.descr == b.descr) << name << " " << a.descr;
    EXPECT_EQ(a.shape, b.shape) << name;
  }
}

TEST_P(GoldenSnapshot, ItsModelLoadsHere) {
  LOCKSTEP_NEEDS_CHAINER(path, std::string("snapshot/") + GetParam() + "_snapshot_iter_5.npz");
  SnapshotTraining training(MakeOptimizer());
  const LoadNpzReport report = LoadModelNpz(path, training.variables());
  EXPECT_EQ(report.prefix, "updater/model:main/");
  EXPECT_EQ(report.loaded.size(), 8U);
}

TEST(ChainerSnapshot, HoldsWeightsStatesAndCounters) {
  SnapshotTraining training(MakeAdam());
  for (const int64_t rows : {4, 4, 2, 4, 4}) training.Step(rows, 0.001);
  const NpzReader file =
      Open(MakeChainerSnapshot(training.variables(), training.updater(), training.Progress()));
  for (const auto& entry : training.variables().entries()) {
    EXPECT_TRUE(SameBits(file.Read("updater/model:main/" + entry.name),
                         training.variables().Get(entry.name)));
    if (entry.role != Role::kParameter) continue;
    const std::string head = "updater/optimizer:main/" + entry.name;
    EXPECT_EQ(IntegerIn(file, head + "/t"), 5);
    for (const std::string state : {"m", "v"}) {
      EXPECT_TRUE(
          SameBits(file.Read(head + "/" + state), training.updater().GetState(entry.name, state)));
    }
  }
  EXPECT_EQ(IntegerIn(file, "updater/iteration"), 5);
  EXPECT_EQ(IntegerIn(file, "updater/optimizer:main/t"), 5);
  EXPECT_EQ(IntegerIn(file, "updater/iterator:main/current_position"), 8);
  EXPECT_EQ(RealIn(file, "updater/iterator:main/previous_epoch_detail"), 1.4);
  EXPECT_EQ(IntegerIn(file, "stop_trigger/previous_iteration"), 4);
  EXPECT_EQ(RealIn(file, "extension_triggers/LogReport/previous_epoch_detail"), 1.8);
  EXPECT_EQ(RealIn(file, "extensions/ExponentialShift/_last_value"), 0.025);
  EXPECT_EQ(file.ReadText("extensions/LogReport/_log"), training.Progress().log);
  EXPECT_EQ(file.ReadText("extensions/PlotReport/_plot_loss.png"),
            R"({"main/loss":[[1,1.5]],"validation/main/loss":[]})");
}

TEST(ChainerSnapshot, PlotsHoldNullWhereTheLogHoldsNoNumber) {
  SnapshotTraining training(MakeSgd());
  ChainerProgress progress = training.Progress();
  progress.log =
      R"([{"main/loss": NaN, "a\"NaN\"": 1, "validation/main/loss": -Infinity, "epoch": 1},)"
      R"( {"main/loss": Infinity, "validation/main/loss": 0.5, "epoch": 2}])";
  const NpzReader file =
      Open(MakeChainerSnapshot(training.variables(), training.updater(), progress));
  EXPECT_EQ(file.ReadText("extensions/LogReport/_log"), progress.log);
  EXPECT_EQ(file.ReadText("extensions/PlotReport/_plot_loss.png"),
            R"({"main/loss":[[1,null],[2,null]],"validation/main/loss":[[1,null],[2,0.5]]})");
}

TEST(ChainerSnapshot, RightAfterAPassTheIteratorIsAtItsStart) {
  SnapshotTraining training(MakeSgd());
  ChainerProgress progress = training.Progress();
  progress.iteration = 6;
  progress.epoch = 2;
  progress.position = 0;
  const NpzReader file =
      Open(MakeChainerSnapshot(training.variables(), training.updater(), progress));
  EXPECT_EQ(RealIn(file, "updater/iterator:main/previous_epoch_detail"), 1.8);  // a batch of two
  EXPECT_EQ(RealIn(file, "stop_trigger/previous_epoch_detail"), 1.8);
  const Tensor is_new = file.Read("updater/iterator:main/is_new_epoch");
  EXPECT_EQ(is_new.values<uint8_t>()[0], 1);
}

TEST(ChainerSnapshot, FrozenParametersStandAtUpdateZero) {
  Graph graph;
  AddSnapshotNetwork(graph);
  TestDevice device;
  NetworkRunner runner(device, graph, DType::kFloat32, {"predictor/fc1/W"});
  Updater updater(runner.variables, *device.backend, MakeMomentum(), {});
  updater.set_updates(7);
  SnapshotTraining other(MakeSgd());
  const NpzReader file = Open(MakeChainerSnapshot(runner.variables, updater, other.Progress()));
  EXPECT_EQ(IntegerIn(file, "updater/optimizer:main/predictor/fc1/W/t"), 0);
  EXPECT_EQ(IntegerIn(file, "updater/optimizer:main/predictor/fc1/b/t"), 7);
}

TEST(ChainerSnapshot, RefusesALogThatIsNone) {
  SnapshotTraining training(MakeSgd());
  ChainerProgress progress = training.Progress();
  for (const char* log : {"", "{}", "[1]", "[{]"}) {
    progress.log = log;
    EXPECT_THROW(MakeChainerSnapshot(training.variables(), training.updater(), progress),
                 FormatError)
        << log;
  }
}

TEST(ChainerSnapshot, IsWrittenWhole) {
  const TemporaryDirectory directory;
  SnapshotTraining training(MakeSgd());
  SaveChainerSnapshot(directory / "snapshot_iter_5", training.variables(), training.updater(),
                      training.Progress());
  EXPECT_TRUE(NpzReader(directory / "snapshot_iter_5").Contains("updater/iteration"));
}

}  // namespace
}  // namespace lockstep
