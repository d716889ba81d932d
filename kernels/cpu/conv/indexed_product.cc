#include "kernels/cpu/conv/indexed_product.h"

#include "kernels/cpu/gemm/product.h"

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

const IndexedTable& BestIndexedTable() {
  const int lanes = gemm::BestTable().lanes;
  if (lanes == avx512::kIndexedTable.lanes) return avx512::kIndexedTable;
  return lanes == avx2::kIndexedTable.lanes ? avx2::kIndexedTable : baseline::kIndexedTable;
}

}  // namespace lockstep::cpu
