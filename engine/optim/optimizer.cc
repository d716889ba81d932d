#include "engine/optim/optimizer.h"

#include <cmath>

#include "engine/text.h"

namespace lockstep {
namespace {

class Sgd : public Optimizer {
 public:
  std::string name() const override { return "sgd"; }
  std::vector<std::string> state_names() const override { return {}; }
  double default_learning_rate() const override { return 0.01; }
  UpdateArgs Arguments() const override { return {.rule = UpdateRule::kSgd}; }
  double StepSize(int64_t, double lr) const override { return lr; }
  std::string ToString() const override { return "sgd"; }
};

class Momentum : public Optimizer {
 public:
  Momentum(std::string name, UpdateRule rule, double momentum)
      : name_(std::move(name)), rule_(rule), momentum_(momentum) {}
  std::string name() const override { return name_; }
  std::vector<std::string> state_names() const override { return {"v"}; }
  double default_learning_rate() const override { return 0.01; }
  UpdateArgs Arguments() const override { return {.rule = rule_, .momentum = momentum_}; }
  double StepSize(int64_t, double lr) const override { return lr; }
  std::string ToString() const override { return name_ + " momentum=" + Text(momentum_); }

 private:
  std::string name_;
  UpdateRule rule_;
  double momentum_;
};

class Adam : public Optimizer {
 public:
  explicit Adam(const AdamOptions& options) : o_(options) {}
  std::string name() const override { return o_.decoupled_weight_decay > 0 ? "adamw" : "adam"; }
  std::vector<std::string> state_names() const override { return {"m", "v"}; }
  double default_learning_rate() const override { return 0.001; }
  UpdateArgs Arguments() const override {
    return {.rule = UpdateRule::kAdam,
            .beta1 = o_.beta1,
            .beta2 = o_.beta2,
            .eps = o_.eps,
            .eta = o_.eta,
            .decoupled_decay = o_.decoupled_weight_decay};
  }
  double StepSize(int64_t t, double lr) const override {
    const auto steps = static_cast<double>(t);
    const double correction =
        std::sqrt(1.0 - std::pow(o_.beta2, steps)) / (1.0 - std::pow(o_.beta1, steps));
    return lr * correction;
  }
  std::string ToString() const override {
    return o_.decoupled_weight_decay > 0 ? settings() : Moments();
  }
  std::string settings() const override {
    return Moments() + " decoupled_weight_decay=" + Text(o_.decoupled_weight_decay);
  }

 private:
  std::string Moments() const {
    return name() + " beta1=" + Text(o_.beta1) + " beta2=" + Text(o_.beta2) +
           " eps=" + Text(o_.eps) + " eta=" + Text(o_.eta);
  }

  AdamOptions o_;
};

// RMSprop, AdaGrad and AdaDelta: an epsilon, accumulated squares and, but for AdaGrad, a decay
// rate.
class Adaptive : public Optimizer {
 public:
  Adaptive(std::string name, UpdateRule rule, double lr, double rho, double eps,
           std::vector<std::string> states)
      : name_(std::move(name)),
        rule_(rule),
        lr_(lr),
        rho_(rho),
        eps_(eps),
        states_(std::move(states)) {}
  std::string name() const override { return name_; }
  std::vector<std::string> state_names() const override { return states_; }
  double default_learning_rate() const override { return lr_; }
  UpdateArgs Arguments() const override { return {.rule = rule_, .rho = rho_, .eps = eps_}; }
  double StepSize(int64_t, double lr) const override { return lr; }
  std::string ToString() const override {
    return rule_ == UpdateRule::kAdaGrad ? name_ + " eps=" + Text(eps_) : settings();
  }
  std::string settings() const override {
    return name_ + " rho=" + Text(rho_) + " eps=" + Text(eps_);
  }

 private:
  std::string name_;
  UpdateRule rule_;
  double lr_, rho_, eps_;
  std::vector<std::string> states_;
};

}  // namespace

std::unique_ptr<Optimizer> MakeSgd() { return std::make_unique<Sgd>(); }

std::unique_ptr<Optimizer> MakeMomentum(double momentum) {
  return std::make_unique<Momentum>("momentum", UpdateRule::kMomentum, momentum);
}

std::unique_ptr<Optimizer> MakeNesterov(double momentum, NesterovForm form) {
  if (form == NesterovForm::kChainer) {
    return std::make_unique<Momentum>("nag", UpdateRule::kNesterovChainer, momentum);
  }
  return std::make_unique<Momentum>("nesterov", UpdateRule::kNesterov, momentum);
}

std::unique_ptr<Optimizer> MakeAdam(const AdamOptions& options) {
  return std::make_unique<Adam>(options);
}

std::unique_ptr<Optimizer> MakeRmsProp(double rho, double eps) {
  return std::make_unique<Adaptive>("rmsprop", UpdateRule::kRmsProp, 0.01, rho, eps,
                                    std::vector<std::string>{"ms"});
}

std::unique_ptr<Optimizer> MakeAdaGrad(double eps) {
  return std::make_unique<Adaptive>("adagrad", UpdateRule::kAdaGrad, 0.001, 0.0, eps,
                                    std::vector<std::string>{"h"});
}

std::unique_ptr<Optimizer> MakeAdaDelta(double rho, double eps) {
  return std::make_unique<Adaptive>("adadelta", UpdateRule::kAdaDelta, 1.0, rho, eps,
                                    std::vector<std::string>{"msg", "msdx"});
}

}  // namespace lockstep
