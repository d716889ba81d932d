// Collectives beside computation.
#ifndef LOCKSTEP_COMM_COMM_QUEUE_H_
#define LOCKSTEP_COMM_COMM_QUEUE_H_

#include <functional>
#include <memory>
#include <string_view>

#include "comm/comm_progress.h"
#include "comm/communicator.h"

namespace lockstep {

// Runs jobs on a communicator one after the other, on a thread of its own: MPI makes progress only
// inside its calls, so blocking ones there run while the caller computes. Every rank submits the
// same jobs in the same order. Submit from one thread; wait from any.
class CommQueue {
 public:
  using Job = std::function<void(Communicator&)>;

  // Of one submitted job; may be copied, and outlive the queue.
  class Handle {
   public:
    // Returns when the job is done; throws what it threw. After a job has thrown, later ones are
    // not run: their Wait throws the same.
    void Wait();
    bool done() const;

   private:
    friend class CommQueue;
    struct State;
    std::shared_ptr<State> state_;
  };

  // `communicator` outlives the queue and is used by nobody else meanwhile.
  explicit CommQueue(Communicator& communicator);
  // Waits for what is submitted.
  ~CommQueue();
  CommQueue(const CommQueue&) = delete;
  CommQueue& operator=(const CommQueue&) = delete;

  // `name` says what it is about, the same on every rank.
  Handle Submit(std::string_view name, Job job);

  // The newest job that was begun. It may be read from any thread, also while that job hangs.
  const ProgressBoard& progress() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace lockstep

#endif  // LOCKSTEP_COMM_COMM_QUEUE_H_
