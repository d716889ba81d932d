#include "tools/failure.h"

#include <gtest/gtest.h>

#include <new>
#include <stdexcept>
#include <system_error>

namespace lockstep::tools {
namespace {

template <typename Thrown>
std::string Description(const Thrown& thrown) {
  const Failure failure = DescribeFailure(std::make_exception_ptr(thrown));
  return std::to_string(static_cast<int>(failure.code)) + ": " + failure.text;
}

TEST(DescribeFailure, TellsWhatItIsAndGivesItsCode) {
  EXPECT_EQ(Description(IoError("disk full")), "74: disk full");
  EXPECT_EQ(Description(ConfigError("hosts", ExitCode::kBadCluster)), "78: hosts");
  EXPECT_EQ(Description(std::bad_alloc()), "71: out of memory");
  EXPECT_EQ(Description(std::out_of_range("map::at")), "70: internal error: map::at");
  EXPECT_EQ(Description(1).substr(0, 18), "70: internal error");
}

TEST(DescribeFailure, ThreadsThatCannotBeStartedAreAResource) {
  const auto again = std::make_error_code(std::errc::resource_unavailable_try_again);
  EXPECT_EQ(Description(std::system_error(again)).substr(0, 19), "71: no more threads");
  const auto other = std::make_error_code(std::errc::invalid_argument);
  EXPECT_EQ(Description(std::system_error(other)).substr(0, 3), "70:");
}

TEST(FirstFailure, IsThrownWhenAllWasTried) {
  FirstFailure failure;
  int tried = 0;
  EXPECT_EQ(failure.Try([&] { ++tried; }), "");
  EXPECT_NO_THROW(failure.Throw());
  const std::string first = failure.Try([&] {
    ++tried;
    throw IoError("first");
  });
  const std::string second = failure.Try([&] {
    ++tried;
    throw std::bad_alloc();
  });
  EXPECT_EQ(first, "first");
  EXPECT_EQ(second, "out of memory");
  EXPECT_EQ(tried, 3);
  EXPECT_THROW(failure.Throw(), IoError);
}

}  // namespace
}  // namespace lockstep::tools
