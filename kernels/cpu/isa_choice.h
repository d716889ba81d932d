// The instruction sets that parts of kernels/cpu are compiled for, and which of them this machine
// runs. Every family follows the one choice of its backend.
#ifndef LOCKSTEP_KERNELS_CPU_ISA_CHOICE_H_
#define LOCKSTEP_KERNELS_CPU_ISA_CHOICE_H_

#include <cstdint>

namespace lockstep::cpu {

// Each includes those before it. The flags are in cmake/LockstepTargets.cmake. kAmx is kAvx512 but
// for matrix products of float32, which run on tiles, and for one algorithm of convolution.
enum class Isa : uint8_t { kBaseline, kAvx2, kAvx512, kAmx };

Isa BestIsa();

}  // namespace lockstep::cpu

#endif  // LOCKSTEP_KERNELS_CPU_ISA_CHOICE_H_
