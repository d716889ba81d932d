#include "engine/text.h"

#include <gtest/gtest.h>

namespace lockstep {
namespace {

TEST(Text, CountsOneInTheSingular) {
  EXPECT_EQ(Counted(0, "row"), "0 rows");
  EXPECT_EQ(Counted(1, "row"), "1 row");
  EXPECT_EQ(Counted(2, "row"), "2 rows");
  EXPECT_EQ(Counted(1, "process", "processes"), "1 process");
  EXPECT_EQ(Counted(12, "process", "processes"), "12 processes");
}

}  // namespace
}  // namespace lockstep
