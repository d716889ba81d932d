// Kernel family: optimizer updates, each one fused pass over flat memory.
#ifndef LOCKSTEP_KERNELS_OPTIMIZER_H_
#define LOCKSTEP_KERNELS_OPTIMIZER_H_

#include <cstdint>

#include "kernels/dtype.h"
#include "kernels/softmax.h"

namespace lockstep {

// g below is grad_scale * gradient + weight_decay * p. State arrays are named as Chainer does.
enum class UpdateRule : uint8_t {
  kSgd,              // p -= lr * g
  kMomentum,         // v = momentum * v - lr * g;  p += v                          s0 = v
  kNesterovChainer,  // v as above;  p += momentum^2 * v - (1 + momentum) * lr * g  s0 = v
  kNesterov,         // v as above;  p += momentum * v - lr * g (Keras, MXNet)      s0 = v
  kAdam,             // m += (1-b1)(g-m); v += (1-b2)(g^2-v);                       s0 = m, s1 = v
                     // p = (1 - eta*decoupled_decay) p - eta * lr_t * m / (sqrt(v) + eps),
                     // lr_t = lr * sqrt(1 - b2^t) / (1 - b1^t), passed as `lr`
  kRmsProp,          // ms = rho*ms + (1-rho) g^2;  p -= lr * g / (sqrt(ms) + eps)  s0 = ms
  kAdaGrad,          // h += g^2;  p -= lr * g / (sqrt(h) + eps)                    s0 = h
  kAdaDelta,         // msg = rho*msg + (1-rho) g^2; dx = sqrt((msdx+eps)/(msg+eps)) g;
              // msdx = rho*msdx + (1-rho) dx^2;  p -= dx                    s0 = msg, s1 = msdx
};

// What all updates of a training have in common.
struct UpdateArgs {
  UpdateRule rule = UpdateRule::kSgd;
  double momentum = 0.9;
  double beta1 = 0.9, beta2 = 0.999;
  double rho = 0.99;
  double eps = 1e-8;
  double eta = 1.0;
  double decoupled_decay = 0.0;  // AdamW
  double weight_decay = 0.0;     // L2, added to the gradient
};

// What changes from update to update. In the device's memory, so that work that was begun before
// the host knows it, or was recorded, finds the numbers of the step at hand.
struct UpdateNumbers {
  double lr = 0.01;
  int64_t count = 1;     // of the samples that gradients are sums over
  double squares = 0.0;  // the sum of all gradients' squares, where they are clipped or scaled
  // What Prepare makes of these: 1 / count and the clipping rate.
  double grad_scale = 1.0;
  int64_t skipped = 0;      // not 0: nothing is updated
  double loss_scale = 1.0;  // that gradients are multiplied by
};

// Dynamic loss scaling (Micikevicius et al., 2018): gradients are those of the loss times a scale,
// so that small ones are not lost in float16. The numbers are those of torch.amp.GradScaler.
struct LossScaling {
  double growth = 2.0;  // behind so many steps without an overflow:
  int64_t growth_interval = 2000;
  double backoff = 0.5;  // behind an overflow, whose step is left out
};

// Where it stands; in the device's memory.
struct LossScale {
  double scale = 65536.0;
  int64_t good_steps = 0;  // since it last changed
  int64_t overflows = 0;   // steps left out so far
};

// What steps came to that nobody waited for; in the device's memory. All zero in the beginning.
struct StepLog {
  static constexpr int64_t kSteps = 1024;
  int64_t steps = 0;   // that were noted
  int64_t failed = 0;  // not 0: the last of them failed, and those behind it are not noted
  LossSums sums[kSteps] = {};
};

class OptimizerKernels {
 public:
  virtual ~OptimizerKernels() = default;
  // Behind the passes of a step: notes its sums. A step fails whose loss is not finite or that
  // counts nothing. numbers->count = sums->count; skipped where this step failed or one before it.
  virtual void NoteStep(const LossSums* sums, StepLog* log, UpdateNumbers* numbers) = 0;
  // Behind the gradients of a step, whose squares are in numbers: where those are not finite the
  // update is skipped. numbers->loss_scale = the scale of this step; that of the next one follows.
  // A step that is skipped already leaves the scale alone.
  virtual void FollowOverflow(const LossScaling& rule, UpdateNumbers* numbers,
                              LossScale* scale) = 0;
  // numbers->grad_scale = 1 / (count * loss_scale), times clipping / norm where the gradients' mean
  // has a larger norm than `clipping`; 0: no limit.
  virtual void Prepare(double clipping, UpdateNumbers* numbers) = 0;
  // `dtype` is kFloat32 or kFloat64. p, s0, s1 updated in place; g and numbers read. s0 and s1 may
  // be null where the rule names none.
  virtual void Update(DType dtype, const UpdateArgs& args, const UpdateNumbers* numbers,
                      int64_t size, void* p, const void* g, void* s0, void* s1) = 0;
};

}  // namespace lockstep

#endif  // LOCKSTEP_KERNELS_OPTIMIZER_H_
