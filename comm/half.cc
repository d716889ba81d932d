#include "comm/half.h"

#include "kernels/cpu/dispatch.h"

namespace lockstep {
namespace {

const cpu::CastLoops& Loops() {
  static const cpu::CastLoops loops = cpu::TableOf(cpu::BestIsa()).cast;
  return loops;
}

}  // namespace

void WidenHalves(const uint16_t* halves, float* floats, int64_t count) {
  Loops().widen_half(count, halves, floats);
}

void NarrowHalves(const float* floats, uint16_t* halves, int64_t count) {
  Loops().narrow_half(count, floats, halves);
}

}  // namespace lockstep
