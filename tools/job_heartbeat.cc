#include "tools/job_heartbeat.h"

#include <unistd.h>

#include <array>
#include <chrono>
#include <cmath>
#include <future>
#include <memory>
#include <thread>

#include "kernels/error.h"
#include "tools/console.h"
#include "tools/failure_file.h"
#include "tools/text.h"

namespace lockstep::tools {
namespace {

// More than the heartbeat's patience with the rank that is to speak first of one that has died;
// where one is silent no collective fails.
constexpr std::chrono::milliseconds kHeartbeatSpeaks{1600};
// For a process that heard that another gave up to end in its own way, and for that other's exit
// code to be the first that the launcher sees.
constexpr std::chrono::milliseconds kOthersEnd{2500};

std::chrono::milliseconds Milliseconds(double seconds) {
  return std::chrono::milliseconds(std::llround(seconds * 1e3));
}

void SayLost(const std::string& failure_dir, const RankLost& lost) {
  Console(2).Write("lockstep: " + OneLine(lost.line) + "\n" + lost.table);
  WriteFailureFile(failure_dir, lost.line);
}

// At most so long: the directory may be what hangs.
constexpr std::chrono::milliseconds kLogEnds{200};

void EndLog(const RankLog& log, const std::string& line) {
  const auto ended = std::make_shared<std::promise<void>>();
  std::thread([ended, &log, line] {
    log.End(line);
    ended->set_value();
  }).detach();
  ended->get_future().wait_for(kLogEnds);
}

[[noreturn]] void EndFor(const JobHeartbeatOptions& options, const RankLost& lost) {
  if (lost.told) {
    if (lost.how == RankLost::How::kGaveUp) std::this_thread::sleep_for(kOthersEnd);
    WriteFailureFile(options.failure_dir, "stopped because " + lost.line);
  }
  if (const RankLog* const log = options.log != nullptr ? options.log->load() : nullptr) {
    EndLog(*log,
           "lockstep: " + std::string(lost.told ? "stopped because " : "") + OneLine(lost.line));
  }
  ::_exit(static_cast<int>(ExitCode::kPeerLost));
}

}  // namespace

std::unique_ptr<Heartbeat> StartHeartbeat(CommGroup& group, const JobHeartbeatOptions& options) {
  std::array<double, 2> seconds{options.silence, options.stuck};
  group.Broadcast(seconds.data(), sizeof seconds, 0);
  uint16_t port = options.port;
  group.Broadcast(&port, sizeof port, 0);
  if (seconds[0] == 0.0) return nullptr;
  return std::make_unique<Heartbeat>(
      group, group.progress(),
      HeartbeatOptions{
          .silence = Milliseconds(seconds[0]), .stuck = Milliseconds(seconds[1]), .port = port},
      HeartbeatCalls{
          .say = [dir = options.failure_dir](const RankLost& lost) { SayLost(dir, lost); },
          .end = [options](const RankLost& lost) { EndFor(options, lost); }});
}

void AwaitHeartbeat() noexcept { std::this_thread::sleep_for(kHeartbeatSpeaks); }

}  // namespace lockstep::tools
