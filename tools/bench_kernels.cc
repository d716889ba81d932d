// `lockstep bench kernels`: what single kernels take on a device, beside what it can do at best.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "comm/world.h"
#include "engine/text.h"
#include "kernels/error.h"
#include "tools/bench.h"
#include "tools/console.h"
#include "tools/device.h"
#include "tools/kernel_works.h"
#include "tools/limits.h"
#include "tools/options.h"
#include "tools/peak.h"
#include "tools/text.h"
#include "tools/verbs.h"

namespace lockstep::tools {
namespace {

constexpr int kRounds = 9;
// A GPU's queue takes about a thousand launches before the next one waits for its turn, which would
// count as the time to launch it; some calls are several.
constexpr double kMostCalls = 250.0;

struct KernelsOptions {
  std::string device = kDefaultDevice;
  std::string only;
  int64_t threads = 0;
  double seconds = 0.1;
  bool json = false;
  KernelSizes sizes;
};

struct KernelTimes {
  int64_t calls = 0;     // one behind the other in a round
  double seconds = 0.0;  // of a call: the median round
  double least = 0.0;    // the fastest round
  // Until a call returns whose work is only begun; none where it is done then.
  std::optional<double> launch = {};
};

// Of calls made by `run`, which returns when they are begun.
class KernelTimer {
 public:
  // `backend` must outlive this; `seconds` are spent on each kernel.
  KernelTimer(Backend& backend, double seconds) : backend_(backend), seconds_(seconds) {}

  KernelTimes Time(const std::function<void()>& run) {
    Seconds(run, 1);  // touches the memory, loads the kernel
    const double once = std::min(Seconds(run, 1).done, Seconds(run, 1).done);
    KernelTimes times;
    const double calls = seconds_ / kRounds / std::max(once, 1e-9);
    times.calls = static_cast<int64_t>(std::clamp(calls, 1.0, kMostCalls));
    std::vector<double> done, begun;
    done.reserve(kRounds);
    begun.reserve(kRounds);
    for (int round = 0; round < kRounds; ++round) {
      const Spent spent = Seconds(run, times.calls);
      done.push_back(spent.done / static_cast<double>(times.calls));
      begun.push_back(spent.begun / static_cast<double>(times.calls));
    }
    times.least = *std::min_element(done.begin(), done.end());
    times.seconds = Median(&done);
    if (!backend_.shares_host_memory()) times.launch = Median(&begun);
    return times;
  }

 private:
  struct Spent {
    double begun = 0.0, done = 0.0;
  };

  Spent Seconds(const std::function<void()>& run, int64_t calls) {
    using Clock = std::chrono::steady_clock;
    backend_.Synchronize();
    const auto start = Clock::now();
    for (int64_t i = 0; i < calls; ++i) run();
    const std::chrono::duration<double> begun = Clock::now() - start;
    backend_.Synchronize();
    const std::chrono::duration<double> done = Clock::now() - start;
    return {begun.count(), done.count()};
  }

  static double Median(std::vector<double>* values) {
    const auto middle = values->begin() + kRounds / 2;
    std::nth_element(values->begin(), middle, values->end());
    return *middle;
  }

  Backend& backend_;
  const double seconds_;
};

// One kernel's figures.
struct KernelRow {
  KernelRow(std::string family_name, const KernelWork& work, const KernelTimes& times,
            const MachinePeak& peak)
      : family(std::move(family_name)),
        kernel(work.kernel),
        shape(work.shape),
        algorithm(work.algorithm),
        times(times),
        gflops(work.flops / times.seconds * 1e-9),
        gigabytes(work.bytes / times.seconds * 1e-9),
        arithmetic(gflops / peak.gflops > gigabytes / peak.gigabytes),
        share(std::max(gflops / peak.gflops, gigabytes / peak.gigabytes)) {}

  std::string family, kernel, shape, algorithm;
  KernelTimes times;
  double gflops, gigabytes;  // per second
  bool arithmetic;           // is what would limit it at the device's peaks; else memory
  double share;              // of that peak
};

std::string TableHead(const KernelsOptions& options, const Backend& backend,
                      const MachinePeak& peak) {
  char text[512];
  std::snprintf(text, sizeof text,
                "%s, %s: float32, batch %lld, arrays of %s MB\n"
                "measured peak: %.1f GFLOP/s of a product, %.1f GB/s of a copy or sum\n"
                "family      kernel             shape                      algorithm        "
                "        ms    GFLOP/s     GB/s  share of peak  launch us\n",
                backend.fingerprint().c_str(), Counted(backend.threads(), "thread").c_str(),
                static_cast<long long>(options.sizes.batch_size),
                FormatG(options.sizes.megabytes).c_str(), peak.gflops, peak.gigabytes);
  return text;
}

std::string TableRow(const KernelRow& row) {
  char gflops[32] = "-", launch[32] = "-", text[320];
  if (row.gflops > 0) std::snprintf(gflops, sizeof gflops, "%.1f", row.gflops);
  if (row.times.launch) std::snprintf(launch, sizeof launch, "%.2f", *row.times.launch * 1e6);
  std::snprintf(text, sizeof text, "%-11s %-18s %-26s %-16s %10.4f %10s %8.1f %4.0f %% %-7s %10s\n",
                row.family.c_str(), row.kernel.c_str(), row.shape.c_str(), row.algorithm.c_str(),
                row.times.seconds * 1e3, gflops, row.gigabytes, 100.0 * row.share,
                row.arithmetic ? "GFLOP/s" : "GB/s", launch);
  return text;
}

using Json = nlohmann::ordered_json;

Json JsonRow(const KernelRow& row) {
  Json json = {{"family", row.family}, {"kernel", row.kernel}, {"shape", row.shape}};
  if (!row.algorithm.empty()) json["algorithm"] = row.algorithm;
  json["calls"] = row.times.calls;
  json["median_ms"] = row.times.seconds * 1e3;
  json["min_ms"] = row.times.least * 1e3;
  json["launch_us"] = row.times.launch ? Json(*row.times.launch * 1e6) : Json();
  json["gflop_per_s"] = row.gflops;
  json["gb_per_s"] = row.gigabytes;
  json["limit"] = row.arithmetic ? "arithmetic" : "memory";
  json["share_of_peak"] = row.share;
  return json;
}

std::string JsonText(const KernelsOptions& options, const Backend& backend, const MachinePeak& peak,
                     const std::vector<KernelRow>& rows) {
  Json json = {{"engine", "lockstep"},
               {"device", backend.fingerprint()},
               {"threads", backend.threads()},
               {"dtype", "float32"},
               {"batch_size", options.sizes.batch_size},
               {"megabytes", options.sizes.megabytes},
               {"peak", {{"gflop_per_s", peak.gflops}, {"gb_per_s", peak.gigabytes}}},
               {"kernels", Json::array()}};
  for (const KernelRow& row : rows) json["kernels"].push_back(JsonRow(row));
  return json.dump(-1, ' ', true, Json::error_handler_t::replace) + "\n";
}

void Measure(const KernelsOptions& options, Backend& backend) {
  backend.Enter();
  const MachinePeak peak = MeasurePeak(backend);
  KernelTimer timer(backend, options.seconds);
  std::vector<KernelRow> rows;
  Console out(1);
  if (!options.json) out.Write(TableHead(options, backend, peak));
  for (const std::string& family : KernelFamilies()) {
    if (!options.only.empty() && options.only != family) continue;
    VisitKernelWorks(backend, family, options.sizes, [&](const KernelWork& work) {
      rows.emplace_back(family, work, timer.Time(work.run), peak);
      if (!options.json) out.Write(TableRow(rows.back()));
    });
  }
  if (options.json) out.Write(JsonText(options, backend, peak, rows));
  out.CheckWritten();
}

}  // namespace

int RunBenchKernels(std::span<const std::string> arguments) {
  KernelsOptions bench;
  Options options(
      "lockstep bench kernels",
      "Measures single kernels: those of VGG's and the MLP's layers, and large arrays.");
  AddDeviceOption(options, &bench.device);
  options.Add("only", &bench.only, "one family of kernels")
      .OneOf(KernelFamilies())
      .ValueName("FAMILY")
      .DefaultText("all of them");
  options.Add("json", &bench.json, "print one JSON object");
  options.Add("threads", &bench.threads, "kernel threads; 0: one a core").Min(0).Max(1024);
  options.Add("batch-size", &bench.sizes.batch_size, "samples that layers get").Min(1).Max(1e6);
  options.Add("megabytes", &bench.sizes.megabytes, "of 10^6 bytes: of each of the large arrays")
      .Min(0.01)
      .Max(8000);
  options.Add("seconds", &bench.seconds, "to spend on each kernel").Above(0).Max(60);
  options.RefuseUnknown();
  options.Parse(arguments);
  if (options.help_requested()) {
    if (LaunchedRank() == 0) PrintResult(options.Help());
    return 0;
  }
  RequireOneProcess("bench kernels");
  RequireLimits(1, bench.threads);
  const std::unique_ptr<Backend> backend =
      OpenDevice({.device = bench.device}, static_cast<int>(bench.threads)).backend;
  Measure(bench, *backend);
  return 0;
}

}  // namespace lockstep::tools
