// Adds the gradients of lanes so that the order of the lanes leaves no trace in the bits.
#ifndef LOCKSTEP_ENGINE_PLAN_GRADIENT_SUMS_H_
#define LOCKSTEP_ENGINE_PLAN_GRADIENT_SUMS_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "engine/plan/instruction.h"
#include "engine/plan/variables.h"

namespace lockstep {

// 64-bit fixed point, one exponent a parameter: an element is added as round(g * 2^exponent), and
// integer sums are exact in any order. The exponent comes from the largest element of the step
// before, with room to grow; an element that does not fit is not added but reported, and the step
// is run again with exponents from what was seen. Add() may be called from any thread.
class GradientSums {
 public:
  // Of a parameter before the first step.
  static constexpr int64_t kUnknownExponent = std::numeric_limits<int64_t>::min();

  // What other processes add to the same sums.
  class Others {
   public:
    virtual ~Others() = default;
    // This process, and how many there are.
    virtual int rank() const = 0;
    virtual int size() const = 0;
    // Every value becomes the largest that any process has.
    virtual void Largest(std::vector<double>* values) = 0;
    // Every value becomes the sum of all processes'. They lie in the host's memory, or in that of a
    // device that is reached and has done its work on them.
    virtual void Sum(int64_t* values, int64_t count) = 0;
    // The same of the host's memory, beside what follows, until FinishSums() has returned.
    virtual void StartSum(std::shared_ptr<int64_t> values, int64_t count) = 0;
    virtual void FinishSums() = 0;
    virtual bool Reaches(const Backend& device) const = 0;
    // Zeroed memory for what is summed.
    virtual std::shared_ptr<std::byte> Allocate(size_t bytes) = 0;
  };

  // `lanes`: how many times each parameter is added to at most, by all processes together. In the
  // host's memory sums travel in pieces of `bucket_bytes`, 0: in one. Variables, backend and others
  // must outlive this.
  GradientSums(const Variables& variables, Backend& backend, int lanes, Others* others = nullptr,
               size_t bucket_bytes = 0);

  // Nothing is added yet.
  void Begin();
  // Adds one lane's gradient of a parameter (elements of the variables' dtype, plain).
  void Add(int graph_value, const void* gradient);
  // All lanes of this process have added to the first `end` elements: whole pieces of them are on
  // their way to other processes, whatever will be found behind. Between the same collectives on
  // every process.
  void Ready(int64_t end);
  // Whether that sends anything.
  bool Sends(int64_t end) const;
  // Learns what the lanes of other processes met: behind all Add()s, before what follows.
  void Agree();
  // Adds their sums, but for pieces, which are sums by then; where nothing overflowed and all is
  // finite.
  void SumOverProcesses();
  // The first entry of Variables::entries() with a gradient that is not finite, or -1: nothing of
  // this step may be used then.
  int NotFinite() const;
  // The first process that added it.
  int RankOfNotFinite() const;
  // Whether an element was too large (or the exponents are not known yet): nothing of this step
  // may be used. The exponents then fit what was seen.
  bool Overflowed() const { return overflowed_.load(); }
  // Chooses the exponents of the next step; of this one again after an overflow.
  void UpdateExponents();
  // Converts the sums to Variables' gradients; zero where nothing was added.
  void Store() const;

  // By parameter, in the order of Variables::entries(); part of a training state.
  const std::vector<int64_t>& exponents() const { return exponents_; }
  void set_exponents(std::vector<int64_t> exponents) { exponents_ = std::move(exponents); }

 private:
  struct Slot {
    std::mutex mutex;
    double largest = 0.0;  // of the elements added in this step
    bool finite = true;
    int bad_rank = 0;    // whose is not
    bool added = false;  // sums hold something of this step
  };

  void ClearSums(size_t index);
  size_t sum_bytes() const { return static_cast<size_t>(variables_.flat_size()) * sizeof(int64_t); }
  int64_t* SumsAt(int64_t offset) const { return static_cast<int64_t*>(sums_.get()) + offset; }
  bool InPieces() const { return others_ != nullptr && backend_.shares_host_memory(); }
  // Where the next piece ends.
  int64_t NextEnd() const;
  int64_t* SumsOf(const Variables::Entry& entry) const { return SumsAt(entry.offset); }

  const Variables& variables_;
  Backend& backend_;
  int lane_bits_;
  Others* others_;
  int64_t bucket_;                      // elements
  std::shared_ptr<void> sums_;          // (flat_size) int64
  std::shared_ptr<std::byte> on_host_;  // where processes add them; null where they reach sums_
  std::vector<int64_t> exponents_;      // kUnknownExponent until the first step
  std::vector<std::unique_ptr<Slot>> slots_;
  std::vector<int> entry_of_;  // by graph value
  std::atomic<bool> overflowed_{false};
  int64_t ready_ = 0, sent_ = 0;  // elements of this step
};

// Hands a complete gradient to RunContext::gradient_sums.
class FoldGradient : public Instruction {
 public:
  FoldGradient(ValueId gradient, int graph_value)
      : Instruction({gradient}, {}), graph_value_(graph_value) {}
  std::string kind() const override { return "fold gradient"; }
  int folded() const override { return graph_value_; }
  void DescribeLayouts(LayoutGroups&) const override {}
  void Run(const RunContext& context) override {
    context.gradient_sums->Add(graph_value_, context.at(inputs[0]));
  }

 private:
  int graph_value_;
};

}  // namespace lockstep

#endif  // LOCKSTEP_ENGINE_PLAN_GRADIENT_SUMS_H_
