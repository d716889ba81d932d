#include "tools/launch.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include "kernels/error.h"

namespace lockstep::tools {
namespace {

constexpr int kNoMpirun = 127;  // of a child that could not become it

std::string OwnProgram() {
  std::array<char, 4096> path{};
  const ssize_t size = ::readlink("/proc/self/exe", path.data(), path.size());
  if (size <= 0 || size == static_cast<ssize_t>(path.size())) {
    throw Error(ExitCode::kBug, "cannot tell from /proc/self/exe what program this is");
  }
  return {path.data(), static_cast<size_t>(size)};
}

std::vector<std::string> CommandLine(int ranks, std::span<const std::string> arguments) {
  // odls_base_sigkill_timeout stays at its 1 s: mpirun sleeps that long after every failure, and is
  // not what stops these processes.
  std::vector<std::string> line = {
      "mpirun", "-q",  "--allow-run-as-root", "--oversubscribe", "--bind-to",
      "none",   "-np", std::to_string(ranks), OwnProgram(),      "train"};
  line.insert(line.end(), arguments.begin(), arguments.end());
  return line;
}

// Between fork() and exec() only system calls are safe.
[[noreturn]] void BecomeMpirun(char* const* argv, pid_t parent) {
  // A terminal's Ctrl-C goes to this process's group: mpirun must hear of it from us alone.
  ::setpgid(0, 0);
  ::prctl(PR_SET_PDEATHSIG, SIGTERM);
  if (::getppid() != parent) ::_exit(kNoMpirun);
  const int nothing = ::open("/dev/null", O_RDONLY);
  if (nothing >= 0) ::dup2(nothing, 0);
  for (const int signal : {SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGXCPU, SIGPIPE, SIGXFSZ}) {
    ::signal(signal, SIG_DFL);
  }
  ::execvp(argv[0], argv);
  ::_exit(kNoMpirun);
}

int WaitFor(pid_t child, const StopSignals& signals) {
  bool passed_on = false;
  for (int status = 0;;) {
    const pid_t ended = ::waitpid(child, &status, WNOHANG);
    if (ended == child) return status;
    if (ended < 0 && errno != EINTR) throw Error(ExitCode::kBug, "mpirun cannot be waited for");
    if (signals.requested() && !passed_on) passed_on = ::kill(child, SIGUSR1) == 0;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
}

}  // namespace

int LaunchRanks(int ranks, std::span<const std::string> arguments, const StopSignals& signals) {
  std::vector<std::string> line = CommandLine(ranks, arguments);
  std::vector<char*> argv;
  argv.reserve(line.size() + 1);
  for (std::string& word : line) argv.push_back(word.data());
  argv.push_back(nullptr);
  const pid_t parent = ::getpid();
  const pid_t child = ::fork();
  if (child < 0) throw Error(ExitCode::kNoResources, "no process for mpirun: out of processes");
  if (child == 0) BecomeMpirun(argv.data(), parent);

  const int status = WaitFor(child, signals);
  const int code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  if (code == kNoMpirun) {
    throw ConfigError("--ranks " + std::to_string(ranks) +
                          " starts its processes by mpirun, which is not there; install "
                          "openmpi-bin",
                      ExitCode::kBadCluster);
  }
  if (code < 128) return code;
  // What met the signal before it could catch it had nothing to save yet.
  if (signals.requested()) throw Error(ExitCode::kNotSaved, StopSignals::kNothingToSave);
  throw CommError("a process of the job was ended by signal " + std::to_string(code - 128) +
                  "; run again, it goes on from its newest checkpoint");
}

}  // namespace lockstep::tools
