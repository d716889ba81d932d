#include "engine/train/late_sums.h"

#include <utility>
#include <vector>

namespace lockstep {

LateSums::LateSums(Backend& backend)
    : backend_(backend), memory_(AllocateOn(backend, sizeof(Memory), "what batches came to")) {}

void LateSums::Add(const std::function<void(LossSums* sums)>& begin) {
  if (kept_ == kMost) Download();
  LossSums* const sums = &memory()->current;
  backend_.Clear(sums, sizeof *sums);
  begin(sums);
  backend_.Copy(sums, &memory()->kept[kept_++], sizeof *sums);
}

void LateSums::Download() {
  std::vector<LossSums> kept(std::exchange(kept_, 0));
  backend_.Download(memory()->kept, kept.data(), kept.size() * sizeof(LossSums));
  for (const LossSums& sums : kept) total_ += sums;
}

LossSums LateSums::Take() {
  if (kept_ > 0) Download();
  return std::exchange(total_, {});
}

}  // namespace lockstep
