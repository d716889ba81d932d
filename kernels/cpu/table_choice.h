// Which of the tables that are compiled once per instruction set is an instruction set's.
#ifndef LOCKSTEP_KERNELS_CPU_TABLE_CHOICE_H_
#define LOCKSTEP_KERNELS_CPU_TABLE_CHOICE_H_

#include "kernels/cpu/isa_choice.h"

namespace lockstep::cpu {

// AMX has tiles beside the vectors of AVX-512.
template <typename Table>
const Table& TableFor(Isa isa, const Table& baseline, const Table& avx2, const Table& avx512) {
  switch (isa) {
    case Isa::kAmx:
    case Isa::kAvx512:
      return avx512;
    case Isa::kAvx2:
      return avx2;
    case Isa::kBaseline:
      break;
  }
  return baseline;
}

}  // namespace lockstep::cpu

#endif  // LOCKSTEP_KERNELS_CPU_TABLE_CHOICE_H_
