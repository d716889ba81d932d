#include "kernels/cpu/conv/pooled_windows.h"

namespace lockstep::cpu {

namespace baseline {
extern const PooledTable kPooledTable;
}
namespace avx2 {
extern const PooledTable kPooledTable;
}
namespace avx512 {
extern const PooledTable kPooledTable;
}

const PooledTable& PooledTableOf(Isa isa) {
  switch (isa) {
    case Isa::kAmx:
    case Isa::kAvx512:
      return avx512::kPooledTable;
    case Isa::kAvx2:
      return avx2::kPooledTable;
    case Isa::kBaseline:
      break;
  }
  return baseline::kPooledTable;
}

}  // namespace lockstep::cpu
