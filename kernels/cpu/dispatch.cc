#include "kernels/cpu/dispatch.h"

namespace lockstep::cpu {

namespace baseline {
IsaTable Table();
}
namespace avx2 {
IsaTable Table();
}
namespace avx512 {
IsaTable Table();
}

std::vector<IsaTable> SupportedIsas() {
  std::vector<IsaTable> isas = {baseline::Table()};
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
      __builtin_cpu_supports("bmi2")) {
    isas.push_back(avx2::Table());
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq")) {
      isas.push_back(avx512::Table());
    }
  }
  return isas;
}

}  // namespace lockstep::cpu
