#include "comm/shm/shm_communicator.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstring>
#include <exception>
#include <utility>

#include "comm/local/local_communicator.h"
#include "comm/shm/process_watch.h"
#include "comm/shm/shared_memory.h"
#include "kernels/cpu/cores.h"
#include "kernels/error.h"

namespace lockstep {
namespace {

// Exchanges short texts by a communicator's allgather.
std::vector<std::string> ExchangeBy(Communicator& group, const std::string& mine) {
  using Text = std::array<char, 64>;
  Text text{};
  std::memcpy(text.data(), mine.data(), std::min(mine.size(), text.size() - 1));
  std::vector<Text> all(static_cast<size_t>(group.size()));
  group.Allgather(text.data(), sizeof text, all.data());
  std::vector<std::string> texts;
  texts.reserve(all.size());
  for (const Text& other : all) texts.emplace_back(other.data());
  return texts;
}

// Memory of a group, made by its first rank. `tell_name` is called by all: it takes the first
// rank's name of the offer (others: "") and returns it on every rank. When the first rank cannot
// make memory the others get an empty name, and do not wait for it.
std::shared_ptr<std::byte> ShareMemory(
    size_t bytes, const Meeting::Who& who,
    const std::function<std::string(const std::string&)>& tell_name, const WaitCheck& check) {
  if (who.rank != 0) {
    const std::string name = tell_name("");
    if (name.empty()) throw CommError("the first rank of this host could not make memory to share");
    return MapMemory(TakeDescriptor(name, check), bytes);
  }
  FileDescriptor memory;
  std::unique_ptr<DescriptorOffer> offer;
  std::exception_ptr failure;
  try {
    memory = MakeMemory(bytes);
    offer = std::make_unique<DescriptorOffer>();
  } catch (...) {
    failure = std::current_exception();
  }
  tell_name(offer ? offer->name() : "");
  if (failure) std::rethrow_exception(failure);
  offer->Give(memory, who.size - 1, check);
  return MapMemory(memory, bytes);
}

void CheckAlive(const ProcessWatch& watch) {
  for (size_t i = 0; i < watch.processes().size(); ++i) {
    if (!watch.HasEnded(static_cast<int>(i))) continue;
    throw CommError("rank " + std::to_string(i) + " of this host (process " +
                    std::to_string(watch.processes()[i]) +
                    ") has died before the ranks met; start the job again");
  }
}

// Buffers of all ranks, one behind the other, and a count of the ranks that let go of theirs. A
// rank keeps its mapping until all have: others may still use theirs.
struct Region {
  uint64_t id = 0;
  std::shared_ptr<std::byte> memory;
  size_t stride = 0;

  std::byte* BufferOf(int rank) const { return memory.get() + static_cast<size_t>(rank) * stride; }
  std::atomic<int32_t>& Released(int size) const {
    return *reinterpret_cast<std::atomic<int32_t>*>(BufferOf(size));
  }
};

// Large buffers share no huge page.
size_t StrideFor(size_t bytes) {
  const size_t page = bytes >= kHugePage ? kHugePage : kPage;
  return std::max<size_t>((bytes + page - 1) / page, 1) * page;
}

class ShmCommunicator : public LocalCommunicator {
 public:
  ShmCommunicator(std::shared_ptr<std::byte> memory, Meeting::Who who,
                  std::shared_ptr<const ProcessWatch> watch)
      : LocalCommunicator(std::move(memory), who,
                          [watch](int rank) { return watch->HasEnded(rank); }),
        watch_(std::move(watch)) {}

  std::string name() const override { return "shm"; }
  std::shared_ptr<std::byte> Allocate(size_t bytes) override;
  std::vector<std::shared_ptr<const void>> Share(const std::shared_ptr<const void>& mine,
                                                 size_t bytes) override;

 protected:
  Place PlaceOf(const void* data, size_t bytes) const override;
  std::byte* Reach(int rank, Place place) const override;
  std::unique_ptr<Communicator> MakePart(int color, const std::vector<int>& members,
                                         Meeting::Who who) override;

 private:
  const std::shared_ptr<const ProcessWatch> watch_;
  std::vector<Region> regions_;
  uint64_t allocations_ = 0;
};

std::shared_ptr<std::byte> ShmCommunicator::Allocate(size_t bytes) {
  const int ranks = who().size;
  std::erase_if(regions_, [&](const Region& r) { return r.Released(ranks).load() == ranks; });
  Region region;
  region.id = ++allocations_;
  region.stride = StrideFor(bytes);
  const auto tell_name = [this](const std::string& name) {
    return ExchangeBy(*this, name).front();
  };
  region.memory = ShareMemory(region.stride * static_cast<size_t>(ranks) + kPage, who(), tell_name,
                              [this] { CheckAlive(*watch_); });
  if (bytes >= kHugePage) UseHugePages(region.BufferOf(who().rank), region.stride);
  regions_.push_back(region);
  return {region.BufferOf(who().rank),
          [region, ranks](std::byte*) { region.Released(ranks).fetch_add(1); }};
}

std::vector<std::shared_ptr<const void>> ShmCommunicator::Share(
    const std::shared_ptr<const void>& mine, size_t bytes) {
  struct Shown {
    Place place;
    uint64_t bytes;
  };
  const Shown shown{PlaceOf(mine.get(), bytes), bytes};
  std::vector<Shown> shown_by_all(static_cast<size_t>(size()));
  Allgather(&shown, sizeof shown, shown_by_all.data());
  for (const Shown& of_rank : shown_by_all) {
    if (of_rank.place.region == 0) return {};
  }
  std::vector<std::shared_ptr<const void>> all;
  for (int r = 0; r < size(); ++r) {
    const Shown& of_rank = shown_by_all[static_cast<size_t>(r)];
    if (of_rank.place.region != shown.place.region || of_rank.place.offset != shown.place.offset ||
        of_rank.bytes != shown.bytes) {
      throw Error(ExitCode::kBug, "ranks share memory of different allocations");
    }
    all.emplace_back(mine, Reach(r, of_rank.place));  // which keeps the region mapped
  }
  return all;
}

LocalCommunicator::Place ShmCommunicator::PlaceOf(const void* data, size_t bytes) const {
  const auto address = reinterpret_cast<uintptr_t>(data);
  for (const Region& region : regions_) {
    const auto begin = reinterpret_cast<uintptr_t>(region.BufferOf(who().rank));
    if (address >= begin && address - begin <= region.stride &&
        bytes <= region.stride - (address - begin)) {
      return {.region = region.id, .offset = address - begin};
    }
  }
  return {};
}

std::byte* ShmCommunicator::Reach(int rank, Place place) const {
  for (const Region& region : regions_) {
    if (region.id == place.region) return region.BufferOf(rank) + place.offset;
  }
  throw Error(ExitCode::kBug, "a rank uses memory that all ranks have let go of");
}

// All ranks of this group tell names together; those of other colors ignore them.
std::unique_ptr<Communicator> ShmCommunicator::MakePart(int /*color*/,
                                                        const std::vector<int>& members,
                                                        Meeting::Who part) {
  std::vector<int32_t> processes;
  processes.reserve(members.size());
  for (const int member : members) {
    processes.push_back(watch_->processes()[static_cast<size_t>(member)]);
  }
  const auto watch = std::make_shared<const ProcessWatch>(std::move(processes));
  const auto first = static_cast<size_t>(members.front());
  const auto tell_name = [this, first](const std::string& name) {
    return ExchangeBy(*this, name)[first];
  };
  std::shared_ptr<std::byte> memory =
      ShareMemory(MemoryFor(part.size), part, tell_name, [&] { CheckAlive(*watch); });
  return std::make_unique<ShmCommunicator>(std::move(memory), part, watch);
}

}  // namespace

std::unique_ptr<Communicator> MakeShmCommunicator(ShmRank who, const ExchangeBytes& exchange) {
  Meeting::Who meeting{
      .rank = who.rank, .size = who.size, .world_rank = who.world_rank, .neighbours = 0};
  const std::string cores = " " + std::to_string(std::hash<std::string>()(cpu::AffinityMask()));
  std::vector<int32_t> processes;
  for (const std::string& process : exchange(std::to_string(::getpid()) + cores)) {
    processes.push_back(static_cast<int32_t>(std::stoi(process)));
    meeting.neighbours += process.ends_with(cores) ? 1 : 0;
  }
  const auto watch = std::make_shared<const ProcessWatch>(std::move(processes));
  const auto tell_name = [&](const std::string& name) { return exchange(name).front(); };
  std::shared_ptr<std::byte> memory = ShareMemory(LocalCommunicator::MemoryFor(who.size), meeting,
                                                  tell_name, [&] { CheckAlive(*watch); });
  return std::make_unique<ShmCommunicator>(std::move(memory), meeting, watch);
}

std::unique_ptr<Communicator> MakeShmCommunicator(Communicator& group, int world_rank) {
  return MakeShmCommunicator({.rank = group.rank(), .size = group.size(), .world_rank = world_rank},
                             [&](const std::string& mine) { return ExchangeBy(group, mine); });
}

}  // namespace lockstep
