#include <algorithm>

#include "comm/nccl/library_internal.h"

namespace lockstep::nccl {

std::string Nccl::Text(ncclResult_t status, ncclComm_t comm) const {
  std::string text = "NCCL " + version + ": " + GetErrorString(status);
  const char* const last = GetLastError(comm);
  if (last != nullptr && *last != '\0') text += " (" + std::string(last) + ")";
  std::replace(text.begin(), text.end(), '\n', ' ');
  return text;
}

ncclDataType_t TypeOf(WireType type) {
  switch (type) {
    case WireType::kFloat32:
      return ncclFloat32;
    case WireType::kFloat64:
      return ncclFloat64;
    case WireType::kFloat16:
      return ncclFloat16;
    case WireType::kBfloat16:
      return ncclBfloat16;
    case WireType::kInt32:
      return ncclInt32;
    case WireType::kInt64:
      return ncclInt64;
    case WireType::kUint8:
      return ncclUint8;
  }
  return ncclUint8;
}

ncclRedOp_t OpOf(ReduceOp op) {
  switch (op) {
    case ReduceOp::kSum:
      return ncclSum;
    case ReduceOp::kMin:
      return ncclMin;
    case ReduceOp::kMax:
      return ncclMax;
  }
  return ncclSum;
}

Nccl LoadNccl(const cuda::LibraryFolders& where) {
  const std::string major = std::to_string(NCCL_MAJOR);
  const cuda::Library library("libnccl.so." + major, "NCCL " + major, where);
  Nccl nccl;
  library.Load("ncclGetVersion", &nccl.GetVersion);
  int version = 0;
  nccl.GetVersion(&version);
  nccl.version = library.CheckMajor(static_cast<size_t>(version), NCCL_MAJOR);
  library.Load("ncclGetErrorString", &nccl.GetErrorString);
  library.Load("ncclGetLastError", &nccl.GetLastError);
  library.Load("ncclGetUniqueId", &nccl.GetUniqueId);
  library.Load("ncclCommInitRankConfig", &nccl.CommInitRankConfig);
  library.Load("ncclCommAbort", &nccl.CommAbort);
  library.Load("ncclCommGetAsyncError", &nccl.CommGetAsyncError);
  library.Load("ncclAllReduce", &nccl.AllReduce);
  library.Load("ncclReduce", &nccl.Reduce);
  library.Load("ncclBroadcast", &nccl.Broadcast);
  return nccl;
}

}  // namespace lockstep::nccl
