#include "tools/join_deadline.h"

#include <signal.h>
#include <unistd.h>

#include <cmath>
#include <utility>

#include "comm/world.h"
#include "kernels/error.h"
#include "tools/console.h"
#include "tools/failure_file.h"
#include "tools/text.h"

namespace lockstep::tools {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr milliseconds kPoll{20};
// For the lowest rank of this host to say it.
constexpr milliseconds kLowestSpeaks{200};
// For another host to name who is missing, where this one cannot or that has the lowest rank, and
// for mpirun to end this process then, which takes more than a second.
constexpr milliseconds kOthersKnow{3000};

milliseconds PatienceOf(const Absence& absence, bool stopped) {
  const milliseconds own = absence.lowest_present ? milliseconds(0) : kLowestSpeaks;
  const bool this_host_tells = absence.names_someone && !absence.lowest_elsewhere;
  return stopped || this_host_tells ? own : own + kOthersKnow;
}

}  // namespace

JoinDeadline::JoinDeadline(JoinDeadlineOptions options, const StopSignals& signals)
    : options_(std::move(options)), signals_(signals) {
  if (LaunchedRanks() == 1) return;
  sigset_t all, before;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  thread_ = std::thread([this] { Run(); });
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  roll_call_.ReachLaunchers();  // behind the thread's start, should they not answer
}

JoinDeadline::~JoinDeadline() {
  if (!thread_.joinable()) return;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    met_ = true;
  }
  changed_.notify_one();
  thread_.join();
}

void JoinDeadline::Run() {
  const auto end = Clock::now() + milliseconds(std::llround(options_.seconds * 1e3));
  std::unique_lock<std::mutex> lock(mutex_);
  while (!changed_.wait_for(lock, kPoll, [this] { return met_; })) {
    const bool expired = options_.seconds > 0.0 && Clock::now() >= end;
    if (!expired && !signals_.requested()) continue;
    lock.unlock();  // other hosts may take their time: meanwhile all may come
    const std::vector<RollCall::Process> known =
        expired ? roll_call_.OfAllHosts() : roll_call_.OfThisHost();
    lock.lock();
    if (met_) return;
    const Absence absence = DescribeAbsence(known, LaunchedRank(), LaunchedRanks(),
                                            options_.seconds, options_.other_hosts);
    const milliseconds patience = PatienceOf(absence, !expired);
    if (changed_.wait_for(lock, patience, [this] { return met_; })) return;
    expired ? End(absence.line, ExitCode::kPeerLost)
            : End(StopSignals::kNothingToSave, ExitCode::kNotSaved);
  }
}

// The first of a host that ends says why. It ends the job, so the others have nothing to add.
void JoinDeadline::End(const std::string& line, ExitCode code) {
  const bool said = code == ExitCode::kNotSaved && signals_.another_speaks();
  if (!said && roll_call_.MaySpeak()) {
    Console(2).Write("lockstep: " + OneLine(line) + "\n");
    WriteFailureFile(options_.failure_dir, line);
  }
  ::_exit(static_cast<int>(code));
}

}  // namespace lockstep::tools
