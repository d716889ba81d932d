#include "tools/peak.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <limits>

namespace lockstep::tools {
namespace {

template <typename Work>
double BestSeconds(const Work& work) {
  double best = std::numeric_limits<double>::infinity();
  for (int i = 0; i < 5; ++i) {
    const auto start = std::chrono::steady_clock::now();
    work();
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
    best = std::min(best, took.count());
  }
  return best;
}

class Buffer {
 public:
  Buffer(Backend& backend, int64_t floats)
      : backend_(backend),
        data_(backend.Allocate(static_cast<size_t>(floats) * sizeof(float), "measuring")) {
    backend.random().FillUniform(DType::kFloat32, 1, 0, 1, floats, data_);
  }
  ~Buffer() { backend_.Free(data_); }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  void* data() const { return data_; }

 private:
  Backend& backend_;
  void* data_;
};

}  // namespace

MachinePeak MeasurePeak(Backend& backend) {
  constexpr int64_t kSide = 1536;
  constexpr int64_t kLong = int64_t{1} << 24;  // 64 MB
  const Buffer a(backend, kLong), b(backend, kLong), c(backend, kLong);
  const double product = BestSeconds([&] {
    backend.gemm().Gemm(DType::kFloat32, {.m = kSide,
                                          .n = kSide,
                                          .k = kSide,
                                          .a = a.data(),
                                          .lda = kSide,
                                          .b = b.data(),
                                          .ldb = kSide,
                                          .c = c.data(),
                                          .ldc = kSide});
  });
  const double sum = BestSeconds(
      [&] { backend.elementwise().Add(DType::kFloat32, kLong, a.data(), b.data(), c.data()); });
  return {.gflops = 2.0 * kSide * kSide * kSide / product * 1e-9,
          .gigabytes = 3.0 * 4.0 * static_cast<double>(kLong) / sum * 1e-9};
}

std::string PlanTable(const Plan& plan, const std::vector<double>& seconds, double runs,
                      const MachinePeak& peak) {
  char line[320];
  std::snprintf(line, sizeof line, "measured peak: %.0f GFLOP/s, %.1f GB/s\n", peak.gflops,
                peak.gigabytes);
  std::string text = line;
  text += "line kind                   algorithm               ms  GFLOP/s  share    GB/s  share\n";
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
