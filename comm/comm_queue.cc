#include "comm/comm_queue.h"

#include <condition_variable>
#include <deque>
#include <exception>
#include <mutex>
#include <string>
#include <thread>
#include <utility>

namespace lockstep {

struct CommQueue::Handle::State {
  std::mutex mutex;
  std::condition_variable changed;
  bool done = false;
  std::exception_ptr error;

  void Finish(std::exception_ptr failure) {
    const std::lock_guard<std::mutex> lock(mutex);
    error = std::move(failure);
    done = true;
    changed.notify_all();
  }
};

// A handle that no job belongs to has nothing to wait for.
void CommQueue::Handle::Wait() {
  if (!state_) return;
  std::unique_lock<std::mutex> lock(state_->mutex);
  state_->changed.wait(lock, [this] { return state_->done; });
  if (state_->error) std::rethrow_exception(state_->error);
}

bool CommQueue::Handle::done() const {
  if (!state_) return true;
  const std::lock_guard<std::mutex> lock(state_->mutex);
  return state_->done;
}

class CommQueue::Impl {
 public:
  explicit Impl(Communicator& communicator)
      : communicator_(communicator), thread_([this] { Run(); }) {}

  ~Impl() {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      ending_ = true;
    }
    submitted_.notify_one();
    thread_.join();
  }

  const ProgressBoard& progress() const { return progress_; }

  void Add(std::string_view name, Job job, std::shared_ptr<Handle::State> state) {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      entries_.push_back({std::string(name), std::move(job), std::move(state)});
    }
    submitted_.notify_one();
  }

 private:
  struct Entry {
    std::string name;
    Job job;
    std::shared_ptr<Handle::State> state;
  };

  void Run() {
    std::exception_ptr failure;
    for (;;) {
      std::unique_lock<std::mutex> lock(mutex_);
      submitted_.wait(lock, [this] { return ending_ || !entries_.empty(); });
      if (entries_.empty()) return;
      Entry entry = std::move(entries_.front());
      entries_.pop_front();
      lock.unlock();
      if (!failure) failure = Try(entry);
      // What the job holds is let go before its waiter goes on.
      entry.job = nullptr;
      entry.state->Finish(failure);
    }
  }

  // A job that throws was not finished.
  std::exception_ptr Try(const Entry& entry) {
    progress_.Enter(entry.name);
    try {
      entry.job(communicator_);
      progress_.Finish();
      return nullptr;
    } catch (...) {
      return std::current_exception();
    }
  }

  Communicator& communicator_;
  ProgressBoard progress_;
  std::mutex mutex_;
  std::condition_variable submitted_;
  std::deque<Entry> entries_;
  bool ending_ = false;
  std::thread thread_;  // last: it uses the others
};

CommQueue::CommQueue(Communicator& communicator) : impl_(std::make_unique<Impl>(communicator)) {}

CommQueue::~CommQueue() = default;

CommQueue::Handle CommQueue::Submit(std::string_view name, Job job) {
  Handle handle;
  handle.state_ = std::make_shared<Handle::State>();
  impl_->Add(name, std::move(job), handle.state_);
  return handle;
}

const ProgressBoard& CommQueue::progress() const { return impl_->progress(); }

}  // namespace lockstep
