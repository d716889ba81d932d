#include "kernels/cpu/isa/families.h"
#include "kernels/cpu/isa/half_eights.h"
#include "kernels/cpu/isa/vec.h"
#include "kernels/math/half.h"

namespace lockstep::cpu::LOCKSTEP_ISA {
namespace {

void WidenHalf(int64_t size, const uint16_t* x, float* y) {
  for (int64_t i = WidenEights(size, x, y); i < size; ++i) y[i] = math::WidenHalf(x[i]);
}

void NarrowHalf(int64_t size, const float* x, uint16_t* y) {
  for (int64_t i = NarrowEights(size, x, y); i < size; ++i) y[i] = math::NarrowHalf(x[i]);
}

void WidenBfloat16(int64_t size, const uint16_t* x, float* y) {
  LOCKSTEP_INDEPENDENT
  for (int64_t i = 0; i < size; ++i) y[i] = math::WidenBfloat16(x[i]);
}

void NarrowBfloat16(int64_t size, const float* x, uint16_t* y) {
  LOCKSTEP_INDEPENDENT
  for (int64_t i = 0; i < size; ++i) y[i] = math::NarrowBfloat16(x[i]);
}

}  // namespace

void GetCast(CastLoops* loops) { *loops = {WidenHalf, NarrowHalf, WidenBfloat16, NarrowBfloat16}; }

}  // namespace lockstep::cpu::LOCKSTEP_ISA
