#include "kernels/cpu/conv/indexed_product.h"

#include "kernels/cpu/table_choice.h"

namespace lockstep::cpu {

namespace baseline {
extern const IndexedTable kIndexedTable;
}
namespace avx2 {
extern const IndexedTable kIndexedTable;
}
namespace avx512 {
extern const IndexedTable kIndexedTable;
}

const IndexedTable& IndexedTableOf(Isa isa) {
  return TableFor(isa, baseline::kIndexedTable, avx2::kIndexedTable, avx512::kIndexedTable);
}

}  // namespace lockstep::cpu
