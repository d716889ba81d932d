#include "comm/nccl/gpu_place.h"

#include <map>

namespace lockstep {
namespace {

constexpr char kEnd = '\0';  // of a field on its way

std::string Field(const std::string& text, size_t* at) {
  const size_t end = text.find(kEnd, *at);
  std::string field = text.substr(*at, end - *at);
  *at = end + 1;
  return field;
}

}  // namespace

std::vector<GpuPlace> GatherPlaces(RankGroup& group, const GpuPlace& mine) {
  std::vector<GpuPlace> places;
  for (const std::string& text :
       GatherTexts(group, mine.host + kEnd + mine.name + kEnd + mine.uuid + kEnd)) {
    size_t at = 0;
    GpuPlace place;
    place.host = Field(text, &at);
    place.name = Field(text, &at);
    place.uuid = Field(text, &at);
    places.push_back(place);
  }
  return places;
}

void RequireOwnGpus(const std::vector<GpuPlace>& of_rank) {
  std::map<std::string, size_t> first;  // rank with that GPU
  for (size_t rank = 0; rank < of_rank.size(); ++rank) {
    const auto [found, is_new] = first.emplace(of_rank[rank].uuid, rank);
    if (is_new) continue;
    throw AgreedError(ExitCode::kBadCluster,
                      "ranks " + std::to_string(found->second) + " and " + std::to_string(rank) +
                          " have the same GPU, " + of_rank[rank].name + " of host " +
                          of_rank[rank].host +
                          ", and NCCL wants one for each rank; start as many processes as there "
                          "are GPUs, with --device cuda, or use --communicator naive");
  }
}

}  // namespace lockstep
