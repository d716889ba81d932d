#include "kernels/cpu/conv/window_sums.h"

#include "kernels/cpu/table_choice.h"

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
  return TableFor(isa, baseline::kWindowTable, avx2::kWindowTable, avx512::kWindowTable);
}

}  // namespace lockstep::cpu
