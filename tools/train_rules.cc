// The rules of training that its options ask for.
#include <utility>

#include "tools/train_options.h"

namespace lockstep::tools {

std::unique_ptr<Optimizer> MakeOptimizer(const TrainOptions& o) {
  if (o.optimizer == "sgd") return MakeSgd();
  if (o.optimizer == "momentum") return MakeMomentum(o.momentum);
  if (o.optimizer == "nag") return MakeNesterov(o.momentum, NesterovForm::kChainer);
  if (o.optimizer == "nesterov") return MakeNesterov(o.momentum, NesterovForm::kTextbook);
  if (o.optimizer == "rmsprop") return MakeRmsProp(o.rho.value(), o.eps.value());
  if (o.optimizer == "adagrad") return MakeAdaGrad(o.eps.value());
  if (o.optimizer == "adadelta") return MakeAdaDelta(o.rho.value(), o.eps.value());
  AdamOptions adam{.beta1 = o.beta1, .beta2 = o.beta2, .eps = o.eps.value()};
  if (o.optimizer == "adamw") adam.decoupled_weight_decay = o.weight_decay;
  return MakeAdam(adam);
}

std::unique_ptr<Schedule> MakeSchedule(const TrainOptions& o) {
  std::unique_ptr<Schedule> schedule = MakeConstantSchedule();
  if (o.schedule == "exponential-shift") {
    schedule = MakeExponentialShift(o.schedule_factor, o.schedule_epochs);
  } else if (o.schedule == "steps") {
    schedule = MakeSteps(o.schedule_steps, o.schedule_factor);
  } else if (o.schedule == "cosine") {
    schedule = MakeCosine(static_cast<double>(o.epochs));
  } else if (o.schedule == "decay") {
    schedule = MakeKerasDecay(o.decay);
  }
  if (o.warm_up > 0) schedule = MakeWarmUp(o.warm_up, std::move(schedule));
  return schedule;
}

}  // namespace lockstep::tools
