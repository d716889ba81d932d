// The instruction sets that parts of kernels/cpu are compiled for, and which of them this machine
// runs. Every family follows the one choice of its backend.
#ifndef LOCKSTEP_KERNELS_CPU_ISA_CHOICE_H_
#define LOCKSTEP_KERNELS_CPU_ISA_CHOICE_H_

#include <cstdint>

namespace lockstep::cpu {

// Each includes those before it. The flags are in cmake/LockstepTargets.cmake.
enum class Isa : uint8_t { kBaseline, kAvx2, kAvx512 };

Isa BestIsa();

}  // namespace lockstep::cpu

#endif  // LOCKSTEP_KERNELS_CPU_ISA_CHOICE_H_
