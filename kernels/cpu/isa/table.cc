#include "kernels/cpu/isa/families.h"

#define LOCKSTEP_STRING_OF(x) #x
#define LOCKSTEP_STRING(x) LOCKSTEP_STRING_OF(x)

namespace lockstep::cpu::LOCKSTEP_ISA {

IsaTable Table();

IsaTable Table() {
  IsaTable t{};
  t.name = LOCKSTEP_STRING(LOCKSTEP_ISA);
  GetCast(&t.cast);
  GetElementwise(&t.f32.elementwise, &t.f64.elementwise);
  GetNorm(&t.f32.norm, &t.f64.norm);
  GetPooledNorm(&t.f32.pooled_norm, &t.f64.pooled_norm);
  GetOptimizer(&t.f32.optimizer, &t.f64.optimizer);
  GetPool(&t.f32.pool, &t.f64.pool);
  GetRandom(&t.f32.random, &t.f64.random);
  GetReduce(&t.f32.reduce, &t.f64.reduce);
  GetSoftmax(&t.f32.softmax, &t.f64.softmax);
  return t;
}

}  // namespace lockstep::cpu::LOCKSTEP_ISA
