// The kernels: three loops around what kernels/math says. For .cu files alone.
#ifndef LOCKSTEP_KERNELS_CUDA_LAUNCH_CUH_
#define LOCKSTEP_KERNELS_CUDA_LAUNCH_CUH_

#include "kernels/cuda/stream.h"
#include "kernels/math/block.h"
#include "kernels/math/pack.h"

namespace lockstep::cuda {

// Eight warps: with 32 registers a thread eight such blocks fill a processor, and a block's barrier
// is short.
inline constexpr int kThreads = 256;

// The threads of a CUDA block.
class ThreadBlock : public math::BlockOps<ThreadBlock> {
 public:
  __device__ explicit ThreadBlock(unsigned char* slots) : slots_(slots) {}

  __device__ int rank() const { return static_cast<int>(threadIdx.x); }
  __device__ int size() const { return kThreads; }
  __device__ void Wait() const { __syncthreads(); }
  template <typename T>
  __device__ T* slots() const {
    return reinterpret_cast<T*>(slots_);
  }

 private:
  unsigned char* slots_;
};

__device__ __forceinline__ int64_t FirstItem() {
  return static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
}
__device__ __forceinline__ int64_t ItemStep() { return static_cast<int64_t>(gridDim.x) * kThreads; }

template <typename Map>
__global__ void __launch_bounds__(kThreads)
    EachKernel(int64_t size, const __grid_constant__ Map map) {
  for (int64_t i = FirstItem(); i < size; i += ItemStep()) map(i);
}

// `packs` packs, then single elements.
template <typename Map>
__global__ void __launch_bounds__(kThreads)
    PackKernel(int64_t packs, int64_t size, const __grid_constant__ Map map) {
  constexpr int kPack = math::kPackElements<typename Map::Element>;
  for (int64_t i = FirstItem(); i < packs; i += ItemStep()) map.template Run<kPack>(i * kPack);
  for (int64_t i = packs * kPack + FirstItem(); i < size; i += ItemStep()) map.template Run<1>(i);
}

template <typename Algorithm>
__global__ void __launch_bounds__(kThreads)
    BlockKernel(int64_t blocks, const __grid_constant__ Algorithm algorithm) {
  __shared__ alignas(16) unsigned char slots[kThreads * math::kSlotBytes];
  const ThreadBlock block(slots);
  for (int64_t b = blockIdx.x; b < blocks; b += gridDim.x) algorithm(block, b);
}

template <typename Map>
void GpuStream::ForEach(const char* name, int64_t size, const Map& map) {
  if (size <= 0) return;
  EachKernel<<<Blocks(size, kThreads), kThreads, 0, stream_>>>(size, map);
  CheckLaunch(name);
}

template <typename Map>
void GpuStream::ForPacks(const char* name, int64_t size, const Map& map) {
  if (size <= 0) return;
  const int64_t packs = map.IsAligned() ? size / math::kPackElements<typename Map::Element> : 0;
  PackKernel<<<Blocks(packs > 0 ? packs : size, kThreads), kThreads, 0, stream_>>>(packs, size,
                                                                                   map);
  CheckLaunch(name);
}

template <typename Algorithm>
void GpuStream::ForBlocks(const char* name, int64_t blocks, const Algorithm& algorithm) {
  if (blocks <= 0) return;
  BlockKernel<<<Blocks(blocks, 1), kThreads, 0, stream_>>>(blocks, algorithm);
  CheckLaunch(name);
}

}  // namespace lockstep::cuda

#endif  // LOCKSTEP_KERNELS_CUDA_LAUNCH_CUH_
