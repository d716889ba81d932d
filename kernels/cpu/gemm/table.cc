#include "kernels/cpu/gemm/product.h"
#include "kernels/cpu/table_choice.h"

namespace lockstep::cpu {

namespace baseline {
extern const gemm::Table kGemmTable;
}
namespace avx2 {
extern const gemm::Table kGemmTable;
}
namespace avx512 {
extern const gemm::Table kGemmTable;
}

namespace gemm {

const Table& TableOf(Isa isa) {
  return TableFor(isa, baseline::kGemmTable, avx2::kGemmTable, avx512::kGemmTable);
}

}  // namespace gemm
}  // namespace lockstep::cpu
