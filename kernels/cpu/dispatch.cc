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

IsaTable TableOf(Isa isa) {
  switch (isa) {
    case Isa::kAmx: {
      IsaTable table = avx512::Table();
      table.name = "amx";
      return table;
    }
    case Isa::kAvx512:
      return avx512::Table();
    case Isa::kAvx2:
      return avx2::Table();
    case Isa::kBaseline:
      break;
  }
  return baseline::Table();
}

std::vector<Isa> SupportedIsas() {
  std::vector<Isa> isas;
  for (const Isa isa : {Isa::kBaseline, Isa::kAvx2, Isa::kAvx512, Isa::kAmx}) {
    if (isa <= BestIsa()) isas.push_back(isa);
  }
  return isas;
}

}  // namespace lockstep::cpu
