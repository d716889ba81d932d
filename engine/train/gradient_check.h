// Gradients that are not finite though the loss is.
#ifndef LOCKSTEP_ENGINE_TRAIN_GRADIENT_CHECK_H_
#define LOCKSTEP_ENGINE_TRAIN_GRADIENT_CHECK_H_

#include <string>

#include "engine/train/network.h"

namespace lockstep {

// Whether this rank's share of the flat gradients is finite. Once they are sums they are the same
// on every rank, so that all ranks together look at each of them once.
bool ShareOfSumsIsFinite(const Network& network);

// The first parameter whose gradient is not finite here; "" for none.
std::string BadGradient(const Network& network);

}  // namespace lockstep

#endif  // LOCKSTEP_ENGINE_TRAIN_GRADIENT_CHECK_H_
