// The functions of cuBLASLt that are used here.
#ifndef LOCKSTEP_KERNELS_CUDA_CUBLASLT_H_
#define LOCKSTEP_KERNELS_CUDA_CUBLASLT_H_

#include <cublasLt.h>

#include <string>

#include "kernels/cuda/library.h"

namespace lockstep::cuda {

// Names without the prefix cublasLt.
struct CublasLt {
  decltype(cublasLtGetVersion)* GetVersion = nullptr;
  decltype(cublasLtGetStatusString)* GetStatusString = nullptr;
  decltype(cublasLtCreate)* Create = nullptr;
  decltype(cublasLtDestroy)* Destroy = nullptr;
  decltype(cublasLtMatmul)* Matmul = nullptr;
  decltype(cublasLtMatmulDescCreate)* MatmulDescCreate = nullptr;
  decltype(cublasLtMatmulDescDestroy)* MatmulDescDestroy = nullptr;
  decltype(cublasLtMatmulDescSetAttribute)* MatmulDescSetAttribute = nullptr;
  decltype(cublasLtMatrixLayoutCreate)* MatrixLayoutCreate = nullptr;
  decltype(cublasLtMatrixLayoutDestroy)* MatrixLayoutDestroy = nullptr;
  decltype(cublasLtMatmulPreferenceCreate)* MatmulPreferenceCreate = nullptr;
  decltype(cublasLtMatmulPreferenceDestroy)* MatmulPreferenceDestroy = nullptr;
  decltype(cublasLtMatmulPreferenceSetAttribute)* MatmulPreferenceSetAttribute = nullptr;
  decltype(cublasLtMatmulAlgoGetHeuristic)* MatmulAlgoGetHeuristic = nullptr;

  // "13.1.0".
  std::string version;

  // Throws DeviceError when `status` is a failure.
  void Check(cublasStatus_t status, const char* what) const;
};

// Throws DeviceError where the library is missing or of another major version.
CublasLt LoadCublasLt(const LibraryFolders& where);

}  // namespace lockstep::cuda

#endif  // LOCKSTEP_KERNELS_CUDA_CUBLASLT_H_
