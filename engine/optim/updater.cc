#include "engine/optim/updater.h"

#include <algorithm>

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
  // Entries follow each other in memory; the padding between two trained ones is zero and stays so.
  bool open = false;
  for (const Variables::Entry& entry : variables.entries()) {
    if (entry.role != Role::kParameter) continue;
    if (entry.trained && !open) ranges_.push_back({entry.offset, 0});
    if (entry.trained) ranges_.back().end = entry.offset + entry.type.shape.size();
    open = entry.trained;
  }
}

void Updater::Update(int64_t count, double learning_rate) {
  if (count == 0) return;
  Begin(learning_rate, count);
  Apply();
  if (variables_.loss_scale() != nullptr && WasSkipped()) --updates_;
}

bool Updater::WasSkipped() const {
  UpdateNumbers numbers;
  backend_.Download(numbers_.get(), &numbers, sizeof numbers);
  return numbers.skipped != 0;
}

UpdateNumbers* Updater::Begin(double learning_rate) { return Begin(learning_rate, 0); }

UpdateNumbers* Updater::Begin(double learning_rate, int64_t count) {
  const UpdateNumbers given{.lr = optimizer_->StepSize(++updates_, learning_rate), .count = count};
  backend_.Upload(&given, numbers_.get(), sizeof given);
  return static_cast<UpdateNumbers*>(numbers_.get());
}

void Updater::Apply() {
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
  UpdateArgs args = optimizer_->Arguments();
  args.weight_decay = hooks_.weight_decay;
  for (const Range& range : ranges_) {
    const auto state = [&](size_t i) -> void* {
      return i < states_.size() ? At(states_[i].get(), range.begin, dtype) : nullptr;
    };
    backend_.optimizer().Update(dtype, args, numbers, range.end - range.begin,
                                At(variables_.parameters(), range.begin, dtype),
                                At(variables_.gradients(), range.begin, dtype), state(0), state(1));
  }
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
