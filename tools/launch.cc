#include "tools/launch.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "engine/train/posix_file.h"
#include "kernels/error.h"
#include "tools/console.h"

namespace lockstep::tools {
namespace {

constexpr const char* kStartedHere = "LOCKSTEP_STARTED_BY_LAUNCH";
constexpr int kNoMpirun = 127;  // of a child that could not become it
// mpirun's, where a signal has ended it. No process of a job ends with it.
constexpr int kMpirunStopped = 1;

std::string OwnProgram() {
  std::array<char, 4096> path{};
  const ssize_t size = ::readlink("/proc/self/exe", path.data(), path.size());
  if (size <= 0 || size == static_cast<ssize_t>(path.size())) {
    throw Error(ExitCode::kBug, "cannot tell from /proc/self/exe what program this is");
  }
  return {path.data(), static_cast<size_t>(size)};
}

std::vector<std::string> CommandLine(int ranks, std::span<const std::string> mpi_options,
                                     std::span<const std::string> arguments) {
  // odls_base_sigkill_timeout stays at its 1 s: mpirun sleeps that long after every failure, and is
  // not what stops these processes.
  std::vector<std::string> line = {
      "mpirun", "-q",  "--allow-run-as-root", "--oversubscribe", "--bind-to",
      "none",   "-np", std::to_string(ranks)};
  line.insert(line.end(), mpi_options.begin(), mpi_options.end());
  line.insert(line.end(), {OwnProgram(), "train"});
  line.insert(line.end(), arguments.begin(), arguments.end());
  return line;
}

// What mpirun and its processes say on one of their outputs, passed on to ours. mpirun ends a job
// when the reader of its output has gone; a reader that lives as long as mpirun keeps it from that.
class Words {
 public:
  Words(int fd, std::string_view mark) : console_(fd, Console::Kind::kNoTerminal), mark_(mark) {
    std::array<int, 2> ends{};
    if (::pipe2(ends.data(), O_CLOEXEC) != 0) {
      throw Error(ExitCode::kNoResources, "no pipe for mpirun: out of descriptors");
    }
    to_read_ = FileDescriptor(ends[0]);
    to_write_ = FileDescriptor(ends[1]);
    ::fcntl(ends[0], F_SETFL, O_NONBLOCK);
  }
  int to_write() const { return to_write_.get(); }

  // All that is there. Others than mpirun may still hold the other end when it has ended.
  void PassOn() {
    std::array<char, 4096> bytes{};
    for (;;) {
      const ssize_t size = ::read(to_read_.get(), bytes.data(), bytes.size());
      if (size < 0 && errno == EINTR) continue;
      if (size <= 0) return;
      const std::string_view text(bytes.data(), static_cast<size_t>(size));
      console_.Write(text);
      newest_ = newest_.substr(newest_.size() - std::min(newest_.size(), mark_.size() - 1));
      newest_ += text;
      any_ = true;
      marked_ = marked_ || newest_.find(mark_) != std::string::npos;
    }
  }
  bool any() const { return any_; }
  // Whether the mark is in them.
  bool marked() const { return marked_; }

 private:
  Console console_;
  std::string_view mark_;
  FileDescriptor to_read_, to_write_;
  std::string newest_;
  bool any_ = false, marked_ = false;
};

// Between fork() and exec() only system calls are safe.
[[noreturn]] void BecomeMpirun(char* const* argv, pid_t parent, int output, int errors) {
  // A terminal's Ctrl-C goes to this process's group: mpirun must hear of it from us alone.
  ::setpgid(0, 0);
  ::prctl(PR_SET_PDEATHSIG, SIGTERM);
  if (::getppid() != parent) ::_exit(kNoMpirun);
  const int nothing = ::open("/dev/null", O_RDONLY);
  if (nothing >= 0) ::dup2(nothing, 0);
  ::dup2(output, 1);
  ::dup2(errors, 2);
  for (const int signal : {SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGXCPU, SIGPIPE, SIGXFSZ}) {
    ::signal(signal, SIG_DFL);
  }
  ::execvp(argv[0], argv);
  ::_exit(kNoMpirun);
}

// From the first signal on.
bool HasPassed(std::chrono::seconds time, const StopSignals& signals) {
  const auto stop = signals.stop();
  return stop && std::chrono::steady_clock::now() - stop->when >= time;
}

// Ranks keep to the grace themselves; mpirun gets a little longer to end with them.
int WaitFor(pid_t child, std::chrono::seconds grace, const StopSignals& signals, Words* output,
            Words* errors) {
  constexpr std::chrono::seconds kLonger{5};
  bool passed_on = false;
  for (int status = 0;;) {
    const pid_t ended = ::waitpid(child, &status, WNOHANG);
    output->PassOn();
    errors->PassOn();
    if (ended == child) return status;
    if (ended < 0 && errno != EINTR) throw Error(ExitCode::kBug, "mpirun cannot be waited for");
    if (signals.requested() && !passed_on) passed_on = ::kill(child, SIGUSR1) == 0;
    if (HasPassed(grace + kLonger, signals)) ::kill(-child, SIGKILL);
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
}

}  // namespace

bool StartedByLaunchRanks() { return std::getenv(kStartedHere) != nullptr; }

int LaunchRanks(int ranks, std::span<const std::string> mpi_options,
                std::span<const std::string> arguments, std::chrono::seconds grace,
                const StopSignals& signals) {
  std::vector<std::string> line = CommandLine(ranks, mpi_options, arguments);
  std::vector<char*> argv;
  argv.reserve(line.size() + 1);
  for (std::string& word : line) argv.push_back(word.data());
  argv.push_back(nullptr);
  ::setenv(kStartedHere, "1", 1);
  Words output(1, kStoppedBy), errors(2, "lockstep: ");
  const pid_t parent = ::getpid();
  const pid_t child = ::fork();
  if (child < 0) throw Error(ExitCode::kNoResources, "no process for mpirun: out of processes");
  if (child == 0) BecomeMpirun(argv.data(), parent, output.to_write(), errors.to_write());

  const int status = WaitFor(child, grace, signals, &output, &errors);
  const int code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  if (code == kNoMpirun) {
    throw ConfigError("--ranks " + std::to_string(ranks) +
                          " starts its processes by mpirun, which is not there; install "
                          "openmpi-bin, or use --ranks 1",
                      ExitCode::kBadCluster);
  }
  if (code == kMpirunStopped && output.any() && !errors.marked()) {
    if (output.marked()) return 0;
    throw Error(
        ExitCode::kNotSaved,
        "mpirun was stopped beside this process, and the second that it leaves its processes "
        "was too short to save; what was saved before is whole: run again to resume, and "
        "send signals to this process alone");
  }
  const bool not_saved = code == static_cast<int>(ExitCode::kNotSaved);
  if (code < 128 && (!not_saved || errors.marked())) return code;
  // What met the signal before it could catch it had nothing to save yet.
  const bool stopped = not_saved || signals.requested();
  const ExitCode own = stopped ? ExitCode::kNotSaved : ExitCode::kPeerLost;
  if (errors.marked()) return static_cast<int>(own);
  if (stopped) {
    throw Error(own,
                HasPassed(grace, signals) ? StopSignals::kGraceOver : StopSignals::kNothingToSave);
  }
  throw CommError("a process of the job was ended by signal " + std::to_string(code - 128) +
                  "; run again, it goes on from its newest checkpoint");
}

}  // namespace lockstep::tools
