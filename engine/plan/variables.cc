#include "engine/plan/variables.h"

#include <algorithm>

#include "engine/tensor/host_array.h"
#include "engine/tensor/zero_pages.h"
#include "kernels/error.h"

namespace lockstep {
Variables::Variables(const Graph& graph, Backend& backend, DType dtype,
                     const std::set<std::string>& frozen,
                     const std::function<std::shared_ptr<void>(size_t)>& gradient_memory)
    : backend_(backend), dtype_(dtype), entry_of_(graph.values().size(), -1) {
  // Values appear in the order of their first use, so the reverse is that of the gradients.
  for (size_t v = graph.values().size(); v-- > 0;) {
    const Graph::Value& value = graph.values()[v];
    if (value.role != Role::kParameter && value.role != Role::kState) continue;
    Entry entry{.name = value.name,
                .role = value.role,
                .type = value.type,
                .initializer = value.initializer,
                .graph_value = static_cast<int>(v),
                .trained = value.role == Role::kParameter && !frozen.contains(value.name)};
    if (IsFloating(entry.type.dtype)) entry.type.dtype = dtype;
    entry_of_[v] = static_cast<int>(entries_.size());
    entries_.push_back(std::move(entry));
  }
  for (const std::string& name : frozen) {
    if (Find(name).role != Role::kParameter) {
      throw ConfigError(name + " is no parameter that could be frozen");
    }
  }
  Allocate(gradient_memory);
}

void Variables::Allocate(const std::function<std::shared_ptr<void>(size_t)>& gradient_memory) {
  const auto element = static_cast<int64_t>(SizeOf(dtype_));
  int64_t parameter_bytes = 0, state_bytes = 0;
  for (const Entry& entry : entries_) {
    (entry.role == Role::kParameter ? parameter_bytes : state_bytes) += Padded(entry.type.bytes());
  }
  flat_size_ = parameter_bytes / element;
  state_bytes_ = static_cast<size_t>(state_bytes);
  const auto allocate = [&](int64_t bytes, const char* purpose) {
    DeviceMemory block = AllocateOn(backend_, static_cast<size_t>(bytes), purpose);
    backend_.Clear(block.get(), static_cast<size_t>(bytes));
    return block;
  };
  parameters_ = allocate(parameter_bytes, "parameters");
  const bool shared = backend_.shares_host_memory();
  std::shared_ptr<void> on_host;
  if (gradient_memory) on_host = gradient_memory(static_cast<size_t>(parameter_bytes));
  if (!shared) {
    gradients_ = allocate(parameter_bytes, "gradients");
    host_gradients_ = on_host;
  } else {
    // Of what is updated in the backward pass they are never written.
    gradients_ =
        on_host ? on_host : AllocateZeroPages(static_cast<size_t>(parameter_bytes), "gradients");
  }
  states_ = allocate(state_bytes, "running statistics");
  int64_t parameter_offset = 0, state_offset = 0;
  for (Entry& entry : entries_) {
    if (entry.role == Role::kParameter) {
      entry.offset = parameter_offset / element;
      entry.data = static_cast<char*>(parameters_.get()) + parameter_offset;
      entry.gradient = static_cast<char*>(gradients_.get()) + parameter_offset;
      parameter_offset += Padded(entry.type.bytes());
    } else {
      entry.data = static_cast<char*>(states_.get()) + state_offset;
      state_offset += Padded(entry.type.bytes());
    }
  }
}

void Variables::FetchGradients(int64_t begin, int64_t end) {
  if (!host_gradients_) return;
  const size_t element = SizeOf(dtype_), at = static_cast<size_t>(begin) * element;
  backend_.Download(static_cast<const char*>(gradients_.get()) + at,
                    static_cast<char*>(host_gradients_.get()) + at,
                    static_cast<size_t>(end - begin) * element);
}

void Variables::StoreGradients() {
  if (!host_gradients_) return;
  backend_.Upload(host_gradients_.get(), gradients_.get(),
                  static_cast<size_t>(flat_size_) * SizeOf(dtype_));
}

void Variables::ScaleLoss(const LossScaling& rule) {
  loss_scaling_ = rule;
  loss_scale_ = AllocateOn(backend_, sizeof(LossScale), "the loss scale");
  SetLossScale({});
}

LossScale Variables::GetLossScale() const {
  LossScale scale;
  backend_.Download(loss_scale_.get(), &scale, sizeof scale);
  return scale;
}

void Variables::SetLossScale(const LossScale& scale) {
  backend_.Upload(&scale, loss_scale_.get(), sizeof scale);
}

void Variables::Initialize(uint64_t seed) {
  for (const Entry& entry : entries_) {
    entry.initializer.Fill(backend_, entry.type.dtype, entry.type.shape, seed, entry.name,
                           entry.data);
  }
}

const Variables::Entry& Variables::at(int graph_value) const {
  return entries_[static_cast<size_t>(entry_of_[static_cast<size_t>(graph_value)])];
}

bool Variables::Contains(const std::string& name) const {
  return std::any_of(entries_.begin(), entries_.end(),
                     [&](const Entry& entry) { return entry.name == name; });
}

std::set<std::string> Variables::frozen() const {
  std::set<std::string> names;
  for (const Entry& entry : entries_) {
    if (entry.role == Role::kParameter && !entry.trained) names.insert(entry.name);
  }
  return names;
}

const Variables::Entry& Variables::Find(const std::string& name) const {
  const auto found = std::find_if(entries_.begin(), entries_.end(),
                                  [&](const Entry& entry) { return entry.name == name; });
  if (found == entries_.end()) throw ConfigError("the network has no array named " + name);
  return *found;
}

Tensor Variables::Get(const std::string& name) const {
  const Entry& entry = Find(name);
  return CopyToHost(backend_, entry.type, entry.data);
}

Tensor Variables::View(const Entry& entry) const {
  return ViewOnHost(backend_, entry.type, entry.data);
}

Tensor Variables::GetGradient(const std::string& name) const {
  const Entry& entry = Find(name);
  if (entry.gradient == nullptr) throw ConfigError(name + " is not trained and has no gradient");
  return CopyToHost(backend_, entry.type, entry.gradient);
}

void Variables::Set(const std::string& name, const Tensor& value) { Set(Find(name), value); }

void Variables::Set(const Entry& entry, const Tensor& value) {
  if (!(value.shape() == entry.type.shape)) {
    throw ShapeError(entry.name + " has shape " + value.shape().ToString() +
                     "; the network wants " + entry.type.shape.ToString());
  }
  const Tensor cast = value.Cast(entry.type.dtype);
  backend_.Upload(cast.data(), entry.data, cast.bytes());
}

}  // namespace lockstep
