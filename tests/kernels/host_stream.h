// Runs what a GPU runs on the host: maps one after the other, blocks by one thread or by several
// that meet at a barrier. See kernels/cuda/dispatch.h.
#ifndef LOCKSTEP_TESTS_KERNELS_HOST_STREAM_H_
#define LOCKSTEP_TESTS_KERNELS_HOST_STREAM_H_

#include <algorithm>
#include <barrier>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <thread>
#include <vector>

#include "kernels/math/bad_label.h"
#include "kernels/math/block.h"
#include "kernels/math/pack.h"

namespace lockstep::test {

// One of several threads that run the same text.
class ThreadBlock : public math::BlockOps<ThreadBlock> {
 public:
  struct Shared {
    explicit Shared(int threads)
        : barrier(threads), slots(static_cast<size_t>(threads) * math::kSlotBytes / 8) {}
    std::barrier<> barrier;
    std::vector<double> slots;
  };

  // `shared` must outlive this.
  ThreadBlock(int rank, int size, Shared* shared) : rank_(rank), size_(size), shared_(shared) {}

  int rank() const { return rank_; }
  int size() const { return size_; }
  void Wait() const { shared_->barrier.arrive_and_wait(); }
  template <typename T>
  T* slots() const {
    return reinterpret_cast<T*>(shared_->slots.data());
  }

 private:
  int rank_, size_;
  Shared* shared_;
};

class HostStream {
 public:
  static constexpr int64_t kTogether = 6;

  // threads 0: each block is one thread alone (SerialBlock). Otherwise the first kTogether blocks
  // are of so many threads: barriers take long where there are fewer cores.
  explicit HostStream(int threads) : threads_(threads) {}

  template <typename Map>
  void ForEach(const char*, int64_t size, const Map& map) {
    for (int64_t i = 0; i < size; ++i) map(i);
  }

  template <typename Map>
  void ForPacks(const char*, int64_t size, const Map& map) {
    constexpr int kPack = math::kPackElements<typename Map::Element>;
    int64_t i = 0;
    if (map.IsAligned()) {
      for (; i + kPack <= size; i += kPack) map.template Run<kPack>(i);
    }
    for (; i < size; ++i) map.template Run<1>(i);
  }

  template <typename Algorithm>
  void ForBlocks(const char*, int64_t blocks, const Algorithm& algorithm) {
    const int64_t together = threads_ == 0 ? 0 : std::min(blocks, kTogether);
    for (int64_t b = together; b < blocks; ++b) algorithm(math::SerialBlock(), b);
    if (together == 0) return;
    ThreadBlock::Shared shared(threads_);
    std::vector<std::thread> threads;
    for (int rank = 0; rank < threads_; ++rank) {
      threads.emplace_back([&, rank] {
        const ThreadBlock block(rank, threads_, &shared);
        for (int64_t b = 0; b < together; ++b) algorithm(block, b);
      });
    }
    for (std::thread& thread : threads) thread.join();
  }

  // What lay there before is no number.
  void* Scratch(size_t bytes) {
    scratch_.assign(bytes / sizeof(double) + 1, std::numeric_limits<double>::quiet_NaN());
    return scratch_.data();
  }
  math::BadLabel* bad_label() { return &bad_label_; }
  void Copy(const void* from, void* to, size_t bytes) {
    if (bytes > 0) std::memcpy(to, from, bytes);
  }
  void Download(const void* from, void* to, size_t bytes) { Copy(from, to, bytes); }

 private:
  int threads_;
  std::vector<double> scratch_;
  math::BadLabel bad_label_{};
};

}  // namespace lockstep::test

#endif  // LOCKSTEP_TESTS_KERNELS_HOST_STREAM_H_
