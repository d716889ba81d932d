// The public interface of Lockstep in one include.
#ifndef LOCKSTEP_LOCKSTEP_LOCKSTEP_H_
#define LOCKSTEP_LOCKSTEP_LOCKSTEP_H_

#include "engine/tensor/tensor.h"
#include "kernels/dtype.h"
#include "kernels/error.h"
#include "kernels/shape.h"

#endif  // LOCKSTEP_LOCKSTEP_LOCKSTEP_H_
