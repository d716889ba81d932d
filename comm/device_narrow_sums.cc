#include "comm/device_narrow_sums.h"

#include "engine/tensor/host_array.h"

namespace lockstep {

DeviceNarrowSums::DeviceNarrowSums(Backend& device, bool feedback, int64_t size)
    : device_(device), size_(size) {
  const auto elements = static_cast<size_t>(size);
  wire_ = AllocateOn(device, elements * sizeof(uint16_t), "gradients in 16 bits");
  if (!feedback) return;
  residual_ = AllocateOn(device, elements * sizeof(float), "what rounding takes from gradients");
  device.Clear(residual_.get(), elements * sizeof(float));
}

void DeviceNarrowSums::Pack(const void* gradients, int64_t begin, int64_t count) {
  ElementwiseKernels& kernels = device_.elementwise();
  const float* const from = static_cast<const float*>(gradients) + begin;
  if (!residual_) {
    kernels.Cast(DType::kFloat32, DType::kBfloat16, count, from, Wire(begin));
  } else {
    float* const residual = static_cast<float*>(residual_.get()) + begin;
    kernels.CastWithFeedback(DType::kBfloat16, count, from, residual, Wire(begin));
  }
}

void DeviceNarrowSums::Sum(Communicator& ranks, int64_t begin, int64_t count) {
  ranks.Allreduce(Wire(begin), count, WireType::kBfloat16, ReduceOp::kSum);
}

void DeviceNarrowSums::Unpack(void* gradients) {
  device_.elementwise().Cast(DType::kBfloat16, DType::kFloat32, size_, wire_.get(), gradients);
}

Tensor DeviceNarrowSums::Residual() const {
  return CopyToHost(device_, {Shape({size_}), DType::kFloat32}, residual_.get());
}

void DeviceNarrowSums::SetResidual(const Tensor& residual) {
  device_.Upload(residual.data(), residual_.get(), residual.bytes());
}

}  // namespace lockstep
