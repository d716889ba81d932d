// The README shows a program; it must be the one that the package test builds and runs.
#include <gtest/gtest.h>

#include <string>

#include "tests/temporary_directory.h"

namespace lockstep {
namespace {

TEST(Readme, ShowsTheProgramOfThePackageTest) {
  const std::string root = LOCKSTEP_SOURCE_DIR;
  const std::string program = ReadFile(root + "/tests/package/consumer/main.cc");
  ASSERT_FALSE(program.empty());
  EXPECT_NE(ReadFile(root + "/README.md").find("```cpp\n" + program + "```"), std::string::npos)
      << "README.md and tests/package/consumer/main.cc differ";
}

}  // namespace
}  // namespace lockstep
