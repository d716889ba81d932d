#include "kernels/cuda/cublaslt.h"

#include "kernels/error.h"

namespace lockstep::cuda {

void CublasLt::Check(cublasStatus_t status, const char* what) const {
  if (status == CUBLAS_STATUS_SUCCESS) return;
  throw DeviceError(std::string(what) + " by cuBLASLt " + version +
                    " failed: " + GetStatusString(status));
}

CublasLt LoadCublasLt(const LibraryFolders& where) {
  const std::string major = std::to_string(CUBLAS_VER_MAJOR);
  const Library library("libcublasLt.so." + major, "cuBLASLt " + major, where);
  CublasLt lt;
  library.Load("cublasLtGetVersion", &lt.GetVersion);
  lt.version = library.CheckMajor(lt.GetVersion(), CUBLAS_VER_MAJOR);
  library.Load("cublasLtGetStatusString", &lt.GetStatusString);
  library.Load("cublasLtCreate", &lt.Create);
  library.Load("cublasLtDestroy", &lt.Destroy);
  library.Load("cublasLtMatmul", &lt.Matmul);
  library.Load("cublasLtMatmulDescCreate", &lt.MatmulDescCreate);
  library.Load("cublasLtMatmulDescDestroy", &lt.MatmulDescDestroy);
  library.Load("cublasLtMatmulDescSetAttribute", &lt.MatmulDescSetAttribute);
  library.Load("cublasLtMatrixLayoutCreate", &lt.MatrixLayoutCreate);
  library.Load("cublasLtMatrixLayoutDestroy", &lt.MatrixLayoutDestroy);
  library.Load("cublasLtMatmulPreferenceCreate", &lt.MatmulPreferenceCreate);
  library.Load("cublasLtMatmulPreferenceDestroy", &lt.MatmulPreferenceDestroy);
  library.Load("cublasLtMatmulPreferenceSetAttribute", &lt.MatmulPreferenceSetAttribute);
  library.Load("cublasLtMatmulAlgoGetHeuristic", &lt.MatmulAlgoGetHeuristic);
  return lt;
}

}  // namespace lockstep::cuda
