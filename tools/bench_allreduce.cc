// `lockstep bench allreduce`: sums over all ranks, beside MPI's own.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "comm/hosts.h"
#include "comm/layered.h"
#include "comm/mpi/mpi_world.h"
#include "comm/world.h"
#include "kernels/error.h"
#include "tools/console.h"
#include "tools/options.h"
#include "tools/text.h"
#include "tools/verbs.h"

namespace lockstep::tools {
namespace {

struct AllreduceOptions {
  std::string communicator = "auto";
  std::vector<double> megabytes = {1, 4, 16, 64};
  int64_t rounds = 15;
  double seconds = 0.03;
};

double Seconds(const std::function<void()>& fn) {
  const auto start = std::chrono::steady_clock::now();
  fn();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

double Median(std::vector<double> values) {
  std::nth_element(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2),
                   values.end());
  return values[values.size() / 2];
}

// The three ways to sum the same number of floats, one after the other in every round.
class AllreduceBench {
 public:
  AllreduceBench(Communicator& ranks, const AllreduceOptions& options)
      : ranks_(ranks), options_(options) {}

  std::string Row(double megabytes) {
    const auto count = static_cast<int64_t>(megabytes * 1e6 / sizeof(float));
    const std::shared_ptr<std::byte> memory =
        ranks_.Allocate(static_cast<size_t>(count) * sizeof(float));
    std::vector<float> plain(static_cast<size_t>(count));
    const auto sum = [&](void* data) {
      ranks_.Allreduce(data, count, WireType::kFloat32, ReduceOp::kSum);
    };
    const std::vector<std::function<void()>> ways = {
        [&] { sum(memory.get()); }, [&] { sum(plain.data()); },
        [&] { PlainMpiAllreduce(plain.data(), count); }};
    const std::vector<double> seconds = Medians(ways);
    std::vector<double> bus;
    bus.reserve(seconds.size());
    const double size = ranks_.size();
    for (const double s : seconds) {
      bus.push_back(2.0 * (size - 1.0) / size * static_cast<double>(count) * 4.0 / s * 1e-9);
    }
    char line[160];
    std::snprintf(line, sizeof line, "%8s %10.3g %10.3g %10.3g %9.1f %9.1f\n",
                  FormatG(megabytes).c_str(), bus[0], bus[1], bus[2], bus[0] / bus[2],
                  bus[1] / bus[2]);
    return line;
  }

 private:
  // Of one call, by rank 0's clock.
  std::vector<double> Medians(const std::vector<std::function<void()>>& ways) {
    std::vector<std::vector<double>> times(ways.size());
    std::vector<int64_t> calls;
    calls.reserve(ways.size());
    for (const auto& way : ways) calls.push_back(CallsFor(way));
    for (int64_t round = 0; round < options_.rounds; ++round) {
      for (size_t w = 0; w < ways.size(); ++w) {
        ranks_.Barrier();
        const double seconds = Seconds([&] {
          for (int64_t i = 0; i < calls[w]; ++i) ways[w]();
        });
        times[w].push_back(seconds / static_cast<double>(calls[w]));
      }
    }
    std::vector<double> medians;
    medians.reserve(times.size());
    for (std::vector<double>& way : times) medians.push_back(Median(std::move(way)));
    return medians;
  }

  // How often a round calls it; the same on all ranks. Warms up as well.
  int64_t CallsFor(const std::function<void()>& way) {
    way();
    const double once = Seconds([&] {
                          way();
                          way();
                        }) /
                        2;
    int64_t calls = std::clamp<int64_t>(static_cast<int64_t>(options_.seconds / once), 1, 100000);
    ranks_.Broadcast(&calls, sizeof calls, 0);
    return calls;
  }

  Communicator& ranks_;  // what is measured
  const AllreduceOptions& options_;
};

}  // namespace

int RunBenchAllreduce(std::span<const std::string> arguments) {
  AllreduceOptions bench;
  Options options("lockstep bench allreduce",
                  "Sums float32 over ranks beside MPI_Allreduce; run it under mpirun.");
  options
      .Add("communicator", &bench.communicator,
           "auto: shared memory in hosts and MPI between them; mpi: MPI alone")
      .OneOf({"auto", "mpi"});
  options.Add("megabytes", &bench.megabytes, "buffer sizes, of 10^6 bytes");
  options.Add("rounds", &bench.rounds, "alternating rounds, of which medians are told")
      .Min(1)
      .Max(1e6);
  options.Add("seconds", &bench.seconds, "what a round takes of each way").Above(0).Max(60);
  options.RefuseUnknown();
  options.Parse(arguments);
  if (options.help_requested()) {
    if (LaunchedRank() == 0) PrintResult(options.Help());
    return 0;
  }
  for (const double megabytes : bench.megabytes) {
    if (!(megabytes > 0 && megabytes <= 8000)) {
      throw ConfigError("--megabytes: a size of " + FormatG(megabytes) + ", wanted up to 8000");
    }
  }
  if (LaunchedRanks() < 2) {
    throw ConfigError("one rank has nobody to sum with; run mpirun -np 2 lockstep bench allreduce");
  }
  const std::string host = HostKey();
  const std::unique_ptr<Communicator> mpi = MakeMpiWorld(host);
  std::unique_ptr<Communicator> ranks = mpi->Split(0, mpi->rank());
  if (bench.communicator == "auto") ranks = MakeLayered(std::move(ranks), host, mpi->rank());
  std::string table = std::to_string(ranks->size()) + " ranks, " + ranks->name() +
                      ", float32 sums, bus GB/s: 2 (n - 1) / n x bytes / time\n"
                      "      MB   in place      plain        MPI   / MPI, / MPI, plain\n";
  AllreduceBench run(*ranks, bench);
  for (const double megabytes : bench.megabytes) table += run.Row(megabytes);
  if (mpi->rank() == 0) PrintResult(table);
  return 0;
}

}  // namespace lockstep::tools
