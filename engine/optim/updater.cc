#include "engine/optim/updater.h"

#include <algorithm>
#include <cmath>

#include "engine/tensor/host_array.h"
#include "kernels/error.h"

namespace lockstep {
namespace {

char* At(void* base, int64_t element, DType dtype) {
  return static_cast<char*>(base) + element * static_cast<int64_t>(SizeOf(dtype));
}

}  // namespace

Updater::Updater(Variables& variables, Backend& backend, std::unique_ptr<Optimizer> optimizer,
                 UpdateHooks hooks)
    : variables_(variables),
      backend_(backend),
      optimizer_(std::move(optimizer)),
      hooks_(hooks),
      numbers_(AllocateOn(backend, sizeof(UpdateNumbers), "numbers of an update")) {
  const auto bytes = static_cast<size_t>(variables.flat_size()) * SizeOf(variables.dtype());
  for (const std::string& state : optimizer_->state_names()) {
    states_.push_back(AllocateOn(backend, bytes, "optimizer state " + state));
    backend.Clear(states_.back().get(), bytes);
  }
  ranges_ = RangesWithout({});
}

// Entries follow each other in memory; the padding between two trained ones is zero and stays so.
std::vector<Updater::Range> Updater::RangesWithout(const std::vector<int>& left_out) const {
  std::vector<Range> ranges;
  bool open = false;
  for (const Variables::Entry& entry : variables_.entries()) {
    if (entry.role != Role::kParameter) continue;
    const bool there = entry.trained && std::find(left_out.begin(), left_out.end(),
                                                  entry.graph_value) == left_out.end();
    if (there && !open) ranges.push_back({entry.offset, 0});
    if (there) ranges.back().end = entry.offset + entry.type.shape.size();
    open = there;
  }
  return ranges;
}

BackwardUpdates* Updater::UpdatesInBackward(double learning_rate) {
  BreakOff();  // nobody ended the step before
  if (!TakesParts()) return nullptr;
  in_backward_.learning_rate = learning_rate;
  return &in_backward_;
}

void Updater::BreakOff() {
  if (in_backward_.count > 0) --updates_;
  in_backward_.End();
}

void Updater::set_updates(int64_t updates) {
  in_backward_.End();
  updates_ = updates;
}

void Updater::InBackward::End() {
  count = 0;
  updated.clear();
}

bool Updater::InBackward::Begin(const LossSums& sums) {
  if (sums.count == 0 || !std::isfinite(sums.loss)) return false;
  UpdateNumbers* const numbers = updater_.Begin(learning_rate, sums.count);
  count = sums.count;
  updater_.backend_.optimizer().Prepare(0.0, numbers);
  return true;
}

ProductUpdate Updater::InBackward::UpdateOf(int graph_value) {
  updater_.half_done_ = true;
  updated.push_back(graph_value);
  const int64_t offset = updater_.variables_.at(graph_value).offset;
  return {.args = updater_.Arguments(),
          .numbers = static_cast<const UpdateNumbers*>(updater_.numbers_.get()),
          .p = At(updater_.variables_.parameters(), offset, updater_.variables_.dtype()),
          .s0 = updater_.StateAt(0, offset),
          .s1 = updater_.StateAt(1, offset)};
}

void Updater::EndInBackward(int64_t count, double learning_rate) {
  if (count != in_backward_.count || learning_rate != in_backward_.learning_rate) {
    throw Error(ExitCode::kBug, "an update ends with another count or rate than it began with");
  }
  half_done_ = true;
  UpdateRanges(in_backward_.updated.empty() ? ranges_ : RangesWithout(in_backward_.updated));
  in_backward_.End();
  half_done_ = false;
}

bool Updater::TakesParts() const {
  return hooks_.gradient_clipping == 0.0 && variables_.loss_scale() == nullptr &&
         backend_.shares_host_memory();
}

void Updater::Update(int64_t count, double learning_rate, std::span<const GradientPart> parts) {
  if (in_backward_.count > 0) {
    EndInBackward(count, learning_rate);
  } else if (count > 0) {
    if (!parts.empty()) RequireAll(parts);
    Begin(learning_rate, count);
    parts.empty() ? Apply() : UpdateParts(parts);
    if (variables_.loss_scale() != nullptr && WasSkipped()) --updates_;
  }
}

bool Updater::WasSkipped() const {
  UpdateNumbers numbers;
  backend_.Download(numbers_.get(), &numbers, sizeof numbers);
  return numbers.skipped != 0;
}

UpdateNumbers* Updater::Begin(double learning_rate) { return Begin(learning_rate, 0); }

UpdateNumbers* Updater::Begin(double learning_rate, int64_t count) {
  const UpdateNumbers given{.lr = optimizer_->StepSize(updates_ + 1, learning_rate),
                            .count = count};
  backend_.Upload(&given, numbers_.get(), sizeof given);
  ++updates_;
  return static_cast<UpdateNumbers*>(numbers_.get());
}

void Updater::Apply() {
  half_done_ = true;
  auto* const numbers = static_cast<UpdateNumbers*>(numbers_.get());
  const DType dtype = variables_.dtype();
  LossScale* const loss_scale = variables_.loss_scale();
  if (hooks_.gradient_clipping > 0.0 || loss_scale != nullptr) {
    for (const Range& range : ranges_) {
      backend_.reduce().AddSquares(dtype, range.end - range.begin,
                                   At(variables_.gradients(), range.begin, dtype),
                                   &numbers->squares);
    }
  }
  if (loss_scale != nullptr) {
    backend_.optimizer().FollowOverflow(variables_.loss_scaling(), numbers, loss_scale);
  }
  backend_.optimizer().Prepare(hooks_.gradient_clipping, numbers);
  UpdateRanges(ranges_);
  half_done_ = false;
}

UpdateArgs Updater::Arguments() const {
  UpdateArgs args = optimizer_->Arguments();
  args.weight_decay = hooks_.weight_decay;
  return args;
}

void* Updater::StateAt(size_t state, int64_t offset) const {
  return state < states_.size() ? At(states_[state].get(), offset, variables_.dtype()) : nullptr;
}

void Updater::UpdateRanges(const std::vector<Range>& ranges) {
  for (const Range& range : ranges) {
    UpdateRange(range, At(variables_.gradients(), range.begin, variables_.dtype()));
  }
}

void Updater::RequireAll(std::span<const GradientPart> parts) const {
  int64_t end = 0;
  bool adjoin = TakesParts();
  for (const GradientPart& part : parts) {
    adjoin = adjoin && part.begin == end && part.end >= end;
    end = part.end;
  }
  if (!adjoin || end != variables_.flat_size()) {
    throw Error(ExitCode::kBug, "parts of gradients that are not all of them");
  }
}

void Updater::UpdateParts(std::span<const GradientPart> parts) {
  half_done_ = true;
  backend_.optimizer().Prepare(0.0, static_cast<UpdateNumbers*>(numbers_.get()));
  size_t first = 0;  // part that ends behind the range's beginning
  for (const Range& range : ranges_) {
    while (parts[first].end <= range.begin) ++first;
    for (size_t i = first; i < parts.size() && parts[i].begin < range.end; ++i) {
      const Range both{std::max(range.begin, parts[i].begin), std::min(range.end, parts[i].end)};
      UpdateRange(both, static_cast<const char*>(parts[i].data) +
                            (both.begin - parts[i].begin) *
                                static_cast<int64_t>(SizeOf(variables_.dtype())));
    }
  }
  half_done_ = false;
}

void Updater::UpdateRange(Range range, const void* gradients) {
  backend_.optimizer().Update(
      variables_.dtype(), Arguments(), static_cast<const UpdateNumbers*>(numbers_.get()),
      range.end - range.begin, At(variables_.parameters(), range.begin, variables_.dtype()),
      gradients, StateAt(0, range.begin), StateAt(1, range.begin));
}

void* Updater::StatePointer(const std::string& parameter, const std::string& state) const {
  const std::vector<std::string> names = optimizer_->state_names();
  const auto found = std::find(names.begin(), names.end(), state);
  if (found == names.end()) {
    throw ConfigError(optimizer_->name() + " keeps no array named " + state);
  }
  return At(states_[static_cast<size_t>(found - names.begin())].get(),
            variables_.Find(parameter).offset, variables_.dtype());
}

Tensor Updater::StateView(const std::string& parameter, const std::string& state) const {
  const Variables::Entry& entry = variables_.Find(parameter);
  return ViewOnHost(backend_, entry.type, StatePointer(parameter, state));
}

Tensor Updater::GetState(const std::string& parameter, const std::string& state) const {
  return CopyToHost(backend_, variables_.Find(parameter).type, StatePointer(parameter, state));
}

void Updater::SetState(const std::string& parameter, const std::string& state,
                       const Tensor& value) {
  const Variables::Entry& entry = variables_.Find(parameter);
  if (!(value.shape() == entry.type.shape)) {
    throw ShapeError("optimizer state " + parameter + "/" + state + " has shape " +
                     value.shape().ToString() + "; the network wants " +
                     entry.type.shape.ToString());
  }
  const Tensor cast = value.Cast(entry.type.dtype);
  backend_.Upload(cast.data(), StatePointer(parameter, state), cast.bytes());
}

}  // namespace lockstep
