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

const Table& BestTable() {
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq")) {
    return avx512::kGemmTable;
  }
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return avx2::kGemmTable;
  return baseline::kGemmTable;
}

}  // namespace gemm
}  // namespace lockstep::cpu
