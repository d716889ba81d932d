#include "comm/thread/thread_communicator.h"

#include <sys/mman.h>

#include <bit>
#include <map>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "comm/local/local_communicator.h"
#include "comm/memory.h"
#include "kernels/error.h"

namespace lockstep {
namespace {

// Zeroed by the system as it is touched: small groups and sums never see most of it.
std::shared_ptr<std::byte> GroupMemory(int size) {
  const size_t bytes = LocalCommunicator::MemoryFor(size);
  void* const memory =
      ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) {
    throw DeviceError("no memory for a group of " + std::to_string(size) + " ranks");
  }
  return {static_cast<std::byte*>(memory), [bytes](std::byte* p) { ::munmap(p, bytes); }};
}

// What the threads of a group share.
class Group {
 public:
  explicit Group(int size)
      : memory_(GroupMemory(size)), shared_by_rank_(static_cast<size_t>(size)) {}
  const std::shared_ptr<std::byte>& memory() const { return memory_; }
  // What ranks show each other between two barriers.
  std::vector<std::shared_ptr<const void>>& shared_by_rank() { return shared_by_rank_; }

  // The group of a color in the `split`-th split: made by the first member that comes, forgotten
  // with the last.
  std::shared_ptr<Group> PartOf(uint64_t split, int color, int size) {
    const std::lock_guard<std::mutex> lock(mutex_);
    Joining& joining = parts_[{split, color}];
    if (!joining.group) joining.group = std::make_shared<Group>(size);
    std::shared_ptr<Group> group = joining.group;
    if (++joining.members == size) parts_.erase({split, color});
    return group;
  }

 private:
  struct Joining {
    std::shared_ptr<Group> group;
    int members = 0;
  };

  const std::shared_ptr<std::byte> memory_;
  std::vector<std::shared_ptr<const void>> shared_by_rank_;
  std::mutex mutex_;
  std::map<std::pair<uint64_t, int>, Joining> parts_;
};

class ThreadCommunicator : public LocalCommunicator {
 public:
  ThreadCommunicator(std::shared_ptr<Group> group, Meeting::Who who)
      : LocalCommunicator(group->memory(), who, {}), group_(std::move(group)) {}

  std::string name() const override { return "thread"; }
  std::shared_ptr<std::byte> Allocate(size_t bytes) override { return AllocateZeroed(bytes); }
  std::vector<std::shared_ptr<const void>> Share(const std::shared_ptr<const void>& mine,
                                                 size_t bytes) override;

 protected:
  // All memory is within everybody's reach.
  Place PlaceOf(const void* data, size_t) const override {
    return {.region = 1, .offset = std::bit_cast<uint64_t>(data)};
  }
  std::byte* Reach(int, Place place) const override {
    return std::bit_cast<std::byte*>(place.offset);
  }
  std::unique_ptr<Communicator> MakePart(int color, const std::vector<int>&,
                                         Meeting::Who who) override {
    return std::make_unique<ThreadCommunicator>(group_->PartOf(splits_++, color, who.size), who);
  }

 private:
  const std::shared_ptr<Group> group_;
  uint64_t splits_ = 0;
};

std::vector<std::shared_ptr<const void>> ThreadCommunicator::Share(
    const std::shared_ptr<const void>& mine, size_t) {
  std::shared_ptr<const void>& shown = group_->shared_by_rank()[static_cast<size_t>(rank())];
  shown = mine;
  Barrier();
  std::vector<std::shared_ptr<const void>> all = group_->shared_by_rank();
  Barrier();
  shown.reset();
  return all;
}

}  // namespace

std::vector<std::unique_ptr<Communicator>> MakeThreadCommunicators(int size) {
  if (size < 1) throw ConfigError("a group of " + std::to_string(size) + " ranks; at least 1");
  const auto group = std::make_shared<Group>(size);
  std::vector<std::unique_ptr<Communicator>> ranks;
  ranks.reserve(static_cast<size_t>(size));
  for (int r = 0; r < size; ++r) {
    ranks.push_back(std::make_unique<ThreadCommunicator>(
        group, Meeting::Who{.rank = r, .size = size, .world_rank = r, .neighbours = size}));
  }
  return ranks;
}

}  // namespace lockstep
