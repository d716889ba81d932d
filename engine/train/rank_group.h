// The seam between training and the ranks of a job: engine declares it, comm implements it.
#ifndef LOCKSTEP_ENGINE_TRAIN_RANK_GROUP_H_
#define LOCKSTEP_ENGINE_TRAIN_RANK_GROUP_H_

#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <string>
#include <type_traits>
#include <vector>

#include "kernels/backend.h"
#include "kernels/error.h"

namespace lockstep {

// Seconds of a monotonic clock.
struct TimeSpan {
  double begin = 0.0, end = 0.0;
};

// The ranks that train one network together. Every rank calls the same functions in the same order
// with the same sizes, from its training thread. What fails throws CommError (69).
class RankGroup {
 public:
  virtual ~RankGroup() = default;
  virtual int rank() const = 0;
  virtual int size() const = 0;
  // all = the `bytes` of rank 0, then those of rank 1, ...
  virtual void Gather(const void* mine, size_t bytes, void* all) = 0;
  virtual void Broadcast(void* data, size_t bytes, int root) = 0;
  // Every value becomes its sum over the ranks; exact, and wraps. They lie in the host's memory, or
  // in that of a device which Reaches() says is reached and which has done its work on them.
  virtual void Sum(int64_t* values, int64_t count) = 0;
  // The same of values in the host's memory, only begun: they are sums when FinishSums() has
  // returned, and nobody touches them before.
  virtual void StartSum(std::shared_ptr<int64_t> values, int64_t count) = 0;
  virtual void FinishSums() = 0;
  virtual bool Reaches(const Backend& device) const = 0;
  // Zeroed memory, aligned to 64 bytes, whose sums over ranks need no copies. It may outlive the
  // group.
  virtual std::shared_ptr<std::byte> Allocate(size_t bytes) = 0;
  // For how long the above have kept the training thread so far.
  virtual double seconds_blocked() const = 0;
  // When that was, since it was last asked.
  virtual std::vector<TimeSpan> TakeBlocked() = 0;
};

// A job of one process.
class OneRank : public RankGroup {
 public:
  int rank() const override { return 0; }
  int size() const override { return 1; }
  void Gather(const void* mine, size_t bytes, void* all) override;
  void Broadcast(void*, size_t, int) override {}
  void Sum(int64_t*, int64_t) override {}
  void StartSum(std::shared_ptr<int64_t>, int64_t) override {}
  void FinishSums() override {}
  bool Reaches(const Backend&) const override { return true; }
  std::shared_ptr<std::byte> Allocate(size_t bytes) override;
  double seconds_blocked() const override { return 0.0; }
  std::vector<TimeSpan> TakeBlocked() override { return {}; }
};

// What each rank gave, in the order of ranks.
template <typename T>
std::vector<T> GatherValues(RankGroup& group, const T& mine) {
  static_assert(std::is_trivially_copyable_v<T>);
  std::vector<T> all(static_cast<size_t>(group.size()));
  group.Gather(&mine, sizeof mine, all.data());
  return all;
}
std::vector<std::string> GatherTexts(RankGroup& group, const std::string& mine);
// The text of `root` on every rank.
std::string BroadcastText(RankGroup& group, const std::string& mine, int root);
// Whether any rank says so.
bool AnyRank(RankGroup& group, bool mine);

// "rank 1"; where the ranks' hosts are several, "rank 1 at algo-2".
std::string RankName(int rank, const std::vector<std::string>& hosts);

// What every rank of a group throws alike: nobody needs to be told.
class AgreedError : public Error {
 public:
  using Error::Error;
};

// Every rank says what it has met, null for nothing wrong. Where anything is wrong anywhere, all
// throw AgreedError, the words of the first such rank, "rank 1: ...", with its exit code. A single
// rank throws what it has met.
void AgreeOnFailure(RankGroup& group, const std::exception_ptr& mine);
// The second half of that, where it is known already that `rank` has met something.
[[noreturn]] void ThrowFailureOf(RankGroup& group, int rank, const std::exception_ptr& mine);

}  // namespace lockstep

#endif  // LOCKSTEP_ENGINE_TRAIN_RANK_GROUP_H_
