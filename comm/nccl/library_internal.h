// The functions of NCCL that are used here, and our names of what it works on.
#ifndef LOCKSTEP_COMM_NCCL_LIBRARY_INTERNAL_H_
#define LOCKSTEP_COMM_NCCL_LIBRARY_INTERNAL_H_

#include <nccl.h>

#include <string>

#include "comm/communicator.h"
#include "kernels/cuda/library.h"

namespace lockstep::nccl {

// Names without the prefix nccl.
struct Nccl {
  decltype(ncclGetVersion)* GetVersion = nullptr;
  decltype(ncclGetErrorString)* GetErrorString = nullptr;
  decltype(ncclGetLastError)* GetLastError = nullptr;
  decltype(ncclGetUniqueId)* GetUniqueId = nullptr;
  decltype(ncclCommInitRankConfig)* CommInitRankConfig = nullptr;
  decltype(ncclCommAbort)* CommAbort = nullptr;
  decltype(ncclCommGetAsyncError)* CommGetAsyncError = nullptr;
  decltype(ncclAllReduce)* AllReduce = nullptr;
  decltype(ncclReduce)* Reduce = nullptr;
  decltype(ncclBroadcast)* Broadcast = nullptr;

  // "2.28.9".
  std::string version;

  // One line: "NCCL 2.28.9: unhandled cuda error (...)"; `comm` may be null.
  std::string Text(ncclResult_t status, ncclComm_t comm) const;
};

ncclDataType_t TypeOf(WireType type);
ncclRedOp_t OpOf(ReduceOp op);

// Throws DeviceError where the library is missing or of another major version.
Nccl LoadNccl(const cuda::LibraryFolders& where);

}  // namespace lockstep::nccl

#endif  // LOCKSTEP_COMM_NCCL_LIBRARY_INTERNAL_H_
