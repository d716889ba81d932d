#include "kernels/cpu/crowd.h"

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <latch>
#include <memory>
#include <mutex>
#include <thread>

#include "kernels/cpu/cores.h"
#include "kernels/cpu/parallel.h"

namespace lockstep::cpu {
namespace {

// libgomp's threads spin for 300,000 turns, milliseconds, before they sleep: right where the one
// waited for runs, and a lost time slice for each wait where it has no core. With more threads than
// the process has cores it spins for 100 turns only
// (https://gcc.gnu.org/onlinedocs/libgomp/GOMP_005fSPINCOUNT.html), but those of other processes it
// does not know. So this stands for them: threads of the pool that sleep as long as it lives.
class Bystanders {
 public:
  explicit Bystanders(int threads)
      : thread_([this, threads] {
          internal::Run(
              threads, [](void*, int, int) {}, nullptr);
          there_.count_down();
          // libgomp keeps a team for its first thread, as long as that lives.
          leave_.wait();
        }) {
    there_.wait();
  }
  ~Bystanders() {
    leave_.count_down();
    thread_.join();
  }
  Bystanders(const Bystanders&) = delete;
  Bystanders& operator=(const Bystanders&) = delete;

 private:
  std::latch there_{1}, leave_{1};
  std::thread thread_;  // last: it uses the others
};

struct Crowd {
  std::mutex mutex;
  int processes = 1;
  int threads = 1;
  std::unique_ptr<Bystanders> bystanders;
};

// One for the process, as is libgomp's pool. Never destroyed: threads may run behind main().
Crowd& TheCrowd() {
  static Crowd& crowd = *new Crowd;
  return crowd;
}

bool NeedsBystanders(int processes, int threads) {
  // libgomp sees by itself that there are more threads in this process than it has cores.
  if (threads <= 1 || threads > AffinityCores()) return false;
  return int64_t{processes} * threads > UsableCores() && std::getenv("OMP_WAIT_POLICY") == nullptr;
}

void Update(Crowd& crowd) {
  const bool needed = NeedsBystanders(crowd.processes, crowd.threads);
  if (needed == (crowd.bystanders != nullptr)) return;
  crowd.bystanders.reset();
  // Together with any thread of the process they are more than its cores. libgomp ends the process
  // when it gets no thread.
  const int count = AffinityCores() + 1;
  if (needed && StartableThreads(count) == count) {
    crowd.bystanders = std::make_unique<Bystanders>(count);
  }
}

}  // namespace

void ShareCores(int processes) {
  Crowd& crowd = TheCrowd();
  const std::lock_guard<std::mutex> lock(crowd.mutex);
  crowd.processes = std::max(1, processes);
  Update(crowd);
}

void ExpectThreads(int threads) {
  Crowd& crowd = TheCrowd();
  const std::lock_guard<std::mutex> lock(crowd.mutex);
  if (threads <= crowd.threads) return;
  crowd.threads = threads;
  Update(crowd);
}

int OwnCores() {
  Crowd& crowd = TheCrowd();
  const std::lock_guard<std::mutex> lock(crowd.mutex);
  return std::max(1, UsableCores() / crowd.processes);
}

}  // namespace lockstep::cpu
