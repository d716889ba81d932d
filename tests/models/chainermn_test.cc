// Two ranks of the real ChainerMN, followed array by array.
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "comm/allreduce_sync.h"
#include "engine/optim/updater.h"
#include "engine/train/network.h"
#include "engine/train/step_share.h"
#include "models/model.h"
#include "models/model_file.h"
#include "tests/comm/ranks.h"
#include "tests/engine/compare.h"
#include "tests/models/chainer_networks.h"
#include "tests/models/fixtures.h"

namespace lockstep {
namespace {

constexpr double kTolerance = 1e-5;
constexpr int kRanks = 2;

class ChainerMn : public ::testing::TestWithParam<const char*> {
 protected:
  static std::unique_ptr<Graph> MakeGraph(const Shape& x) {
    if (std::string(GetParam()) == "conv") return SmallConv({x[2], x[3], x[4]});
    return BuildModel({.name = "mlp", .in_shape = {x[2]}, .classes = 10, .hidden = {16, 16}}).graph;
  }
};

// This rank's half of batch `step`.
Batch HalfOf(const Tensor& x, const Tensor& t, int64_t step, int rank,
             const std::vector<int64_t>& ids) {
  const int64_t rows = x.shape()[1], mine = rows / kRanks, row = x.shape().row_size() / rows;
  const int64_t first = step * rows + rank * mine;
  return {.x = x.values<float>().data() + first * row,
          .labels = t.values<int32_t>().data() + first,
          .ids = std::span(ids).first(static_cast<size_t>(mine)),
          .rows = mine,
          .of_rows = rows};
}

// The first call of ChainerMN's optimizer makes the weights of all ranks those of rank 0 and
// updates nothing, but its forward pass moves the running statistics; call k is step k of five.
TEST_P(ChainerMn, EveryArrayOfBothRanksIsFollowed) {
  LOCKSTEP_NEEDS_CHAINER(path, std::string("chainermn_") + GetParam() + "_2ranks.npz");
  LOCKSTEP_NEEDS_CHAINER(start, std::string("traj_") + GetParam() + "_momentum_wd.npz");
  const NpzReader file(path);
  const Tensor x = file.Read("x"), t = file.Read("t").Cast(DType::kInt32);
  testing::OnRanks(kRanks, [&](Communicator& communicator) {
    CommGroup group(communicator);
    const int rank = group.rank();
    const auto graph = MakeGraph(x.shape());
    const auto backend = MakeCpuBackend(1);
    Network network(*graph, *backend, {.group = &group});
    Variables& variables = network.variables();
    LoadModelNpz(start, variables, {.prefix = "step0/"});
    float* const weights = static_cast<float*>(variables.parameters());
    // Rank 1 of the recorded job started elsewhere.
    if (rank == 1) std::for_each_n(weights, variables.flat_size(), [](float& w) { w += 0.01F; });
    Updater updater(variables, *backend, MakeMomentum(0.9), {.weight_decay = 5e-4});
    AllreduceSync sync(group, {.bucket_bytes = 256, .average_states = false});
    const std::vector<int64_t> ids(static_cast<size_t>(x.shape()[1]));
    for (int64_t call = 0; call <= x.shape()[0]; ++call) {
      const Batch batch = HalfOf(x, t, std::max<int64_t>(call - 1, 0), rank, ids);
      const LossSums sums = network.Train(batch, [&](int64_t end) {
        if (call > 0) sync.Ready(variables, end);
      });
      if (call == 0) {
        group.Broadcast(weights, static_cast<size_t>(variables.flat_size()) * sizeof(float), 0);
      } else {
        sync.FinishGradients(variables);
        updater.Update(ExchangeShares(group, {.sums = sums}, false).sums.count, 0.05);
      }
      const std::string prefix =
          "call" + std::to_string(call) + "/rank" + std::to_string(rank) + "/";
      for (const Variables::Entry& entry : variables.entries()) {
        if (entry.type.dtype == DType::kInt64) continue;
        ExpectClose(variables.Get(entry.name), file.Read(prefix + entry.name), kTolerance,
                    prefix + entry.name);
      }
    }
  });
}

INSTANTIATE_TEST_SUITE_P(Of, ChainerMn, ::testing::Values("mlp", "conv"),
                         [](const auto& info) { return std::string(info.param); });

}  // namespace
}  // namespace lockstep
