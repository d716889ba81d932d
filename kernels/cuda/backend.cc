#include "kernels/cuda/backend.h"

#include "kernels/cuda/moment.h"
#include "kernels/cuda/recording.h"
#include "kernels/error.h"

namespace lockstep::cuda {

void* DeviceMemory::Take(size_t bytes) {
  void* memory = nullptr;
  const cudaError_t status = cudaMalloc(&memory, bytes);
  if (status == cudaSuccess) return memory;
  cudaGetLastError();
  if (status != cudaErrorMemoryAllocation) Check(status, "allocating memory");
  return nullptr;
}

void DeviceMemory::Give(void* memory) noexcept { cudaFree(memory); }

RawMemory::Room DeviceMemory::GetRoom() {
  Room room;
  if (cudaMemGetInfo(&room.free, &room.total) != cudaSuccess) cudaGetLastError();
  return room;
}

CudaBackend::CudaBackend(int index, bool allow_tf32)
    : device_(OpenDevice(index)),
      allow_tf32_(allow_tf32),
      allocator_(&memory_, "cuda:" + std::to_string(index)),
      stream_(device_, &allocator_),
      conv_(MakeConv(&stream_, StandardFolders(), allow_tf32)),
      elementwise_(MakeElementwise(&stream_)),
      gemm_(MakeGemm(&stream_, StandardFolders(), allow_tf32)),
      norm_(MakeNorm(&stream_)),
      optimizer_(MakeOptimizer(&stream_)),
      picture_(MakePicture(&stream_)),
      pool_(MakePool(&stream_)),
      random_(MakeRandom(&stream_)),
      reduce_(MakeReduce(&stream_)),
      softmax_(MakeSoftmax(&stream_)) {}

CudaBackend::~CudaBackend() {
  // Members give memory back to the device that this thread has.
  cudaSetDevice(device_.index);
}

std::string CudaBackend::name() const { return "cuda:" + std::to_string(device_.index); }

std::string CudaBackend::fingerprint() const {
  return "cuda sm_" + std::to_string(device_.capability) + " " + device_.name + " " +
         device_.versions + (allow_tf32_ ? " tf32" : "");
}

void* CudaBackend::Allocate(size_t bytes, const std::string& purpose) {
  Enter();
  return allocator_.Allocate(bytes, purpose);
}

void CudaBackend::Free(void* pointer) noexcept { allocator_.Free(pointer); }

void CudaBackend::Upload(const void* host, void* device, size_t bytes) {
  Enter();
  stream_.Upload(host, device, bytes);
}

void CudaBackend::Download(const void* device, void* host, size_t bytes) {
  Enter();
  stream_.Download(device, host, bytes);
}

void CudaBackend::Copy(const void* from, void* to, size_t bytes) {
  Enter();
  stream_.Copy(from, to, bytes);
}

void CudaBackend::Clear(void* device, size_t bytes) {
  Enter();
  stream_.Clear(device, bytes);
}

void CudaBackend::Synchronize() {
  Enter();
  stream_.Synchronize();
}

std::shared_ptr<DeviceMoment> CudaBackend::Mark() {
  Enter();
  return std::make_shared<GpuMoment>(device_, stream_.handle());
}

std::unique_ptr<Recording> CudaBackend::Record(const std::function<void()>& body) {
  Enter();
  stream_.KeepScratch();
  return RecordStream(stream_.handle(), body);
}

void CudaBackend::Enter() { Check(cudaSetDevice(device_.index), "entering a device"); }

void CudaBackend::ForEachLane(int lanes, const std::function<void(int lane)>& body) {
  for (int lane = 0; lane < lanes; ++lane) body(lane);
}

}  // namespace lockstep::cuda

namespace lockstep {

int CountCudaDevices() { return cuda::CountDevices().devices; }

std::unique_ptr<Backend> MakeCudaBackend(int device, bool allow_tf32) {
  return std::make_unique<cuda::CudaBackend>(device, allow_tf32);
}

}  // namespace lockstep
