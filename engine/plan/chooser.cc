#include "engine/plan/chooser.h"

#include <algorithm>
#include <charconv>
#include <chrono>
#include <exception>
#include <limits>
#include <sstream>
#include <utility>

#include "engine/tensor/device_memory.h"
#include "engine/text.h"
#include "kernels/unavailable.h"

namespace lockstep {
namespace {

constexpr int kTimings = 3;  // the fastest counts: other processes only ever slow a run down

std::string Pair(int64_t a, int64_t b) { return Text(a) + "x" + Text(b); }

// A key without batch size, pass and layouts: "float32 c3 32x32 k64 3x3 s1x1 p1x1 d1x1 g1".
std::string ConvolutionOf(const std::string& key) {
  std::istringstream words(key);
  std::string word, convolution;
  for (int i = 0; i < 10 && words >> word; ++i) {
    if (i != 1) convolution += word + " ";
  }
  return convolution;
}

// Numbers as they come: with other zeros than there will be, or denormals, kernels would run at
// another speed. Of `sparsity` numbers one is not zero.
void FillOrdinary(Backend& backend, DType dtype, int64_t sparsity, int64_t size, void* x) {
  constexpr uint64_t kKey = 1;
  const DType wide = AccumulatorOf(dtype);
  const auto fill = [&](void* to) {
    if (sparsity == 1) return backend.random().FillUniform(wide, kKey, -1, 1, size, to);
    backend.random().FillUniform(wide, kKey, static_cast<double>(1 - sparsity), 1, size, to);
    backend.elementwise().ActivationForward(wide, Activation::kRelu, 0, size, to, to);
  };
  if (wide == dtype) return fill(x);
  const DeviceMemory numbers = AllocateOn(backend, static_cast<size_t>(size) * SizeOf(wide),
                                          "trying convolution algorithms");
  fill(numbers.get());
  backend.elementwise().Cast(wide, dtype, size, numbers.get(), x);
}

// Sections of a file that are kept for other devices and numbers of threads.
constexpr size_t kMostOthers = 15;

struct Sections {
  std::vector<std::string> own;     // lines
  std::vector<std::string> others;  // each with its header
};

// Sections are parted by empty lines; the first line of each is its header.
Sections SectionsOf(const std::string& text, const std::string& fingerprint) {
  Sections sections;
  std::istringstream lines(text);
  bool header = true, own = false;
  for (std::string line; std::getline(lines, line);) {
    if (header) {
      own = line == fingerprint;
      header = false;
      if (!own) sections.others.push_back(line + "\n");
    } else if (line.empty()) {
      header = true;
    } else if (own) {
      sections.own.push_back(line);
    } else {
      sections.others.back() += line + "\n";
    }
  }
  return sections;
}

}  // namespace

std::string ConvCase::Key() const {
  static constexpr const char* kPasses[] = {"forward", "backward_data", "backward_weights"};
  const ConvShape& s = shape;
  return std::string(Name(s.dtype)) + " n" + Text(s.n) + " c" + Text(s.c) + " " + Pair(s.h, s.w) +
         " k" + Text(s.k) + " " + Pair(s.kh, s.kw) + " s" + Pair(s.stride_h, s.stride_w) + " p" +
         Pair(s.pad_h, s.pad_w) + " d" + Pair(s.dilation_h, s.dilation_w) + " g" + Text(s.groups) +
         " " + kPasses[static_cast<int>(pass)] + " " + Text(x_layout.block) + " " +
         Text(y_layout.block) + (s.dy_sparsity > 1 ? " dy 1/" + Text(s.dy_sparsity) : "");
}

void AlgorithmCache::Parse(const std::string& text) {
  const Sections sections = SectionsOf(text, fingerprint_);
  others_ = sections.others;
  for (const std::string& line : sections.own) ParseLine(line, false);
}

void AlgorithmCache::ParseUsed(const std::string& text) {
  for (const std::string& line : SectionsOf(text, fingerprint_).own) ParseLine(line, true);
}

void AlgorithmCache::AddFrom(const std::string& text) {
  std::map<std::string, Choice> all = std::exchange(choices_, {});
  Parse(text);
  all.merge(choices_);
  choices_ = std::move(all);
}

void AlgorithmCache::ParseLine(const std::string& line, bool used) {
  const size_t first = line.find('\t');
  const size_t second = line.find('\t', first + 1);
  if (first == std::string::npos || second == std::string::npos) return;
  Choice choice{line.substr(first + 1, second - first - 1), 0.0};
  const char* end = line.data() + line.size();
  const auto number = std::from_chars(line.data() + second + 1, end, choice.seconds);
  if (number.ec != std::errc() || number.ptr != end) return;
  const std::string key = line.substr(0, first);
  choices_[key] = choice;
  if (used) MarkUsed(key);
}

// The last one that wrote comes first, so that those that have not written for long fall off.
std::string AlgorithmCache::ToString() const {
  std::string text = Lines(false);
  const size_t others = std::min(others_.size(), kMostOthers);
  for (size_t i = 0; i < others; ++i) text += "\n" + others_[i];
  return text;
}
std::string AlgorithmCache::UsedToString() const { return Lines(true); }

std::string AlgorithmCache::Lines(bool only_used) const {
  std::string text = fingerprint_ + "\n";
  for (const auto& [key, choice] : choices_) {
    if (only_used && !used_.contains(ConvolutionOf(key))) continue;
    text += key + "\t" + choice.algorithm + "\t" + Text(choice.seconds) + "\n";
  }
  return text;
}

void AlgorithmCache::MarkUsed(const std::string& key) { used_.insert(ConvolutionOf(key)); }

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
  cache_.MarkUsed(key);
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
  std::exception_ptr failure;
  for (const std::string& algorithm : algorithms) {
    // The plain loops are there for what nothing else can run.
    if (algorithm == "reference" && algorithms.size() > 1) continue;
    try {
      const double seconds = Time(problem, algorithm, best.seconds);
      if (seconds < best.seconds) best = {algorithm, seconds};
    } catch (const UnavailableError&) {  // it may want more memory than others
      if (!failure) failure = std::current_exception();
    }
  }
  if (failure && best.seconds == std::numeric_limits<double>::infinity()) {
    std::rethrow_exception(failure);
  }
  return best;
}

double AlgorithmChooser::Time(const ConvCase& problem, const std::string& algorithm, double limit) {
  const ConvShape& s = problem.shape;
  const auto element = static_cast<int64_t>(SizeOf(s.dtype));
  const int64_t weights_size = s.k * (s.c / s.groups) * s.kh * s.kw;
  const auto kernel =
      backend_.conv().Make(s, problem.pass, algorithm, problem.x_layout, problem.y_layout);
  const auto allocate = [&](auto bytes) {
    return AllocateOn(backend_, static_cast<size_t>(bytes), "trying convolution algorithms");
  };
  const DeviceMemory x = allocate(s.n * s.c * s.h * s.w * element);
  const DeviceMemory y = allocate(s.n * s.k * s.out_h() * s.out_w() * element);
  const DeviceMemory weights = allocate(weights_size * element);
  // Gradients of weights are float32 at least.
  const DeviceMemory dw = allocate(weights_size * std::max<int64_t>(element, sizeof(float)));
  const DeviceMemory prepared = allocate(kernel->prepared_bytes());
  const DeviceMemory scratch = allocate(kernel->scratch_bytes());
  FillOrdinary(backend_, s.dtype, 1, s.n * s.c * s.h * s.w, x.get());
  FillOrdinary(backend_, s.dtype, s.dy_sparsity, s.n * s.k * s.out_h() * s.out_w(), y.get());
  FillOrdinary(backend_, s.dtype, 1, weights_size, weights.get());

  double best = std::numeric_limits<double>::infinity();
  for (int i = 0; i < kTimings + 1; ++i) {
    backend_.Synchronize();
    const auto start = std::chrono::steady_clock::now();
    const void* used = weights.get();
    if (problem.pass != ConvPass::kBackwardWeights && kernel->prepared_bytes() > 0) {
      kernel->PrepareWeights(weights.get(), prepared.get());
      used = prepared.get();
    }
    kernel->Run(
        {.x = x.get(), .y = y.get(), .weights = used, .dw = dw.get(), .scratch = scratch.get()});
    backend_.Synchronize();
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
    if (i > 0) best = std::min(best, seconds.count());  // the first run also touches the memory
    if (seconds.count() > 3 * limit) break;
  }
  return best;
}

}  // namespace lockstep
