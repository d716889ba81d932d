// Gradients that are not finite though the loss is.
#ifndef LOCKSTEP_ENGINE_TRAIN_GRADIENT_CHECK_H_
#define LOCKSTEP_ENGINE_TRAIN_GRADIENT_CHECK_H_

#include <string>

#include "engine/train/network.h"

namespace lockstep {

// The first parameter whose gradient is not finite here; "" for none.
std::string BadGradient(const Network& network);

}  // namespace lockstep

#endif  // LOCKSTEP_ENGINE_TRAIN_GRADIENT_CHECK_H_
