// Whether this process may use the matrix tiles of AMX.
#ifndef LOCKSTEP_KERNELS_CPU_AMX_USABLE_H_
#define LOCKSTEP_KERNELS_CPU_AMX_USABLE_H_

namespace lockstep::cpu {

// Whether the machine has AMX-BF16 and AVX512-BF16 and the kernel lets this process use them: it
// keeps 8 KB more of every thread's registers from then on, so a process has to ask. Asks once.
bool IsAmxUsable();

}  // namespace lockstep::cpu

#endif  // LOCKSTEP_KERNELS_CPU_AMX_USABLE_H_
