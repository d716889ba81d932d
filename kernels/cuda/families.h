// The kernel families on a GPU. Each is compiled in the .cu file of its name.
#ifndef LOCKSTEP_KERNELS_CUDA_FAMILIES_H_
#define LOCKSTEP_KERNELS_CUDA_FAMILIES_H_

#include <memory>

#include "kernels/cuda/stream.h"
#include "kernels/elementwise.h"
#include "kernels/norm.h"
#include "kernels/optimizer.h"
#include "kernels/pool.h"
#include "kernels/random.h"
#include "kernels/reduce.h"
#include "kernels/softmax.h"

namespace lockstep::cuda {

// `stream` must outlive them.
std::unique_ptr<ElementwiseKernels> MakeElementwise(GpuStream* stream);
std::unique_ptr<NormKernels> MakeNorm(GpuStream* stream);
std::unique_ptr<OptimizerKernels> MakeOptimizer(GpuStream* stream);
std::unique_ptr<PoolKernels> MakePool(GpuStream* stream);
std::unique_ptr<RandomKernels> MakeRandom(GpuStream* stream);
std::unique_ptr<ReduceKernels> MakeReduce(GpuStream* stream);
std::unique_ptr<SoftmaxKernels> MakeSoftmax(GpuStream* stream);

}  // namespace lockstep::cuda

#endif  // LOCKSTEP_KERNELS_CUDA_FAMILIES_H_
