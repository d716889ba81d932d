#include "kernels/cpu/crowd.h"

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <latch>
#include <memory>
#include <mutex>
#include <system_error>
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

constexpr int kMostBystanders = 1024;  // of all processes; they take process ids and addresses
constexpr int kSpareThreads = 64;      // that a process starts for other things

bool NeedsBystanders(int processes, int threads) {
  if (threads <= 1 || std::getenv("OMP_WAIT_POLICY") != nullptr) return false;
  return int64_t{processes} * threads > UsableCores();
}

// libgomp ends the process when it gets no thread, and processes of one host come here together.
bool CanStart(int processes, int bystanders, int threads) {
  const int64_t all = int64_t{processes} * bystanders;
  if (all > kMostBystanders) return false;
  const int wanted = static_cast<int>(all) + processes * (threads + kSpareThreads);
  return StartableThreads(wanted) == wanted;
}

void Update(Crowd& crowd) {
  const bool needed = NeedsBystanders(crowd.processes, crowd.threads);
  if (needed == (crowd.bystanders != nullptr)) return;
  crowd.bystanders.reset();
  // With the team that runs kernels they are more than the process has cores.
  const int count = std::max(2, AffinityCores() + 2 - crowd.threads);
  if (!needed || !CanStart(crowd.processes, count, crowd.threads)) return;
  try {
    crowd.bystanders = std::make_unique<Bystanders>(count);
  } catch (const std::system_error&) {
    // Another process was faster: threads spin, then.
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
