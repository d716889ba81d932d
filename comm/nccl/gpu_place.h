// Which GPU each rank of a job has.
#ifndef LOCKSTEP_COMM_NCCL_GPU_PLACE_H_
#define LOCKSTEP_COMM_NCCL_GPU_PLACE_H_

#include <string>
#include <vector>

#include "engine/train/rank_group.h"

namespace lockstep {

struct GpuPlace {
  std::string host = {};
  std::string name = {};  // of the device there, "cuda:0"
  std::string uuid = {};  // that no other GPU, or part of one, has anywhere
};

// That of every rank, on every rank.
std::vector<GpuPlace> GatherPlaces(RankGroup& group, const GpuPlace& mine);

// Throws AgreedError (78) that names the first two ranks with the same GPU, and the host: NCCL
// takes one rank a GPU.
void RequireOwnGpus(const std::vector<GpuPlace>& of_rank);

}  // namespace lockstep

#endif  // LOCKSTEP_COMM_NCCL_GPU_PLACE_H_
