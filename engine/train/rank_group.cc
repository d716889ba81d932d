#include "engine/train/rank_group.h"

#include <algorithm>
#include <cstring>
#include <new>

#include "engine/train/failure.h"
#include "engine/train/host_name.h"
#include "engine/train/posix_file.h"

namespace lockstep {

void OneRank::Gather(const void* mine, size_t bytes, void* all) {
  if (bytes > 0) std::memcpy(all, mine, bytes);
}

std::shared_ptr<std::byte> OneRank::Allocate(size_t bytes) {
  constexpr auto kAlignment = std::align_val_t{64};
  const auto free = [](std::byte* memory) { ::operator delete[](memory, kAlignment); };
  std::shared_ptr<std::byte> memory(new (kAlignment) std::byte[std::max<size_t>(bytes, 1)], free);
  std::memset(memory.get(), 0, bytes);
  return memory;
}

std::string BroadcastText(RankGroup& group, const std::string& mine, int root) {
  std::string text = mine;
  auto bytes = static_cast<uint64_t>(text.size());
  group.Broadcast(&bytes, sizeof bytes, root);
  text.resize(bytes);
  group.Broadcast(text.data(), text.size(), root);
  return text;
}

std::vector<std::string> GatherTexts(RankGroup& group, const std::string& mine) {
  const std::vector<uint64_t> sizes = GatherValues<uint64_t>(group, mine.size());
  const size_t longest = *std::max_element(sizes.begin(), sizes.end());
  std::string padded = mine;
  padded.resize(longest);
  std::string all(longest * sizes.size(), '\0');
  group.Gather(padded.data(), longest, all.data());
  std::vector<std::string> texts;
  for (size_t rank = 0; rank < sizes.size(); ++rank) {
    texts.push_back(all.substr(rank * longest, sizes[rank]));
  }
  return texts;
}

bool AnyRank(RankGroup& group, bool mine) {
  const std::vector<uint8_t> all = GatherValues<uint8_t>(group, mine ? 1 : 0);
  return std::any_of(all.begin(), all.end(), [](uint8_t one) { return one != 0; });
}

std::string RankName(int rank, const std::vector<std::string>& hosts) {
  const bool several = std::count(hosts.begin(), hosts.end(), hosts[0]) != std::ssize(hosts);
  return "rank " + std::to_string(rank) +
         (several ? " at " + Printable(hosts[static_cast<size_t>(rank)]) : "");
}

void AgreeOnFailure(RankGroup& group, const std::exception_ptr& mine) {
  const std::vector<uint8_t> failed = GatherValues<uint8_t>(group, mine ? 1 : 0);
  const auto first = std::find(failed.begin(), failed.end(), 1);
  if (first == failed.end()) return;
  ThrowFailureOf(group, static_cast<int>(first - failed.begin()), mine);
}

void ThrowFailureOf(RankGroup& group, int rank, const std::exception_ptr& mine) {
  if (group.size() == 1) std::rethrow_exception(mine);
  Failure failure;
  if (group.rank() == rank) failure = DescribeFailure(mine);
  group.Broadcast(&failure.code, sizeof failure.code, rank);
  const std::string text = BroadcastText(group, failure.text, rank);
  throw AgreedError(failure.code, RankName(rank, GatherTexts(group, HostName())) + ": " + text);
}

}  // namespace lockstep
