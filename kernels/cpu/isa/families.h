// What each file of this folder gives to the table of its instruction set.
#ifndef LOCKSTEP_KERNELS_CPU_ISA_FAMILIES_H_
#define LOCKSTEP_KERNELS_CPU_ISA_FAMILIES_H_

#include "kernels/cpu/isa/loops.h"

namespace lockstep::cpu::LOCKSTEP_ISA {

void GetCast(CastLoops* loops);
void GetElementwise(ElementwiseLoops<float>* f32, ElementwiseLoops<double>* f64);
void GetNorm(NormLoops<float>* f32, NormLoops<double>* f64);
void GetOptimizer(OptimizerLoops<float>* f32, OptimizerLoops<double>* f64);
void GetPool(PoolLoops<float>* f32, PoolLoops<double>* f64);
void GetPooledNorm(PooledNormLoops<float>* f32, PooledNormLoops<double>* f64);
void GetRandom(RandomLoops<float>* f32, RandomLoops<double>* f64);
void GetReduce(ReduceLoops<float>* f32, ReduceLoops<double>* f64);
void GetSoftmax(SoftmaxLoops<float>* f32, SoftmaxLoops<double>* f64);

}  // namespace lockstep::cpu::LOCKSTEP_ISA

#endif  // LOCKSTEP_KERNELS_CPU_ISA_FAMILIES_H_
