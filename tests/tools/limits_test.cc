#include "tools/limits.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <fstream>
#include <string>

namespace lockstep::tools {
namespace {

// Kilobytes that this process's first stack has grown to.
int64_t StackSize() {
  std::ifstream in("/proc/self/status");
  for (std::string word; in >> word;) {
    int64_t kilobytes = 0;
    if (word == "VmStk:" && in >> kilobytes) return kilobytes;
  }
  return -1;
}

// Kernels use more of it than a process that begins; where address space has a limit it could find
// none left when they do, which is a signal.
TEST(LimitFaults, B11WhereAddressSpaceIsLimitedTheStackGrowsAtTheStart) {
  const auto grows = [](rlim_t limit) {
    const rlimit space{limit, limit};
    ::setrlimit(RLIMIT_AS, &space);
    const int64_t before = StackSize();
    RequireLimits(1, 1);
    ::_exit(before >= 0 && StackSize() >= before + 1024 ? 1 : 0);
  };
  EXPECT_EXIT(grows(rlim_t{64} << 30), testing::ExitedWithCode(1), "");
  EXPECT_EXIT(grows(RLIM_INFINITY), testing::ExitedWithCode(0), "");
}

}  // namespace
}  // namespace lockstep::tools
