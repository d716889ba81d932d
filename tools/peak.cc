#include "tools/peak.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <limits>

#include "engine/tensor/device_memory.h"

namespace lockstep::tools {
namespace {

// Of one call, of several that are begun one behind the other.
template <typename Work>
double BestSeconds(Backend& backend, const Work& work) {
  constexpr int kRounds = 5;
  // The first also touches the memory; what it took says how many calls hide how they are begun.
  double best = std::numeric_limits<double>::infinity();
  int calls = 1;
  for (int i = 0; i <= kRounds; ++i) {
    backend.Synchronize();
    const auto start = std::chrono::steady_clock::now();
    for (int call = 0; call < calls; ++call) work();
    backend.Synchronize();
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
    if (i > 0) best = std::min(best, took.count() / calls);
    if (i == 0 && took.count() < 5e-3) calls = 10;
  }
  return best;
}

DeviceMemory Numbers(Backend& backend, int64_t floats) {
  DeviceMemory memory =
      AllocateOn(backend, static_cast<size_t>(floats) * sizeof(float), "measuring a peak");
  backend.random().FillUniform(DType::kFloat32, 1, 0, 1, floats, memory.get());
  return memory;
}

double ProductGigaflops(Backend& backend, int64_t side) {
  const DeviceMemory a = Numbers(backend, side * side), b = Numbers(backend, side * side);
  const DeviceMemory c = Numbers(backend, side * side);
  const double seconds = BestSeconds(backend, [&] {
    backend.gemm().Gemm(DType::kFloat32, {.m = side,
                                          .n = side,
                                          .k = side,
                                          .a = a.get(),
                                          .lda = side,
                                          .b = b.get(),
                                          .ldb = side,
                                          .c = c.get(),
                                          .ldc = side});
  });
  return 2.0 * std::pow(static_cast<double>(side), 3) / seconds * 1e-9;
}

}  // namespace

MachinePeak MeasurePeak(Backend& backend) {
  // What keeps a CPU busy is too little for a GPU, whose caches hold more, too.
  const int64_t side = backend.shares_host_memory() ? 1536 : 8192;
  const int64_t floats = backend.shares_host_memory() ? int64_t{1} << 24 : int64_t{1} << 27;
  const double product = ProductGigaflops(backend, side);
  const DeviceMemory a = Numbers(backend, floats), b = Numbers(backend, floats);
  const DeviceMemory c = Numbers(backend, floats);
  const double sum = BestSeconds(backend, [&] {
    backend.elementwise().Add(DType::kFloat32, floats, a.get(), b.get(), c.get());
  });
  const double copy = BestSeconds(backend, [&] {
    backend.Copy(a.get(), c.get(), static_cast<size_t>(floats) * sizeof(float));
  });
  const double gigabytes = 4e-9 * static_cast<double>(floats);
  return {.gflops = product, .gigabytes = std::max(3.0 * gigabytes / sum, 2.0 * gigabytes / copy)};
}

std::string PlanTable(const Plan& plan, const std::vector<double>& seconds, double runs,
                      const MachinePeak& peak) {
  char line[320];
  std::snprintf(line, sizeof line, "measured peak: %.0f GFLOP/s, %.1f GB/s\n", peak.gflops,
                peak.gigabytes);
  std::string text = line;
  std::snprintf(line, sizeof line, "line %-27s %-18s %7s %8s %6s %7s %6s\n", "kind", "algorithm",
                "ms", "GFLOP/s", "share", "GB/s", "share");
  text += line;
  double total = 0.0;
  for (size_t i = 0; i < plan.lines(); ++i) {
    const double s = seconds[i] / runs;
    total += s;
    const double gflops = plan.line(i).flops() / s * 1e-9;
    const double gigabytes = static_cast<double>(plan.LineBytes(i)) / s * 1e-9;
    const std::string value =
        plan.line(i).outputs.empty() ? "" : plan.ValueText(plan.line(i).outputs[0]);
    std::snprintf(line, sizeof line, "%4zu %-27s %-18s %7.3f %8.1f %5.0f%% %7.1f %5.0f%%  %s\n", i,
                  plan.line(i).kind().c_str(), plan.line(i).algorithm().c_str(), s * 1e3, gflops,
                  100.0 * gflops / peak.gflops, gigabytes, 100.0 * gigabytes / peak.gigabytes,
                  value.c_str());
    text += line;
  }
  std::snprintf(line, sizeof line, "all lines   %9.3f ms %8.1f GFLOP/s\n", total * 1e3,
                plan.flops() / total * 1e-9);
  return text + line;
}

}  // namespace lockstep::tools
