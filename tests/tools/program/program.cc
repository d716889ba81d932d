#include "tests/tools/program/program.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <regex>
#include <stdexcept>
#include <thread>

#include "tests/temporary_directory.h"

namespace lockstep::tools {
namespace {

constexpr auto kPoll = std::chrono::milliseconds(1);

// Everything the child needs, made before fork(): behind it only system calls are safe.
struct Start {
  std::string program;
  std::vector<char*> argv, envp;
  int out = -1, err = -1;
  rlim_t file_bytes = RLIM_INFINITY;
};

std::vector<char*> Pointers(std::vector<std::string>* texts) {
  std::vector<char*> pointers;
  for (std::string& text : *texts) pointers.push_back(text.data());
  pointers.push_back(nullptr);
  return pointers;
}

int OpenOutput(const std::string& path) {
  const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (fd < 0) throw std::runtime_error("cannot write " + path);
  return fd;
}

int ReaderlessPipe() {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) throw std::runtime_error("no pipe");
  ::close(ends[0]);
  return ends[1];
}

[[noreturn]] void BecomeProgram(const Start& start) {
  for (const int signal : {SIGTERM, SIGINT, SIGHUP, SIGPIPE, SIGXFSZ, SIGXCPU, SIGUSR1})
    ::signal(signal, SIG_DFL);
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  const rlimit limit{start.file_bytes, start.file_bytes};
  ::setrlimit(RLIMIT_FSIZE, &limit);
  ::dup2(start.out, 1);
  ::dup2(start.err, 2);
  ::execve(start.program.c_str(), start.argv.data(), start.envp.data());
  ::_exit(127);
}

}  // namespace

std::string Outcome::WeightsHash() const {
  std::smatch found;
  return std::regex_search(out, found, std::regex("weights sha256 ([0-9a-f]{64})\n"))
             ? found[1].str()
             : "none printed: " + out + err;
}

Program::Program(const std::vector<std::string>& arguments, const ProgramSetting& setting)
    : out_path_(setting.directory + "/stdout"), err_path_(setting.directory + "/stderr") {
  std::vector<std::string> argv = setting.launcher, envp;
  argv.emplace_back(argv.empty() ? "lockstep" : LOCKSTEP_PROGRAM);
  argv.insert(argv.end(), arguments.begin(), arguments.end());
  for (const auto& [name, value] : setting.variables) envp.push_back(name + "=" + value);
  Start start{.program = setting.launcher.empty() ? LOCKSTEP_PROGRAM : argv.front(),
              .argv = Pointers(&argv),
              .envp = Pointers(&envp)};
  start.out = OpenOutput(out_path_);
  if (setting.closed_stdout || setting.terminal >= 0) {
    ::close(start.out);
    start.out =
        setting.closed_stdout ? ReaderlessPipe() : ::fcntl(setting.terminal, F_DUPFD_CLOEXEC, 0);
  }
  start.err = OpenOutput(err_path_);
  if (setting.file_bytes > 0) start.file_bytes = static_cast<rlim_t>(setting.file_bytes);
  pid_ = ::fork();
  if (pid_ == 0) BecomeProgram(start);
  ::close(start.out);
  ::close(start.err);
  if (pid_ < 0) throw std::runtime_error("cannot fork");
}

Program::~Program() {
  if (ended_) return;
  ::kill(pid_, SIGKILL);
  Wait();
}

void Program::Signal(int signal) const {
  if (!ended_) ::kill(pid_, signal);
}

void Program::WaitForDelivery() const {
  const std::regex pending("ShdPnd:\\s*0*[1-9a-f]");
  while (std::regex_search(ReadFile("/proc/" + std::to_string(pid_) + "/status"), pending)) {
    std::this_thread::yield();
  }
}

bool Program::Ended() {
  if (!ended_) ended_ = ::waitpid(pid_, &status_, WNOHANG) == pid_;
  return ended_;
}

bool Program::WaitUntil(const std::function<bool()>& reached) {
  while (!reached()) {
    if (Ended()) return reached();
    std::this_thread::sleep_for(kPoll);
  }
  return true;
}

std::string Program::Output() const { return ReadFile(out_path_); }

Outcome Program::Wait() {
  if (!ended_) ended_ = ::waitpid(pid_, &status_, 0) == pid_;
  Outcome outcome{.out = Output(), .err = ReadFile(err_path_)};
  if (WIFEXITED(status_)) outcome.code = WEXITSTATUS(status_);
  if (WIFSIGNALED(status_)) outcome.signal = WTERMSIG(status_);
  return outcome;
}

Outcome RunProgram(const std::vector<std::string>& arguments, const ProgramSetting& setting) {
  return Program(arguments, setting).Wait();
}

}  // namespace lockstep::tools
