#include "kernels/cpu/conv/indexed_product.h"

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
  switch (isa) {
    case Isa::kAmx:
    case Isa::kAvx512:
      return avx512::kIndexedTable;
    case Isa::kAvx2:
      return avx2::kIndexedTable;
    case Isa::kBaseline:
      break;
  }
  return baseline::kIndexedTable;
}

}  // namespace lockstep::cpu
