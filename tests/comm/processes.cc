#include "tests/comm/processes.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cstdio>
#include <cstring>
#include <exception>
#include <memory>
#include <new>
#include <stdexcept>
#include <string>

namespace lockstep::testing {
namespace {

constexpr size_t kMostRanks = 16;

// Inherited over fork. Texts are told twice as often as there are rounds: nobody overwrites what
// another may still read.
struct Board {
  std::atomic<int> told{0};
  std::atomic<int> read{0};
  std::array<std::array<char, 128>, kMostRanks> texts{};
};

std::vector<std::string> Exchange(Board& board, int rank, int size, int round,
                                  const std::string& mine) {
  const auto wait_for = [](const std::atomic<int>& count, int wanted) {
    while (count.load() < wanted) ::usleep(200);
  };
  wait_for(board.read, size * round);
  auto& text = board.texts.at(static_cast<size_t>(rank));
  std::snprintf(text.data(), text.size(), "%s", mine.c_str());
  board.told.fetch_add(1);
  wait_for(board.told, size * (round + 1));
  std::vector<std::string> all;
  all.reserve(static_cast<size_t>(size));
  for (int r = 0; r < size; ++r) all.emplace_back(board.texts.at(static_cast<size_t>(r)).data());
  board.read.fetch_add(1);
  return all;
}

const ::testing::TestResult& Results() {
  return *::testing::UnitTest::GetInstance()->current_test_info()->result();
}

// Among the results that this process did not inherit.
bool HasFailureSince(int results) {
  for (int i = results; i < Results().total_part_count(); ++i) {
    if (Results().GetTestPartResult(i).failed()) return true;
  }
  return false;
}

[[noreturn]] void BeRank(Board& board, int rank, int size,
                         const std::function<void(int, const ExchangeBytes&)>& fn) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  ::alarm(60);
  const int inherited = Results().total_part_count();
  int round = 0;
  const ExchangeBytes exchange = [&](const std::string& mine) {
    return Exchange(board, rank, size, round++, mine);
  };
  bool failed = false;
  try {
    fn(rank, exchange);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "rank %d: %s\n", rank, error.what());
    failed = true;
  }
  std::fflush(stdout);
  ::_exit(failed || HasFailureSince(inherited) ? 1 : 0);
}

}  // namespace

std::vector<int> RunProcesses(
    int size, const std::function<void(int rank, const ExchangeBytes& exchange)>& fn) {
  void* const memory =
      ::mmap(nullptr, sizeof(Board), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) throw std::runtime_error("no memory for a board");
  Board& board = *new (memory) Board;
  std::fflush(stdout);
  std::vector<pid_t> children;
  for (int rank = 0; rank < size; ++rank) {
    const pid_t child = ::fork();
    if (child == 0) BeRank(board, rank, size, fn);
    children.push_back(child);
  }
  std::vector<int> statuses;
  for (const pid_t child : children) {
    int status = -1;
    ::waitpid(child, &status, 0);
    statuses.push_back(status);
  }
  ::munmap(memory, sizeof(Board));
  return statuses;
}

}  // namespace lockstep::testing
