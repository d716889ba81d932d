// Update rules, their hooks and the state they keep.
#ifndef LOCKSTEP_ENGINE_OPTIM_OPTIMIZER_H_
#define LOCKSTEP_ENGINE_OPTIM_OPTIMIZER_H_

#include <memory>
#include <string>
#include <vector>

#include "kernels/optimizer.h"

namespace lockstep {

// The rule for one step; pure, without arrays of its own.
class Optimizer {
 public:
  virtual ~Optimizer() = default;
  // As on the command line: "momentum".
  virtual std::string name() const = 0;
  // Chainer's names of the arrays kept for each parameter, at most two: {"v"}, {"m", "v"}.
  virtual std::vector<std::string> state_names() const = 0;
  virtual double default_learning_rate() const = 0;
  virtual UpdateArgs Arguments() const = 0;
  // UpdateNumbers::lr of update `t`, counted from 1, at learning rate `lr`.
  virtual double StepSize(int64_t t, double lr) const = 0;
  // Name and numbers but the learning rate, for prints.
  virtual std::string ToString() const = 0;
  // The same for the comparison before a resume. Where rules share a form it has numbers that this
  // one does not use: checkpoints hold them.
  virtual std::string settings() const { return ToString(); }
};

std::unique_ptr<Optimizer> MakeSgd();
std::unique_ptr<Optimizer> MakeMomentum(double momentum = 0.9);

// The two forms of Nesterov's accelerated gradient in use. They differ in which velocity the
// step looks ahead with (kernels/optimizer.h).
enum class NesterovForm : uint8_t {
  kChainer,
  kTextbook,  // Keras, MXNet, PyTorch
};
std::unique_ptr<Optimizer> MakeNesterov(double momentum = 0.9,
                                        NesterovForm form = NesterovForm::kChainer);

struct AdamOptions {
  double beta1 = 0.9, beta2 = 0.999, eps = 1e-8, eta = 1.0;
  double decoupled_weight_decay = 0.0;  // AdamW: p *= 1 - eta * decay
};
std::unique_ptr<Optimizer> MakeAdam(const AdamOptions& options = {});
std::unique_ptr<Optimizer> MakeRmsProp(double rho = 0.99, double eps = 1e-8);
std::unique_ptr<Optimizer> MakeAdaGrad(double eps = 1e-8);
std::unique_ptr<Optimizer> MakeAdaDelta(double rho = 0.95, double eps = 1e-6);

}  // namespace lockstep

#endif  // LOCKSTEP_ENGINE_OPTIM_OPTIMIZER_H_
