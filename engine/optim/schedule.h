// Learning rates over time, as pure functions: nothing to save, exact after a resume.
#ifndef LOCKSTEP_ENGINE_OPTIM_SCHEDULE_H_
#define LOCKSTEP_ENGINE_OPTIM_SCHEDULE_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace lockstep {

// The step about to be made.
struct ScheduleTime {
  int64_t iteration = 0;        // updates made so far
  int64_t epoch = 0;            // passes over the data completed
  double epoch_fraction = 0.0;  // epoch plus the part of the current one that is done
};

class Schedule {
 public:
  virtual ~Schedule() = default;
  virtual double Rate(double base, const ScheduleTime& time) const = 0;
  virtual std::string ToString() const = 0;
};

std::unique_ptr<Schedule> MakeConstantSchedule();
// base * factor^(epoch / every): Chainer's ExponentialShift('lr', factor), trigger (every,
// 'epoch').
std::unique_ptr<Schedule> MakeExponentialShift(double factor, int64_t every_epochs);
// base * factor for each of the epochs already reached.
std::unique_ptr<Schedule> MakeSteps(std::vector<int64_t> epochs, double factor);
// From base down to `floor` along half a cosine over `epochs` (Loshchilov and Hutter, 2017).
std::unique_ptr<Schedule> MakeCosine(double epochs, double floor = 0.0);
// base / (1 + decay * iteration): Keras's `decay`.
std::unique_ptr<Schedule> MakeKerasDecay(double decay);
// Linear from base / iterations up to base over the first iterations, then `rest`.
std::unique_ptr<Schedule> MakeWarmUp(int64_t iterations, std::unique_ptr<Schedule> rest);

}  // namespace lockstep

#endif  // LOCKSTEP_ENGINE_OPTIM_SCHEDULE_H_
