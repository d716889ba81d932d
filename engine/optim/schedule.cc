#include "engine/optim/schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "engine/text.h"
#include "kernels/error.h"

namespace lockstep {
namespace {

class Constant : public Schedule {
 public:
  double Rate(double base, const ScheduleTime&) const override { return base; }
  std::string ToString() const override { return "constant"; }
};

class ExponentialShift : public Schedule {
 public:
  ExponentialShift(double factor, int64_t every) : factor_(factor), every_(every) {}
  double Rate(double base, const ScheduleTime& time) const override {
    const int64_t shifts = time.epoch / every_;
    return base * std::pow(factor_, static_cast<double>(shifts));
  }
  std::string ToString() const override {
    return "exponential-shift factor=" + Text(factor_) + " every=" + Text(every_);
  }

 private:
  double factor_;
  int64_t every_;
};

class Steps : public Schedule {
 public:
  Steps(std::vector<int64_t> epochs, double factor) : epochs_(std::move(epochs)), factor_(factor) {}
  double Rate(double base, const ScheduleTime& time) const override {
    const auto reached =
        std::count_if(epochs_.begin(), epochs_.end(), [&](int64_t e) { return e <= time.epoch; });
    return base * std::pow(factor_, static_cast<double>(reached));
  }
  std::string ToString() const override {
    std::string text = "steps factor=" + Text(factor_) + " epochs=";
    for (size_t i = 0; i < epochs_.size(); ++i) text += (i > 0 ? "," : "") + Text(epochs_[i]);
    return text;
  }

 private:
  std::vector<int64_t> epochs_;
  double factor_;
};

class Cosine : public Schedule {
 public:
  Cosine(double epochs, double floor) : epochs_(epochs), floor_(floor) {}
  double Rate(double base, const ScheduleTime& time) const override {
    const double part = std::clamp(time.epoch_fraction / epochs_, 0.0, 1.0);
    return floor_ + (base - floor_) * 0.5 * (1.0 + std::cos(std::numbers::pi * part));
  }
  std::string ToString() const override {
    return "cosine epochs=" + Text(epochs_) + " floor=" + Text(floor_);
  }

 private:
  double epochs_, floor_;
};

class KerasDecay : public Schedule {
 public:
  explicit KerasDecay(double decay) : decay_(decay) {}
  double Rate(double base, const ScheduleTime& time) const override {
    return base / (1.0 + decay_ * static_cast<double>(time.iteration));
  }
  std::string ToString() const override { return "decay " + Text(decay_); }

 private:
  double decay_;
};

class WarmUp : public Schedule {
 public:
  WarmUp(int64_t iterations, std::unique_ptr<Schedule> rest)
      : iterations_(iterations), rest_(std::move(rest)) {}
  double Rate(double base, const ScheduleTime& time) const override {
    const double full = rest_->Rate(base, time);
    if (time.iteration >= iterations_) return full;
    return full * static_cast<double>(time.iteration + 1) / static_cast<double>(iterations_);
  }
  std::string ToString() const override {
    return "warm-up " + Text(iterations_) + " then " + rest_->ToString();
  }

 private:
  int64_t iterations_;
  std::unique_ptr<Schedule> rest_;
};

}  // namespace

std::unique_ptr<Schedule> MakeConstantSchedule() { return std::make_unique<Constant>(); }

std::unique_ptr<Schedule> MakeExponentialShift(double factor, int64_t every_epochs) {
  if (every_epochs < 1) throw ConfigError("the epochs between shifts must be positive");
  return std::make_unique<ExponentialShift>(factor, every_epochs);
}

std::unique_ptr<Schedule> MakeSteps(std::vector<int64_t> epochs, double factor) {
  return std::make_unique<Steps>(std::move(epochs), factor);
}

std::unique_ptr<Schedule> MakeCosine(double epochs, double floor) {
  if (!(epochs > 0.0)) throw ConfigError("a cosine schedule wants a positive number of epochs");
  return std::make_unique<Cosine>(epochs, floor);
}

std::unique_ptr<Schedule> MakeKerasDecay(double decay) {
  return std::make_unique<KerasDecay>(decay);
}

std::unique_ptr<Schedule> MakeWarmUp(int64_t iterations, std::unique_ptr<Schedule> rest) {
  return std::make_unique<WarmUp>(iterations, std::move(rest));
}

}  // namespace lockstep
