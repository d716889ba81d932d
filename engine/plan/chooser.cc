#include "engine/plan/chooser.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <limits>
#include <sstream>

namespace lockstep {
namespace {

constexpr int kTimings = 3;  // the fastest counts: other processes only ever slow a run down

class DeviceBuffer {
 public:
  DeviceBuffer(Backend& backend, int64_t bytes)
      : backend_(backend),
        data_(backend.Allocate(static_cast<size_t>(std::max<int64_t>(bytes, 1)),
                               "trying convolution algorithms")) {}
  ~DeviceBuffer() { backend_.Free(data_); }
  DeviceBuffer(const DeviceBuffer&) = delete;
  DeviceBuffer& operator=(const DeviceBuffer&) = delete;
  void* get() const { return data_; }

 private:
  Backend& backend_;
  void* data_;
};

std::string Pair(int64_t a, int64_t b) { return std::to_string(a) + "x" + std::to_string(b); }

}  // namespace

std::string ConvCase::Key() const {
  static constexpr const char* kPasses[] = {"forward", "backward_data", "backward_weights"};
  std::ostringstream key;
  key << Name(shape.dtype) << " n" << shape.n << " c" << shape.c << " " << Pair(shape.h, shape.w)
      << " k" << shape.k << " " << Pair(shape.kh, shape.kw) << " s"
      << Pair(shape.stride_h, shape.stride_w) << " p" << Pair(shape.pad_h, shape.pad_w) << " d"
      << Pair(shape.dilation_h, shape.dilation_w) << " g" << shape.groups << " "
      << kPasses[static_cast<int>(pass)] << " " << x_layout.block << " " << y_layout.block;
  return key.str();
}

void AlgorithmCache::Parse(const std::string& text) {
  std::istringstream lines(text);
  std::string line;
  if (!std::getline(lines, line) || line != fingerprint_) return;
  while (std::getline(lines, line)) {
    const size_t first = line.find('\t');
    const size_t second = line.find('\t', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    std::istringstream number(line.substr(second + 1));
    Choice choice{line.substr(first + 1, second - first - 1), 0.0};
    if (number >> choice.seconds) choices_[line.substr(0, first)] = choice;
  }
}

std::string AlgorithmCache::ToString() const {
  std::ostringstream text;
  text << fingerprint_ << "\n";
  for (const auto& [key, choice] : choices_) {
    text << key << "\t" << choice.algorithm << "\t" << choice.seconds << "\n";
  }
  return text.str();
}

const AlgorithmCache::Choice* AlgorithmCache::Find(const std::string& key) const {
  const auto found = choices_.find(key);
  return found == choices_.end() ? nullptr : &found->second;
}

void AlgorithmCache::Insert(const std::string& key, Choice choice) {
  choices_[key] = std::move(choice);
  changed_ = true;
}

AlgorithmCache::Choice AlgorithmChooser::Find(const ConvCase& problem) {
  const auto algorithms = backend_.conv().Algorithms(problem.shape, problem.pass, problem.x_layout,
                                                     problem.y_layout, options_.exact);
  if (options_.fixed) return {algorithms.front(), 0.0};
  const std::string key = problem.Key() + (options_.exact ? " exact" : "");
  const AlgorithmCache::Choice* known = cache_.Find(key);
  // A remembered name that this build does not offer is chosen anew.
  if (known != nullptr &&
      std::find(algorithms.begin(), algorithms.end(), known->algorithm) != algorithms.end()) {
    return *known;
  }
  if (options_.should_hurry && options_.should_hurry()) return {algorithms.front(), 0.0};
  AlgorithmCache::Choice choice = Measure(problem, algorithms);
  cache_.Insert(key, choice);
  return choice;
}

AlgorithmCache::Choice AlgorithmChooser::Measure(const ConvCase& problem,
                                                 const std::vector<std::string>& algorithms) {
  AlgorithmCache::Choice best{algorithms.front(), std::numeric_limits<double>::infinity()};
  for (const std::string& algorithm : algorithms) {
    // The plain loops are there for what nothing else can run.
    if (algorithm == "reference" && algorithms.size() > 1) continue;
    const double seconds = Time(problem, algorithm, best.seconds);
    if (seconds < best.seconds) best = {algorithm, seconds};
  }
  return best;
}

double AlgorithmChooser::Time(const ConvCase& problem, const std::string& algorithm, double limit) {
  const ConvShape& s = problem.shape;
  const auto element = static_cast<int64_t>(SizeOf(s.dtype));
  const int64_t weight_bytes = s.k * (s.c / s.groups) * s.kh * s.kw * element;
  const auto kernel =
      backend_.conv().Make(s, problem.pass, algorithm, problem.x_layout, problem.y_layout);
  const DeviceBuffer x(backend_, s.n * s.c * s.h * s.w * element);
  const DeviceBuffer y(backend_, s.n * s.k * s.out_h() * s.out_w() * element);
  const DeviceBuffer weights(backend_, weight_bytes);
  const DeviceBuffer prepared(backend_, static_cast<int64_t>(kernel->prepared_bytes()));
  const DeviceBuffer scratch(backend_, static_cast<int64_t>(kernel->scratch_bytes()));
  const uint64_t key = 1;  // any ordinary numbers: zeros or denormals would run at another speed
  RandomKernels& random = backend_.random();
  random.FillUniform(s.dtype, key, -1, 1, s.n * s.c * s.h * s.w, x.get());
  random.FillUniform(s.dtype, key, -1, 1, s.n * s.k * s.out_h() * s.out_w(), y.get());
  random.FillUniform(s.dtype, key, -1, 1, weight_bytes / element, weights.get());

  double best = std::numeric_limits<double>::infinity();
  for (int i = 0; i < kTimings + 1; ++i) {
    const auto start = std::chrono::steady_clock::now();
    const void* used = weights.get();
    if (problem.pass != ConvPass::kBackwardWeights && kernel->prepared_bytes() > 0) {
      kernel->PrepareWeights(weights.get(), prepared.get());
      used = prepared.get();
    }
    kernel->Run({.x = x.get(),
                 .y = y.get(),
                 .weights = used,
                 .dw = weights.get(),
                 .scratch = scratch.get()});
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
    if (i > 0) best = std::min(best, seconds.count());  // the first run also touches the memory
    if (seconds.count() > 3 * limit) break;
  }
  return best;
}

}  // namespace lockstep
