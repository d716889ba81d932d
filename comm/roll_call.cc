#include "comm/roll_call.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <optional>
#include <utility>

#include "comm/mpi/launcher_roll_internal.h"
#include "comm/world.h"
#include "engine/train/host_name.h"
#include "kernels/error.h"

namespace lockstep {
namespace {

constexpr const char* kJobVariable = "PMIX_NAMESPACE";
constexpr const char* kRankVariable = "OMPI_COMM_WORLD_RANK";
constexpr int kSpeaker = -1;  // in the place of a rank
constexpr std::chrono::milliseconds kFarAnswer{1000};

struct Address {
  sockaddr_un name{};
  socklen_t size = 0;
};

// A name that begins with a zero is in no file system (unix(7)).
Address AddressOf(const std::string& job, int rank) {
  const std::string text = "lockstep start " + job + " " + std::to_string(rank);
  Address address;
  address.name.sun_family = AF_UNIX;
  const size_t length = std::min(text.size(), sizeof address.name.sun_path - 1);
  std::memcpy(address.name.sun_path + 1, text.data(), length);
  address.size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + length);
  return address;
}

FileDescriptor Socket() {
  return FileDescriptor(::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
}

bool Bind(const FileDescriptor& socket, const Address& address) {
  return socket &&
         ::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address.name), address.size) == 0;
}

// The process of this user that listens there; 0: nobody.
int ListenerAt(const Address& address) {
  const FileDescriptor socket = Socket();
  const auto* const name = reinterpret_cast<const sockaddr*>(&address.name);
  if (!socket || ::connect(socket.get(), name, address.size) != 0) return 0;
  ucred owner{};
  socklen_t size = sizeof owner;
  const bool known = ::getsockopt(socket.get(), SOL_SOCKET, SO_PEERCRED, &owner, &size) == 0;
  return known && owner.uid == ::geteuid() ? owner.pid : 0;
}

// What it was started with; "" where that is not ours to read.
std::string EnvironmentOf(const std::string& process) {
  std::ifstream file("/proc/" + process + "/environ", std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

std::optional<std::string> ValueIn(const std::string& environment, const std::string& name) {
  const std::string begin = name + "=";
  for (size_t at = 0; at < environment.size();) {
    const size_t end = std::min(environment.find('\0', at), environment.size());
    if (environment.compare(at, begin.size(), begin) == 0) {
      return environment.substr(at + begin.size(), end - at - begin.size());
    }
    at = end + 1;
  }
  return std::nullopt;
}

// Of each rank of the job the process with the lowest number: what the launcher has started may
// have started others.
std::map<int, int> ProcessesOf(const std::string& job) {
  std::map<int, int> by_rank;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator("/proc", error)) {
    const std::string name = entry.path().filename();
    if (name.find_first_not_of("0123456789") != std::string::npos) continue;
    const std::string environment = EnvironmentOf(name);
    const auto rank = ValueIn(environment, kRankVariable);
    if (!rank || ValueIn(environment, kJobVariable) != job) continue;
    const int process = std::atoi(name.c_str());
    const auto [known, is_new] = by_rank.emplace(std::atoi(rank->c_str()), process);
    if (!is_new) known->second = std::min(known->second, process);
  }
  return by_rank;
}

std::string PlaceOf(const RollCall::Process& process) {
  if (!process.host.empty()) return " (on host " + process.host + ")";
  return " (process " + std::to_string(process.id) + " on host " + HostName() + ")";
}

// "rank 1 (process 4711 on host a), rank 2 (on host b) and 3 more".
std::string NamesOfMissing(const std::vector<RollCall::Process>& processes) {
  constexpr int kMostNamed = 8;
  std::string text;
  int missing = 0;
  for (const RollCall::Process& process : processes) {
    if (process.here || ++missing > kMostNamed) continue;
    text += (text.empty() ? "rank " : ", rank ") + std::to_string(process.rank) + PlaceOf(process);
  }
  return missing <= kMostNamed ? text
                               : text + " and " + std::to_string(missing - kMostNamed) + " more";
}

std::string InBrackets(const std::vector<std::string>& hosts) {
  std::string text;
  for (const std::string& host : hosts) text += (text.empty() ? " (" : ", ") + host;
  return text.empty() ? "" : text + ")";
}

std::string Within(double seconds) {
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), " within %g s", seconds);
  return text.data();
}

}  // namespace

Absence DescribeAbsence(const std::vector<RollCall::Process>& known, int rank, int size,
                        double seconds, const std::vector<std::string>& other_hosts) {
  const auto is_here = [](const RollCall::Process& one) { return one.here; };
  const auto here = std::count_if(known.begin(), known.end(), is_here);
  const auto lowest = std::find_if(known.begin(), known.end(), is_here);
  Absence absence{.line = "",
                  .names_someone = here < std::ssize(known),
                  .lowest_present = lowest == known.end() ? rank == 0 : lowest->rank == rank,
                  .lowest_elsewhere = lowest != known.end() && !lowest->host.empty()};
  if (absence.names_someone) {
    absence.line = NamesOfMissing(known) + " did not come to the start of the job" +
                   Within(seconds) + "; see what it does there";
  } else if (here == size) {
    absence.line = "all " + std::to_string(size) +
                   " processes came to the start of the job, but MPI "
                   "did not bring them together" +
                   Within(seconds) + "; see what mpirun says";
  } else {
    absence.line =
        "not all of the " + std::to_string(size) + " processes came to the start of the job" +
        Within(seconds) +
        (here == 0 ? "" : ", " + std::to_string(here) + " of them on host " + HostName()) +
        "; see whether the others run, and whether their hosts" + InBrackets(other_hosts) +
        " can be reached";
  }
  absence.line += ", or give it more time with --join-timeout";
  return absence;
}

RollCall::~RollCall() = default;

RollCall::RollCall() {
  const char* const job = std::getenv(kJobVariable);
  if (LaunchedRanks() == 1 || job == nullptr || std::getenv(kRankVariable) == nullptr) return;
  const Address address = AddressOf(job, LaunchedRank());
  mark_ = Socket();
  if (Bind(mark_, address) && ::listen(mark_.get(), SOMAXCONN) == 0) {
    job_ = job;
    return;
  }
  const int other = ListenerAt(address);
  if (other == 0) return;
  throw CommError("rank " + std::to_string(LaunchedRank()) +
                      " of the job is there twice: process " + std::to_string(other) +
                      " and this one, " + std::to_string(::getpid()) + "; let mpirun set " +
                      kRankVariable + ", and start the program once a rank",
                  ExitCode::kBadCluster);
}

void RollCall::ReachLaunchers() {
  if (job_.empty() || LaunchedLocalRanks() == LaunchedRanks()) return;
  auto launcher = std::make_unique<const LauncherRoll>();
  const std::lock_guard<std::mutex> lock(mutex_);
  if (!launcher_) launcher_ = std::move(launcher);
}

std::vector<RollCall::Process> RollCall::OfThisHost() const {
  std::vector<Process> processes;
  if (job_.empty()) return processes;
  for (const auto& [rank, id] : ProcessesOf(job_)) {
    processes.push_back({.rank = rank, .id = id, .here = ListenerAt(AddressOf(job_, rank)) != 0});
  }
  return processes;
}

// Its own host knows better of a process than the launcher: it may be there and not come.
std::vector<RollCall::Process> RollCall::OfAllHosts() const {
  std::vector<Process> processes = OfThisHost();
  const LauncherRoll* launcher = nullptr;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    launcher = launcher_.get();
  }
  if (launcher == nullptr) return processes;
  for (const LauncherRoll::Process& far : launcher->Processes(LaunchedRanks(), kFarAnswer)) {
    const bool near = std::any_of(processes.begin(), processes.end(),
                                  [&](const Process& one) { return one.rank == far.rank; });
    if (!near) processes.push_back({.rank = far.rank, .here = far.here, .host = far.host});
  }
  std::sort(processes.begin(), processes.end(),
            [](const Process& a, const Process& b) { return a.rank < b.rank; });
  return processes;
}

// The address of who speaks is free again when it has ended; but then it is missing.
bool RollCall::MaySpeak() {
  const char* const started = std::getenv("OMPI_COMM_WORLD_LOCAL_SIZE");
  if (job_.empty() || started == nullptr) return true;
  speaker_ = Socket();
  if (speaker_ && !Bind(speaker_, AddressOf(job_, kSpeaker))) return false;
  return std::cmp_greater_equal(ProcessesOf(job_).size(), std::atoi(started));
}

}  // namespace lockstep
