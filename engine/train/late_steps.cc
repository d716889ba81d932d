#include "engine/train/late_steps.h"

#include <algorithm>
#include <cstddef>
#include <memory>

#include "kernels/error.h"

namespace lockstep {

LateSteps::LateSteps(Network& network, Updater& updater)
    : network_(network),
      updater_(updater),
      backend_(network.backend()),
      memory_(AllocateOn(backend_, sizeof(Memory), "what steps came to")),
      states_(AllocateOn(backend_, network.variables().state_bytes(),
                         "running statistics to go back to")) {
  backend_.Clear(memory(), sizeof(Memory));
}

void LateSteps::Train(const Batch& batch, double learning_rate, const Start& start) {
  UpdateNumbers* const numbers = updater_.Begin(learning_rate);
  try {
    network_.TrainLate(batch, {.sums = &memory()->sums,
                               .before = [this] { Begin(); },
                               .behind = [this, numbers] { Finish(numbers); },
                               .work = &work_});
  } catch (...) {
    updater_.set_updates(start.updates);
    throw;
  }
  steps_.push_back({.start = start, .computed = true});
}

void LateSteps::Begin() {
  const Variables& variables = network_.variables();
  backend_.Copy(variables.states(), states_.get(), variables.state_bytes());
  backend_.Clear(&memory()->sums, sizeof(LossSums));
}

void LateSteps::Finish(UpdateNumbers* numbers) {
  const Variables& variables = network_.variables();
  backend_.optimizer().NoteStep(&memory()->sums, &memory()->log, numbers);
  backend_.elementwise().CopyIf(&memory()->log.failed, variables.state_bytes(), states_.get(),
                                variables.states());
  updater_.Apply();
}

void LateSteps::Skip(const Start& start) {
  network_.ClearGradients();
  steps_.push_back({.start = start});
}

void LateSteps::Download(int64_t steps, StepLog* log) const {
  backend_.Download(&memory()->log, log,
                    offsetof(StepLog, sums) + static_cast<size_t>(steps) * sizeof(LossSums));
}

LateSteps::Results LateSteps::Take() {
  Results results;
  const auto computed =
      std::count_if(steps_.begin(), steps_.end(), [](const Step& step) { return step.computed; });
  const auto log = std::make_unique<StepLog>();
  try {
    Download(computed, log.get());
  } catch (const FormatError&) {  // told once
    results.failure = std::current_exception();
    Download(computed, log.get());
  }
  backend_.Clear(&memory()->log, offsetof(StepLog, sums));
  const LossSums* noted = log->sums;
  const LossSums* const failed = log->failed != 0 ? log->sums + log->steps - 1 : nullptr;
  for (const Step& step : steps_) {
    if (!step.computed) {
      results.sums.push_back({});
    } else if (noted == failed) {
      results.failed = step.start;
      results.failed_sums = *failed;
      break;
    } else {
      results.sums.push_back(*noted++);
    }
  }
  steps_.clear();
  return results;
}

}  // namespace lockstep
