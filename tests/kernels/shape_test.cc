#include "kernels/shape.h"

#include <gtest/gtest.h>

#include "kernels/error.h"

namespace lockstep {
namespace {

TEST(Shape, AxesCountFromBothEnds) {
  const Shape shape{2, 3, 5};
  EXPECT_EQ(shape.dim(-1), 5);
  EXPECT_EQ(shape.WithDim(-3, 7), Shape({7, 3, 5}));
  EXPECT_EQ(shape.WithDim(2, 7), Shape({2, 3, 7}));
}

TEST(Shape, AxesThatDoNotExistThrow) {
  EXPECT_THROW(Shape({}).WithDim(-1, 4), ShapeError);
  EXPECT_THROW(Shape({}).WithDim(0, 4), ShapeError);
  EXPECT_THROW(Shape({2, 3}).WithDim(2, 4), ShapeError);
  EXPECT_THROW(Shape({2, 3}).dim(-3), ShapeError);
}

TEST(Shape, BatchComesInFront) {
  EXPECT_EQ(Shape({3, 5}).WithBatch(7), Shape({7, 3, 5}));
  EXPECT_EQ(Shape({}).WithBatch(7), Shape({7}));
  EXPECT_THROW(Shape({1, 1, 1, 1, 1, 1, 1, 1}).WithBatch(7), ShapeError);
}

}  // namespace
}  // namespace lockstep
