#include "kernels/cpu/conv/pooled_windows.h"

#include "kernels/cpu/table_choice.h"

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
  return TableFor(isa, baseline::kPooledTable, avx2::kPooledTable, avx512::kPooledTable);
}

}  // namespace lockstep::cpu
