#include "kernels/cuda/upload_ring.h"

#include <gtest/gtest.h>

#include <cstring>
#include <deque>
#include <functional>
#include <random>
#include <vector>

namespace lockstep::cuda {
namespace {

// Two queues of work, as a GPU's streams: each in its order, one against the other as chance has
// it, and nothing before it must.
class TwoQueues final : public UploadSlots {
 public:
  TwoQueues(size_t count, size_t bytes, unsigned seed)
      : pinned_(count, std::vector<char>(bytes)),
        on_device_(count, std::vector<char>(bytes)),
        begun_sends_(count),
        sends_(count),
        begun_deliveries_(count),
        deliveries_(count),
        chance_(seed) {}

  size_t count() const override { return pinned_.size(); }
  size_t bytes() const override { return pinned_[0].size(); }
  char* Pinned(size_t slot) override {
    if (sends_[slot] < begun_sends_[slot]) ++waits;
    while (sends_[slot] < begun_sends_[slot]) Advance();
    return pinned_[slot].data();
  }
  void Send(size_t slot, size_t bytes) override {
    ++begun_sends_[slot];
    copies_.push_back(
        {[this, slot, behind = begun_deliveries_[slot]] { return deliveries_[slot] >= behind; },
         [this, slot, bytes] {
           std::memcpy(on_device_[slot].data(), pinned_[slot].data(), bytes);
           ++sends_[slot];
         }});
  }
  void Deliver(size_t slot, void* device, size_t bytes) override {
    ++begun_deliveries_[slot];
    Begin([this, slot, behind = begun_sends_[slot]] { return sends_[slot] >= behind; },
          [this, slot, device, bytes] {
            std::memcpy(device, on_device_[slot].data(), bytes);
            ++deliveries_[slot];
          });
  }
  // A kernel.
  void Begin(const std::function<void()>& work) {
    Begin([] { return true; }, work);
  }
  void Finish() {
    while (!work_.empty() || !copies_.empty()) Advance();
  }
  // All copies that need no more work to be done.
  void FinishCopies() {
    while (!copies_.empty() && copies_.front().may_run()) Run(&copies_);
  }

  int64_t waits = 0;  // of the host

 private:
  struct Item {
    std::function<bool()> may_run;
    std::function<void()> run;
  };
  void Begin(const std::function<bool()>& may_run, const std::function<void()>& run) {
    work_.push_back({may_run, run});
  }
  void Run(std::deque<Item>* queue) {
    const Item item = queue->front();
    queue->pop_front();
    item.run();
  }
  void Advance() {
    std::deque<Item>* const queue = chance_() % 2 == 0 ? &work_ : &copies_;
    if (!queue->empty() && queue->front().may_run()) Run(queue);
  }

  std::vector<std::vector<char>> pinned_, on_device_;
  std::vector<int> begun_sends_, sends_, begun_deliveries_, deliveries_;
  std::deque<Item> work_, copies_;
  std::mt19937 chance_;
};

// What kernels see is what was uploaded last before them, whatever overtakes what.
TEST(UploadRing, BringsEachArrayInItsTurn) {
  for (unsigned seed = 0; seed < 200; ++seed) {
    const size_t slots = 1 + seed % 4;
    TwoQueues queues(slots, 8, seed);
    UploadRing ring(&queues);
    std::mt19937 chance(seed + 1000);
    std::vector<char> device(50), host(50), now(50);
    std::vector<std::vector<char>> wanted, found;
    for (int step = 0; step < 20; ++step) {
      const size_t begin = chance() % 50, bytes = chance() % (51 - begin);
      for (size_t i = 0; i < bytes; ++i) host[i] = static_cast<char>(chance());
      std::copy_n(host.begin(), bytes, now.begin() + static_cast<ptrdiff_t>(begin));
      ring.Upload(host.data(), device.data() + begin, bytes);
      host.assign(50, 'x');  // may change as soon as the call returns
      wanted.push_back(now);
      queues.Begin([&] { found.push_back(device); });
    }
    queues.Finish();
    EXPECT_EQ(found, wanted) << "seed " << seed;
  }
}

// The next batches travel beside the work that is under way.
TEST(UploadRing, LetsTheHostGoAheadOfTheKernels) {
  TwoQueues queues(4, 8, 1);
  UploadRing ring(&queues);
  std::vector<char> device(8), seen;
  const std::vector<char> host(8, 'a');
  queues.Begin([&] { seen = device; });
  for (int i = 0; i < 4; ++i) {
    ring.Upload(host.data(), device.data(), 8);
    queues.FinishCopies();  // all on the GPU, though the kernel has not begun
  }
  EXPECT_EQ(queues.waits, 0);
  EXPECT_TRUE(seen.empty());
  EXPECT_EQ(device, std::vector<char>(8));
  queues.Finish();
  EXPECT_EQ(seen, std::vector<char>(8));
  EXPECT_EQ(device, host);
}

TEST(UploadRing, HasNothingToDoForNoBytes) {
  TwoQueues queues(2, 8, 1);
  UploadRing(&queues).Upload(nullptr, nullptr, 0);
  queues.Finish();
  EXPECT_EQ(queues.waits, 0);
}

}  // namespace
}  // namespace lockstep::cuda
