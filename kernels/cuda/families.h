// The kernel families on a GPU. Each is compiled in the .cu file of its name.
#ifndef LOCKSTEP_KERNELS_CUDA_FAMILIES_H_
#define LOCKSTEP_KERNELS_CUDA_FAMILIES_H_

#include <memory>

#include "kernels/conv.h"
#include "kernels/cuda/library.h"
#include "kernels/cuda/stream.h"
#include "kernels/elementwise.h"
#include "kernels/gemm.h"
#include "kernels/norm.h"
#include "kernels/optimizer.h"
#include "kernels/picture.h"
#include "kernels/pool.h"
#include "kernels/random.h"
#include "kernels/reduce.h"
#include "kernels/softmax.h"

namespace lockstep::cuda {

// `stream` must outlive them. Libraries are opened when they are first needed.
// `allow_tf32` as MakeCudaBackend has it.
std::unique_ptr<ConvKernels> MakeConv(GpuStream* stream, const LibraryFolders& where,
                                      bool allow_tf32);
std::unique_ptr<GemmKernels> MakeGemm(GpuStream* stream, const LibraryFolders& where,
                                      bool allow_tf32);
std::unique_ptr<ElementwiseKernels> MakeElementwise(GpuStream* stream);
std::unique_ptr<NormKernels> MakeNorm(GpuStream* stream);
std::unique_ptr<OptimizerKernels> MakeOptimizer(GpuStream* stream);
std::unique_ptr<PictureKernels> MakePicture(GpuStream* stream);
std::unique_ptr<PoolKernels> MakePool(GpuStream* stream);
std::unique_ptr<RandomKernels> MakeRandom(GpuStream* stream);
std::unique_ptr<ReduceKernels> MakeReduce(GpuStream* stream);
std::unique_ptr<SoftmaxKernels> MakeSoftmax(GpuStream* stream);

}  // namespace lockstep::cuda

#endif  // LOCKSTEP_KERNELS_CUDA_FAMILIES_H_
