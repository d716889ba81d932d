// Prepares batches ahead of their use.
#ifndef LOCKSTEP_DATA_BATCH_PIPELINE_H_
#define LOCKSTEP_DATA_BATCH_PIPELINE_H_

#include <condition_variable>
#include <cstdint>
#include <exception>
#include <functional>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "data/batch_schedule.h"
#include "data/bytes.h"

namespace lockstep {

// A ring of slots. Batch number i goes through slot i % slots: a thread claims it by asking for the
// next scheduled batch, fills it and marks it ready; Next() hands the slots out in order and frees
// the one before. Without threads, or where none can be started, Next() does all of it itself.
class BatchPipeline {
 public:
  struct Slot {
    ScheduledBatch scheduled;
    Bytes x;
    Bytes labels;
    std::exception_ptr error;
    bool ready = false;
  };
  // Called under the lock, for one batch at a time; nothing at the end.
  using Schedule = std::function<std::optional<ScheduledBatch>()>;
  // Called by several threads at once, each with its own slot.
  using Fill = std::function<void(const ScheduledBatch&, uint8_t* x, uint8_t* labels)>;

  BatchPipeline(int threads, int slots, size_t x_bytes, size_t label_bytes, Schedule schedule,
                Fill fill);
  ~BatchPipeline();
  BatchPipeline(const BatchPipeline&) = delete;
  BatchPipeline& operator=(const BatchPipeline&) = delete;

  // The next batch; the slot stays as it is until the next call. Throws what filling it threw, and
  // ConfigError behind the end.
  const Slot& Next();
  // Waits for the threads and forgets what they prepared; the next Next() starts afresh.
  void Stop();

 private:
  void Start();
  void Work();
  bool Claim(Slot** slot);
  const Slot& NextAlone();

  const int thread_count_;
  const Schedule schedule_;
  const Fill fill_;
  std::vector<Slot> slots_;

  std::mutex mutex_;
  std::condition_variable may_fill_, may_take_;
  std::vector<std::thread> threads_;
  bool alone_;  // Next() makes the batches
  // Numbers of batches: claimed by threads, handed out, and freed again.
  uint64_t claimed_ = 0, taken_ = 0, freed_ = 0;
  bool stopping_ = false;
  bool ended_ = false;
  std::exception_ptr schedule_error_;
};

}  // namespace lockstep

#endif  // LOCKSTEP_DATA_BATCH_PIPELINE_H_
