// The promise as a matrix: the SHA-256 of the trained weights for ways to run a job that must not
// matter. hash_matrix TRANSPORT STEPS pairs|all|large, on the ranks that mpirun started; TRANSPORT
// `thread` runs all numbers of ranks as threads of one process. `layered` takes every two ranks for
// a host, which share memory and sum with the others through MPI, `far` every rank for one.
//
// `pairs` runs a covering array: every two values of two properties meet in some run. `large` sums
// as much as real networks, in the buckets that jobs have and at once: more than one bucket, and
// many pieces of what MPI sends.
#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <map>
#include <memory>
#include <set>
#include <stdexcept>
#include <string>
#include <vector>

#include "comm/world.h"
#include "models/model.h"
#include "tests/comm/training_job.h"

namespace lockstep::testing {
namespace {

constexpr std::array<const char*, 5> kNetworks = {"mlp", "vgg sync", "vgg lane", "large mlp",
                                                  "large vgg"};
constexpr size_t kLargeMlp = 3, kLargeVgg = 4;
constexpr std::array<const char*, 5> kTransports = {"thread", "shm", "mpi", "layered", "far"};
constexpr std::array<int, 4> kRanks = {1, 2, 3, 4};
constexpr std::array<int, 2> kThreads = {1, 2};
// Gradients of the MLP are 12 KB in fixed point, of the VGG 476 KB, of the large ones 14 and 8 MB.
constexpr std::array<size_t, 4> kBuckets = {1000, size_t{64} << 10, 0, size_t{4} << 20};
constexpr size_t kAtOnce = 2, kOfJobs = 3;
constexpr std::array<int, 3> kAccumulate = {1, 2, 4};

enum Property { kNetwork, kTransport, kRank, kThread, kBucket, kPart, kProperties };
// Of each property the index of its value.
using Cell = std::array<size_t, kProperties>;
// Of the small networks.
constexpr Cell kSizes = {kLargeMlp, kTransports.size(), kRanks.size(), kThreads.size(),
                         kOfJobs,   kAccumulate.size()};
// Two properties and their values.
using Pair = std::array<size_t, 4>;

// Fewer ranks are a host of `layered`, and a single one is not brought to MPI.
bool IsPossible(const Cell& cell) {
  const std::string transport = kTransports[cell[kTransport]];
  const int least = transport == "layered" ? 3 : transport == "far" ? 2 : 1;
  return kRanks[cell[kRank]] >= least;
}

std::vector<Cell> AllCells() {
  std::vector<Cell> cells{Cell{}};
  for (size_t property = 0; property < kProperties; ++property) {
    std::vector<Cell> more;
    for (const Cell& cell : cells) {
      for (size_t value = 0; value < kSizes[property]; ++value) {
        more.push_back(cell);
        more.back()[property] = value;
      }
    }
    cells = std::move(more);
  }
  std::erase_if(cells, [](const Cell& cell) { return !IsPossible(cell); });
  return cells;
}

std::vector<Pair> PairsOf(const Cell& cell) {
  std::vector<Pair> pairs;
  for (size_t a = 0; a < kProperties; ++a) {
    for (size_t b = a + 1; b < kProperties; ++b) pairs.push_back({a, cell[a], b, cell[b]});
  }
  return pairs;
}

// Always the cell next that has the most pairs that none before it had.
std::vector<Cell> CoveringCells() {
  const std::vector<Cell> all = AllCells();
  std::set<Pair> open;
  for (const Cell& cell : all) {
    for (const Pair& pair : PairsOf(cell)) open.insert(pair);
  }
  const auto gain = [&](const Cell& cell) {
    const std::vector<Pair> pairs = PairsOf(cell);
    return std::count_if(pairs.begin(), pairs.end(),
                         [&](const Pair& pair) { return open.contains(pair); });
  };
  std::vector<Cell> chosen;
  while (!open.empty()) {
    chosen.push_back(*std::max_element(
        all.begin(), all.end(), [&](const Cell& a, const Cell& b) { return gain(a) < gain(b); }));
    for (const Pair& pair : PairsOf(chosen.back())) open.erase(pair);
  }
  return chosen;
}

std::vector<Cell> LargeCells() {
  std::vector<Cell> cells;
  for (const size_t network : {kLargeMlp, kLargeVgg}) {
    for (size_t transport = 0; transport < kTransports.size(); ++transport) {
      for (size_t ranks = 0; ranks < kRanks.size(); ++ranks) {
        cells.push_back({network, transport, ranks, 0, kOfJobs, 0});
        if (network == kLargeMlp) cells.push_back({network, transport, ranks, 0, kAtOnce, 0});
      }
    }
  }
  std::erase_if(cells, [](const Cell& cell) { return !IsPossible(cell); });
  return cells;
}

std::string NameOf(const Cell& cell) {
  return std::string(kNetworks[cell[kNetwork]]) + ", " + kTransports[cell[kTransport]] + ", " +
         std::to_string(kRanks[cell[kRank]]) + " ranks of " +
         std::to_string(kThreads[cell[kThread]]) + " threads, buckets of " +
         std::to_string(kBuckets[cell[kBucket]]) + ", accumulate " +
         std::to_string(kAccumulate[cell[kPart]]);
}

ModelSpec ModelOf(size_t network) {
  if (network == kLargeMlp) {
    return {.name = "mlp", .in_shape = Shape({784}), .hidden = {1000, 1000}};
  }
  if (network == kLargeVgg) return {.name = "vgg", .in_shape = Shape({3, 32, 32}), .width = 0.25};
  return {.name = "vgg", .in_shape = Shape({3, 8, 8}), .classes = 5, .width = 0.0625};
}

// Dropout is on in all networks but the large MLP; 150 samples in batches of 64 leave an uneven
// last one.
JobOptions JobOf(const Cell& cell, int64_t steps) {
  JobOptions job{.epochs = 0, .iterations = steps, .threads = kThreads[cell[kThread]]};
  if (cell[kNetwork] > 0) {
    const ModelSpec model = ModelOf(cell[kNetwork]);
    job.sample = model.in_shape;
    job.graph = [model] { return BuildModel(model).graph; };
  }
  job.network.lanes = 8;
  job.network.lane_norm = cell[kNetwork] == 2 ? LaneNorm::kLane : LaneNorm::kSync;
  job.network.accumulate = kAccumulate[cell[kPart]];
  job.network.lane_bucket_bytes = kBuckets[cell[kBucket]];
  return job;
}

class Matrix {
 public:
  explicit Matrix(int64_t steps) : steps_(steps) {}

  void Check(const Cell& cell, const std::vector<std::string>& hashes) {
    ++runs_;
    const std::string& wanted = Wanted(cell[kNetwork]);
    for (const std::string& hash : hashes) {
      if (hash == wanted) continue;
      ++failed_;
      std::printf("%s: %s, wanted %s\n", NameOf(cell).c_str(), hash.c_str(), wanted.c_str());
    }
  }
  int Finish() const {
    for (const auto& [network, hash] : wanted_) {
      std::printf("%s: %s\n", kNetworks[network], hash.c_str());
    }
    std::printf("%d runs of %lld steps, %d with other weights\n", runs_,
                static_cast<long long>(steps_), failed_);
    return runs_ > 0 && failed_ == 0 ? 0 : 1;
  }

 private:
  // Of one process with one thread.
  const std::string& Wanted(size_t network) {
    std::string& hash = wanted_[network];
    if (hash.empty()) hash = RunJob(JobOf({network}, steps_)).weights_hash;
    return hash;
  }

  int64_t steps_;
  std::map<size_t, std::string> wanted_;
  int runs_ = 0, failed_ = 0;
};

int RunOnThreads(const std::vector<Cell>& cells, int64_t steps) {
  Matrix matrix(steps);
  for (const Cell& cell : cells) {
    std::vector<std::string> hashes;
    for (const JobResult& rank : RunJobOnThreads(JobOf(cell, steps), kRanks[cell[kRank]])) {
      hashes.push_back(rank.weights_hash);
    }
    matrix.Check(cell, hashes);
  }
  return matrix.Finish();
}

std::unique_ptr<Communicator> MakeWorldOf(const std::string& transport) {
  if (transport != "layered" && transport != "far") {
    return MakeWorld({.transport = TransportOf(transport)});
  }
  const bool layered = transport == "layered";
  auto world = MakeWorld({.transport = layered ? Transport::kAuto : Transport::kMpi,
                          .ranks_per_host = layered ? 2 : 1});
  const std::string wanted = layered ? "shm+mpi" : "mpi";
  if (world->name() == wanted) return world;
  throw std::runtime_error("'" + world->name() + "' instead of '" + wanted + "'");
}

int RunOnProcesses(const std::vector<Cell>& cells, int64_t steps, const std::string& transport) {
  const auto world = MakeWorldOf(transport);
  CommGroup group(*world);
  Matrix matrix(steps);
  for (const Cell& cell : cells) {
    if (kRanks[cell[kRank]] != group.size()) continue;
    const std::string mine = RunJob(JobOf(cell, steps), &group).weights_hash;
    const std::vector<std::string> hashes = GatherTexts(group, mine);
    if (group.rank() == 0) matrix.Check(cell, hashes);
  }
  return group.rank() == 0 ? matrix.Finish() : 0;
}

int Run(const std::string& transport, int64_t steps, const std::string& which) {
  std::vector<Cell> cells = which == "all"     ? AllCells()
                            : which == "large" ? LargeCells()
                                               : CoveringCells();
  std::erase_if(cells,
                [&](const Cell& cell) { return kTransports[cell[kTransport]] != transport; });
  if (transport == "thread") return RunOnThreads(cells, steps);
  return RunOnProcesses(cells, steps, transport);
}

}  // namespace
}  // namespace lockstep::testing

int main(int argc, char** argv) {
  if (argc != 4) return 64;
  try {
    return lockstep::testing::Run(argv[1], std::atoll(argv[2]), argv[3]);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
