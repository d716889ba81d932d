// Arrays of 16-bit floats as they travel.
#ifndef LOCKSTEP_COMM_HALF_H_
#define LOCKSTEP_COMM_HALF_H_

#include <cstdint>

#include "kernels/math/half.h"

namespace lockstep {

using math::NarrowBfloat16;
using math::NarrowHalf;
using math::WidenBfloat16;
using math::WidenHalf;

// The same bits with F16C instructions, where the machine has them, as without.
void WidenHalves(const uint16_t* halves, float* floats, int64_t count);
void NarrowHalves(const float* floats, uint16_t* halves, int64_t count);

}  // namespace lockstep

#endif  // LOCKSTEP_COMM_HALF_H_
