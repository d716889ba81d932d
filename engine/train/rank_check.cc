#include "engine/train/rank_check.h"

#include <algorithm>
#include <span>
#include <vector>

#include "engine/train/crc32c.h"
#include "engine/train/rank_group.h"
#include "engine/train/trainer.h"

namespace lockstep {
namespace {

struct Sums {
  std::vector<std::string> names;
  std::vector<uint32_t> values;

  void Add(const std::string& name, const void* data, int64_t bytes) {
    names.push_back(name);
    values.push_back(Crc32c({static_cast<const std::byte*>(data), static_cast<size_t>(bytes)}));
  }
};

Sums SumsOf(const Trainer& trainer, const Variables& variables, const Updater& updater) {
  Sums sums;
  for (const Variables::Entry& entry : variables.entries()) {
    if (entry.role != Role::kParameter) continue;
    sums.Add(entry.name, variables.View(entry).data(), entry.type.bytes());
    for (const std::string& state : updater.optimizer().state_names()) {
      const Tensor view = updater.StateView(entry.name, state);
      sums.Add("the optimizer's " + state + " of " + entry.name, view.data(),
               static_cast<int64_t>(view.bytes()));
    }
  }
  const int64_t iteration = trainer.clock().iteration;
  sums.Add("the number of the step", &iteration, sizeof iteration);
  return sums;
}

// The first rank whose value fewest ranks share.
size_t OddOneOut(const std::vector<uint32_t>& of_rank) {
  const auto fewer = [&](uint32_t a, uint32_t b) {
    return std::count(of_rank.begin(), of_rank.end(), a) <
           std::count(of_rank.begin(), of_rank.end(), b);
  };
  return static_cast<size_t>(std::min_element(of_rank.begin(), of_rank.end(), fewer) -
                             of_rank.begin());
}

}  // namespace

void RankCheck::Invoke(Trainer& trainer) {
  RankGroup& group = trainer.network().group();
  if (group.size() == 1) return;
  const Sums mine = SumsOf(trainer, trainer.network().variables(), trainer.updater());
  const size_t count = mine.values.size(), ranks = static_cast<size_t>(group.size());
  std::vector<uint32_t> all(count * ranks);
  group.Gather(mine.values.data(), count * sizeof(uint32_t), all.data());
  for (size_t i = 0; i < count; ++i) {
    std::vector<uint32_t> of_rank;
    for (size_t rank = 0; rank < ranks; ++rank) of_rank.push_back(all[rank * count + i]);
    if (std::count(of_rank.begin(), of_rank.end(), of_rank[0]) == std::ssize(of_rank)) continue;
    const std::string who =
        ranks == 2 ? "ranks 0 and 1 hold different values"
                   : "rank " + std::to_string(OddOneOut(of_rank)) + " holds other values than most";
    throw AgreedError(ExitCode::kDisagree,
                      who + " in " + mine.names[i] + " at iteration " +
                          std::to_string(trainer.clock().iteration) + ", as they did not " +
                          std::to_string(every_) +
                          " steps before: a fault of memory or processor; start the job again, it "
                          "goes on from its newest checkpoint");
  }
}

}  // namespace lockstep
