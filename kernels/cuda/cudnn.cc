#include "kernels/cuda/cudnn.h"

#include <cuda_runtime_api.h>

#include "kernels/error.h"
#include "kernels/unavailable.h"

namespace lockstep::cuda {

void Cudnn::Check(cudnnStatus_t status, const char* what) const {
  if (status == CUDNN_STATUS_SUCCESS) return;
  const std::string told =
      std::string(what) + " by cuDNN " + version + " failed: " + GetErrorString(status);
  cudaGetLastError();  // or the next launch would take it for its own
  if (CUDNN_STATUS_CATEGORY(status) == CUDNN_STATUS_NOT_SUPPORTED ||
      status == CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED ||
      status == CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED) {
    throw UnavailableError(told);
  }
  throw DeviceError(told);
}

Cudnn LoadCudnn(const LibraryFolders& where) {
  const std::string major = std::to_string(CUDNN_MAJOR);
  const Library library("libcudnn.so." + major, "cuDNN " + major, where);
  Cudnn dnn;
  library.Load("cudnnGetVersion", &dnn.GetVersion);
  library.Load("cudnnGetCudartVersion", &dnn.GetCudartVersion);
  dnn.version = library.CheckMajor(dnn.GetVersion(), CUDNN_MAJOR);
  const size_t cuda = dnn.GetCudartVersion() / 1000;
  library.CheckVersion(cuda == CUDART_VERSION / 1000,
                       dnn.version + " for CUDA " + std::to_string(cuda),
                       "one for CUDA " + std::to_string(CUDART_VERSION / 1000));
  library.Load("cudnnGetErrorString", &dnn.GetErrorString);
  library.Load("cudnnCreate", &dnn.Create);
  library.Load("cudnnDestroy", &dnn.Destroy);
  library.Load("cudnnSetStream", &dnn.SetStream);
  library.Load("cudnnCreateTensorDescriptor", &dnn.CreateTensorDescriptor);
  library.Load("cudnnDestroyTensorDescriptor", &dnn.DestroyTensorDescriptor);
  library.Load("cudnnSetTensor4dDescriptorEx", &dnn.SetTensor4dDescriptorEx);
  library.Load("cudnnCreateFilterDescriptor", &dnn.CreateFilterDescriptor);
  library.Load("cudnnDestroyFilterDescriptor", &dnn.DestroyFilterDescriptor);
  library.Load("cudnnSetFilter4dDescriptor", &dnn.SetFilter4dDescriptor);
  library.Load("cudnnCreateConvolutionDescriptor", &dnn.CreateConvolutionDescriptor);
  library.Load("cudnnDestroyConvolutionDescriptor", &dnn.DestroyConvolutionDescriptor);
  library.Load("cudnnSetConvolution2dDescriptor", &dnn.SetConvolution2dDescriptor);
  library.Load("cudnnSetConvolutionGroupCount", &dnn.SetConvolutionGroupCount);
  library.Load("cudnnSetConvolutionMathType", &dnn.SetConvolutionMathType);
  library.Load("cudnnGetConvolutionForwardWorkspaceSize", &dnn.GetConvolutionForwardWorkspaceSize);
  library.Load("cudnnGetConvolutionBackwardDataWorkspaceSize",
               &dnn.GetConvolutionBackwardDataWorkspaceSize);
  library.Load("cudnnGetConvolutionBackwardFilterWorkspaceSize",
               &dnn.GetConvolutionBackwardFilterWorkspaceSize);
  library.Load("cudnnConvolutionForward", &dnn.ConvolutionForward);
  library.Load("cudnnConvolutionBackwardData", &dnn.ConvolutionBackwardData);
  library.Load("cudnnConvolutionBackwardFilter", &dnn.ConvolutionBackwardFilter);
  return dnn;
}

}  // namespace lockstep::cuda
