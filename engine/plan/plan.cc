#include "engine/plan/plan.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <map>
#include <numeric>
#include <optional>
#include <utility>

#include "engine/plan/backward_updates.h"
#include "engine/plan/fusion.h"
#include "engine/plan/layouts.h"
#include "engine/tensor/host_array.h"
#include "kernels/error.h"

namespace lockstep {
Plan::Plan(const Graph& graph, Variables& variables, Backend& backend, Arena& arena,
           AlgorithmChooser& chooser, const PlanOptions& options)
    : graph_(graph),
      variables_(variables),
      backend_(backend),
      arena_(arena),
      options_(options),
      inputs_(graph.values().size(), nullptr),
      default_ids_(static_cast<size_t>(options.batch)) {
  std::iota(default_ids_.begin(), default_ids_.end(), 0);
  Compile(chooser);
}

Plan::~Plan() = default;

Lowering Plan::Lower() const {
  Lowering lowering(graph_, {.mode = options_.mode,
                             .dtype = variables_.dtype(),
                             .compute_dtype = options_.compute_dtype.value_or(variables_.dtype()),
                             .batch = options_.batch,
                             .input_gradients = options_.input_gradients,
                             .lane_norm = options_.lane_norm,
                             .fold_gradients = options_.fold_gradients,
                             .frozen = variables_.frozen(),
                             .loss_scale = variables_.loss_scale()});
  lowering.LowerAll();
  if (options_.fuse) Fuse(lowering, Kept(lowering), backend_);
  if (options_.backward_updates) FindBackwardUpdates(lowering, backend_.gemm());
  return lowering;
}

std::set<ValueId> Plan::Kept(const Lowering& lowering) const {
  std::set<ValueId> kept;
  // While training nobody asks for the output, and it may share its memory.
  const int result = options_.mode == Mode::kTrain ? -1 : graph_.output();
  if (result >= 0) kept.insert(lowering.value_of[static_cast<size_t>(result)]);
  for (const auto& [graph_value, gradient] : lowering.input_gradient_of) kept.insert(gradient);
  return kept;
}

// Layouts are chosen for the program as a whole: what counts is the sum over its convolutions.
int Plan::BestLayoutPolicy(AlgorithmChooser& chooser) const {
  if (chooser.fixed()) return 0;
  int best = 0;
  double best_seconds = 0.0;
  Lowering probe = Lower();
  const int policies = CountLayoutPolicies(probe, backend_.conv());
  if (policies == 1) return 0;
  for (int policy = 0; policy < policies; ++policy) {
    Lowering lowering = Lower();
    AssignLayouts(lowering, backend_.conv(), policy);
    double seconds = 0.0;
    for (const auto& instruction : lowering.instructions) {
      seconds += instruction->EstimateSeconds({backend_, lowering.values, chooser});
    }
    if (policy == 0 || seconds < best_seconds) {
      best = policy;
      best_seconds = seconds;
    }
  }
  return best;
}

void Plan::Compile(AlgorithmChooser& chooser) {
  const int policy = BestLayoutPolicy(chooser);
  Lowering lowering = Lower();
  AssignLayouts(lowering, backend_.conv(), policy);
  for (const auto& instruction : lowering.instructions) {
    instruction->Prepare({backend_, lowering.values, chooser});
  }
  memory_ = PlaceMemory(lowering.values, lowering.instructions, Kept(lowering));
  values_ = std::move(lowering.values);
  instructions_ = std::move(lowering.instructions);
  value_of_ = std::move(lowering.value_of);
  input_gradient_of_ = std::move(lowering.input_gradient_of);
  arena_.Reserve(static_cast<size_t>(memory_.bytes));
  first_backward_ = static_cast<size_t>(
      std::find_if(instructions_.begin(), instructions_.end(),
                   [](const auto& line) { return line->phase == Phase::kBackward; }) -
      instructions_.begin());
  MakeRunMemory();
  FindReadyLines();
}

void Plan::MakeRunMemory() {
  std::vector<int64_t> bytes(inputs_.size(), 0);
  for (const PlanValue& value : values_) {
    if (value.storage != Storage::kInput) continue;
    const auto id = static_cast<size_t>(value.graph_value);
    bytes[id] = value.type.bytes();
    read_inputs_.push_back(id);
  }
  run_memory_ = std::make_unique<RunMemory>(backend_, options_.batch, std::move(bytes));
}

// A gradient is final behind the last line that writes it; the block is final up to the first one
// that is not.
void Plan::FindReadyLines() {
  std::map<int64_t, size_t> last_line_at;  // by offset in the block
  for (size_t i = 0; i < instructions_.size(); ++i) {
    for (const ValueId id : instructions_[i]->outputs) {
      const auto root = static_cast<size_t>(memory_.alias_root[static_cast<size_t>(id)]);
      if (values_[root].storage != Storage::kGradient) continue;
      last_line_at[variables_.at(values_[root].graph_value).offset] = i;
    }
    if (const int parameter = instructions_[i]->folded(); parameter >= 0) {
      last_line_at[variables_.at(parameter).offset] = i;
    }
  }
  ready_after_.assign(instructions_.size(), variables_.flat_size());
  for (auto at = last_line_at.rbegin(); at != last_line_at.rend(); ++at) {
    std::fill_n(ready_after_.begin(), at->second, at->first);
  }
}

void Plan::SetInput(const std::string& name, const void* data,
                    const std::shared_ptr<const PicturePreparation>& preparation) {
  const int id = graph_.Find(name);
  if (id < 0 || graph_.values()[static_cast<size_t>(id)].role != Role::kInput) {
    throw ConfigError("the network has no input named " + name);
  }
  const auto input = static_cast<size_t>(id);
  SetPreparation(input, preparation);
  if (inputs_[input] == data) return;
  inputs_[input] = data;
  inputs_changed_ = true;
}

void Plan::SetPreparation(size_t input,
                          const std::shared_ptr<const PicturePreparation>& preparation) {
  if (std::find(read_inputs_.begin(), read_inputs_.end(), input) == read_inputs_.end()) return;
  const auto found = prepared_.find(input);
  const bool is_there = found != prepared_.end();
  if (preparation == (is_there ? found->second.preparation() : nullptr)) return;
  std::optional<PreparedInput> next;  // made first: it may not fit
  if (preparation) {
    const TensorType& type = values_[static_cast<size_t>(value_of_[input])].type;
    void* const place = const_cast<void*>(run_memory_->PlaceOf(input, nullptr));
    next.emplace(backend_, type, place, preparation);
  }
  inputs_[input] = nullptr;
  inputs_changed_ = true;
  ++preparations_;
  if (is_there) prepared_.erase(found);
  if (next) prepared_.emplace(input, std::move(*next));
}

// Where lines read it.
void* Plan::PlaceOf(size_t input) const {
  const auto found = prepared_.find(input);
  if (found != prepared_.end()) return found->second.place();
  return const_cast<void*>(run_memory_->PlaceOf(input, inputs_[input]));
}

void Plan::CheckInputs() const {
  for (const size_t id : read_inputs_) {
    if (inputs_[id] != nullptr) continue;
    throw ConfigError("input " + graph_.values()[id].name + " was not set before the plan ran");
  }
}

void Plan::ResolvePointers() {
  arena_.Reserve(static_cast<size_t>(memory_.bytes));
  if (generation_ == arena_.generation() && !inputs_changed_) return;
  CheckInputs();
  pointers_.assign(values_.size(), nullptr);
  for (size_t v = 0; v < values_.size(); ++v) {
    const PlanValue& root = values_[static_cast<size_t>(memory_.alias_root[v])];
    switch (root.storage) {
      case Storage::kArena:
        if (memory_.offset[v] >= 0) {
          pointers_[v] = static_cast<char*>(arena_.base()) + memory_.offset[v];
        }
        break;
      case Storage::kInput:
        pointers_[v] = PlaceOf(static_cast<size_t>(root.graph_value));
        break;
      case Storage::kVariable:
        pointers_[v] = variables_.at(root.graph_value).data;
        break;
      case Storage::kGradient:
        pointers_[v] = variables_.at(root.graph_value).gradient;
        break;
    }
  }
  generation_ = arena_.generation();
  inputs_changed_ = false;
}

void Plan::FeedInputs() {
  for (const size_t id : read_inputs_) {
    const auto prepared = prepared_.find(id);
    if (prepared == prepared_.end()) {
      run_memory_->Feed(id, inputs_[id]);
    } else {
      prepared->second.Feed(inputs_[id]);
    }
  }
}

void Plan::PrepareInputs(const RunContext& context) const {
  for (const auto& [id, input] : prepared_) input.Prepare(context);
}

RunContext Plan::Start(const RunInputs& inputs, GradientSums* gradient_sums) {
  const RunContext context = Feed(inputs, gradient_sums);
  PrepareInputs(context);
  return context;
}

// All that a run brings from the host's memory, which no recorded work does.
RunContext Plan::Feed(const RunInputs& inputs, GradientSums* gradient_sums) {
  backend_.Enter();
  ResolvePointers();
  run_memory_->Begin(static_cast<uint32_t>(inputs.epoch),
                     inputs.ids != nullptr ? inputs.ids : default_ids_.data());
  FeedInputs();
  claim_ = arena_.Claim();
  return {.backend = &backend_,
          .pointers = pointers_.data(),
          .seed = inputs.seed,
          .epoch = run_memory_->epoch(),
          .ids = run_memory_->ids(),
          .sums = inputs.sums != nullptr ? inputs.sums : run_memory_->sums(),
          .rows = options_.batch,
          .gradient_sums = gradient_sums};
}

void Plan::RunLine(RunContext* context, size_t i) {
  const int64_t scratch = memory_.scratch_offset[i];
  context->scratch = scratch < 0 ? nullptr : static_cast<char*>(arena_.base()) + scratch;
  instructions_[i]->Run(*context);
}

void Plan::RunLines(RunContext* context, size_t begin, size_t end) {
  for (size_t i = begin; i < end; ++i) RunLine(context, i);
}

void Plan::RunLineJoined(RunContext* context, size_t i, LaneExchange* exchange) {
  if (exchange == nullptr || instructions_[i]->join_size() == 0) return RunLine(context, i);
  RunJoin(*instructions_[i], {context, 1}, *context, exchange);
}

LossSums Plan::Run(const RunInputs& inputs, const RunHooks& hooks) {
  RunContext context = Feed(inputs, nullptr);
  const auto lines = [&] {
    PrepareInputs(context);
    if (hooks.before) hooks.before();
    RunJoined(&context, hooks);
    if (hooks.behind) hooks.behind();
  };
  if (hooks.gradients_ready || hooks.exchange != nullptr || hooks.updates != nullptr) {
    lines();
  } else {
    RepeatedWork& work = hooks.work != nullptr ? *hooks.work : work_;
    work.Begin(backend_, {arena_.generation(), preparations_, inputs.seed, context.sums}, lines);
  }
  return inputs.sums != nullptr ? LossSums{} : Sums();
}

void Plan::BeginUpdates(size_t line, BackwardUpdates* updates, RunContext* context) const {
  if (updates == nullptr || line != first_backward_) return;
  if (updates->Begin(Sums())) context->updates = updates;
}

void Plan::RunJoined(RunContext* context, const RunHooks& hooks) {
  int64_t ready = 0;
  for (size_t i = 0; i < instructions_.size(); ++i) {
    BeginUpdates(i, hooks.updates, context);
    RunLineJoined(context, i, hooks.exchange);
    TellReady(i, hooks, &ready);
  }
}

void Plan::RunJoinsOnly(const RunHooks& hooks) {
  const RunContext context = Start({});
  int64_t ready = 0;
  for (size_t i = 0; i < instructions_.size(); ++i) {
    if (instructions_[i]->join_size() > 0) {
      RunJoin(*instructions_[i], {}, context, hooks.exchange);
    }
    TellReady(i, hooks, &ready);
  }
}

void Plan::TellReady(size_t line, const RunHooks& hooks, int64_t* told) const {
  if (!hooks.gradients_ready || ready_after_[line] == *told) return;
  *told = ready_after_[line];
  hooks.gradients_ready(*told);
}

LossSums Plan::RunTimed(const RunInputs& inputs, std::vector<double>* seconds) {
  seconds->resize(instructions_.size(), 0.0);
  RunContext context = Start(inputs);
  for (size_t i = 0; i < instructions_.size(); ++i) {
    backend_.Synchronize();
    const auto start = std::chrono::steady_clock::now();
    RunLine(&context, i);
    backend_.Synchronize();
    (*seconds)[i] +=
        std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  }
  return Sums();
}

Tensor Plan::Copy(ValueId id) const {
  if (claim_ == 0 || claim_ != arena_.claim()) {
    throw ConfigError(claim_ == 0 ? "the plan has not run yet"
                                  : "another plan has used the memory of this one's results; "
                                    "copy them before it runs");
  }
  const PlanValue& value = values_[static_cast<size_t>(id)];
  const void* data = pointers_[static_cast<size_t>(id)];
  DeviceMemory plain;
  if (IsPicture(value) && value.layout.block != 1) {
    plain = AllocateOn(backend_, static_cast<size_t>(value.type.bytes()), "a result");
    backend_.elementwise().Reorder(value.type.dtype, PictureOf(value.type.shape), value.layout,
                                   Layout{}, data, plain.get());
    data = plain.get();
  }
  return CopyToHost(backend_, value.type, data);
}

Tensor Plan::Output() const {
  if (graph_.output() < 0 || options_.mode == Mode::kTrain) {
    throw ConfigError("this plan computes no output");
  }
  return Copy(value_of_[static_cast<size_t>(graph_.output())]);
}

Tensor Plan::InputGradient(const std::string& name) const {
  const auto found = input_gradient_of_.find(graph_.Find(name));
  if (found == input_gradient_of_.end()) {
    throw ConfigError("this plan computes no gradient of " + name);
  }
  return Copy(found->second);
}

int64_t Plan::LineBytes(size_t i) const {
  int64_t bytes = 0;
  if (instructions_[i]->is_alias()) return 0;
  const Instruction& line = *instructions_[i];
  for (size_t k = 0; k < line.inputs.size(); ++k) {
    if (line.reads(k)) bytes += values_[static_cast<size_t>(line.inputs[k])].type.bytes();
  }
  for (const ValueId id : line.outputs) {
    bytes += values_[static_cast<size_t>(id)].type.bytes();
  }
  return bytes;
}

double Plan::flops() const {
  double total = 0.0;
  for (const auto& instruction : instructions_) total += instruction->flops();
  return total;
}

std::string Plan::ValueText(ValueId id) const {
  const PlanValue& value = values_[static_cast<size_t>(id)];
  std::string text = value.name + " " + value.type.shape.ToString();
  if (value.layout.block != 1) {
    text += value.layout.block == value.type.shape[1] ? " nhwc"
                                                      : " c" + std::to_string(value.layout.block);
  }
  if (IsHalf(value.type.dtype)) text += " " + std::string(Name(value.type.dtype));
  return text;
}

std::string Plan::ToString() const {
  std::string text;
  for (size_t i = 0; i < instructions_.size(); ++i) {
    const Instruction& line = *instructions_[i];
    char head[160];
    std::snprintf(head, sizeof head, "%3zu  %-27s %-18s %8.2f MB %8.3f GFLOP  ", i,
                  line.kind().c_str(), line.algorithm().c_str(),
                  static_cast<double>(LineBytes(i)) * 1e-6, line.flops() * 1e-9);
    text += head + (line.outputs.empty() ? line.node_name : ValueText(line.outputs[0])) + "\n";
  }
  return text;
}

}  // namespace lockstep
