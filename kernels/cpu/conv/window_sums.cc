#include "kernels/cpu/conv/window_sums.h"

namespace lockstep::cpu {

namespace baseline {
extern const WindowTable kWindowTable;
}
namespace avx2 {
extern const WindowTable kWindowTable;
}
namespace avx512 {
extern const WindowTable kWindowTable;
}

const WindowTable& WindowTableOf(Isa isa) {
  switch (isa) {
    case Isa::kAmx:
    case Isa::kAvx512:
      return avx512::kWindowTable;
    case Isa::kAvx2:
      return avx2::kWindowTable;
    case Isa::kBaseline:
      break;
  }
  return baseline::kWindowTable;
}

}  // namespace lockstep::cpu
