#include "kernels/cpu/gemm/product.h"

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
  switch (isa) {
    case Isa::kAmx:
    case Isa::kAvx512:
      return avx512::kGemmTable;
    case Isa::kAvx2:
      return avx2::kGemmTable;
    case Isa::kBaseline:
      break;
  }
  return baseline::kGemmTable;
}

}  // namespace gemm
}  // namespace lockstep::cpu
