// The functions of cuDNN 9 that are used here.
#ifndef LOCKSTEP_KERNELS_CUDA_CUDNN_H_
#define LOCKSTEP_KERNELS_CUDA_CUDNN_H_

#include <cudnn.h>

#include <string>

#include "kernels/cuda/library.h"

namespace lockstep::cuda {

// Names without the prefix cudnn.
struct Cudnn {
  decltype(cudnnGetVersion)* GetVersion = nullptr;
  decltype(cudnnGetCudartVersion)* GetCudartVersion = nullptr;
  decltype(cudnnGetErrorString)* GetErrorString = nullptr;
  decltype(cudnnCreate)* Create = nullptr;
  decltype(cudnnDestroy)* Destroy = nullptr;
  decltype(cudnnSetStream)* SetStream = nullptr;
  decltype(cudnnCreateTensorDescriptor)* CreateTensorDescriptor = nullptr;
  decltype(cudnnDestroyTensorDescriptor)* DestroyTensorDescriptor = nullptr;
  decltype(cudnnSetTensor4dDescriptorEx)* SetTensor4dDescriptorEx = nullptr;
  decltype(cudnnCreateFilterDescriptor)* CreateFilterDescriptor = nullptr;
  decltype(cudnnDestroyFilterDescriptor)* DestroyFilterDescriptor = nullptr;
  decltype(cudnnSetFilter4dDescriptor)* SetFilter4dDescriptor = nullptr;
  decltype(cudnnCreateConvolutionDescriptor)* CreateConvolutionDescriptor = nullptr;
  decltype(cudnnDestroyConvolutionDescriptor)* DestroyConvolutionDescriptor = nullptr;
  decltype(cudnnSetConvolution2dDescriptor)* SetConvolution2dDescriptor = nullptr;
  decltype(cudnnSetConvolutionGroupCount)* SetConvolutionGroupCount = nullptr;
  decltype(cudnnSetConvolutionMathType)* SetConvolutionMathType = nullptr;
  decltype(cudnnGetConvolutionForwardWorkspaceSize)* GetConvolutionForwardWorkspaceSize = nullptr;
  decltype(cudnnGetConvolutionBackwardDataWorkspaceSize)* GetConvolutionBackwardDataWorkspaceSize =
      nullptr;
  decltype(cudnnGetConvolutionBackwardFilterWorkspaceSize)*
      GetConvolutionBackwardFilterWorkspaceSize = nullptr;
  decltype(cudnnConvolutionForward)* ConvolutionForward = nullptr;
  decltype(cudnnConvolutionBackwardData)* ConvolutionBackwardData = nullptr;
  decltype(cudnnConvolutionBackwardFilter)* ConvolutionBackwardFilter = nullptr;

  // "9.19.0".
  std::string version;

  // Throws DeviceError when `status` is a failure, UnavailableError where it is one of memory alone
  // or of what is not supported.
  void Check(cudnnStatus_t status, const char* what) const;
};

// Throws DeviceError where the library is missing, of another major version or for another CUDA.
Cudnn LoadCudnn(const LibraryFolders& where);

}  // namespace lockstep::cuda

#endif  // LOCKSTEP_KERNELS_CUDA_CUDNN_H_
