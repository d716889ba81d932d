#include "data/row_transform.h"

#include <gtest/gtest.h>

#include <limits>
#include <map>
#include <numeric>

#include "data/batch_iterator.h"
#include "data/synthetic.h"
#include "tests/data/expect_error.h"

namespace lockstep {
namespace {

std::vector<float> Apply(const RowTransform& transform, const std::vector<uint8_t>& x,
                         int64_t id = 0, int64_t epoch = 0) {
  std::vector<float> y(static_cast<size_t>(transform.output().shape.size()));
  transform.Apply(x.data(), id, epoch, y.data());
  return y;
}

TEST(RowTransform, BytesAreDividedBy255Correctly) {
  const RowTransform transform({{256}, DType::kUint8}, {}, 0);
  std::vector<uint8_t> x(256);
  std::iota(x.begin(), x.end(), uint8_t{0});
  const std::vector<float> y = Apply(transform, x);
  for (int i = 0; i < 256; ++i) EXPECT_EQ(y[static_cast<size_t>(i)], static_cast<float>(i) / 255);
}

TEST(RowTransform, ChannelsAreNormalised) {
  const RowTransform transform({{2, 1, 3}, DType::kUint8},
                               {.scale = 1, .mean = {10, 20}, .deviation = {2, 4}}, 0);
  EXPECT_EQ(Apply(transform, {10, 12, 0, 20, 28, 0}), (std::vector<float>{0, 1, -5, 0, 2, -5}));
  const RowTransform floats({{2, 1, 1}, DType::kFloat32}, {.mean = {1, 2}, .deviation = {2}}, 0);
  const std::vector<float> x = {3, 3};
  std::vector<float> y(2);
  floats.Apply(x.data(), 0, 0, y.data());
  EXPECT_EQ(y, (std::vector<float>{1, 0.5}));
}

TEST(RowTransform, DoublesAndBytesPassThrough) {
  const RowTransform doubles({{2}, DType::kUint8}, {.dtype = DType::kFloat64}, 0);
  const std::vector<uint8_t> x = {51, 255};
  std::vector<double> y(2);
  doubles.Apply(x.data(), 0, 0, y.data());
  EXPECT_EQ(y, (std::vector<double>{51 * (1.0 / 255), 1}));
  const RowTransform bytes({{2}, DType::kUint8}, {.dtype = DType::kUint8}, 0);
  std::vector<uint8_t> z(2);
  bytes.Apply(x.data(), 0, 0, z.data());
  EXPECT_EQ(z, x);
}

TEST(RowTransform, CropWithoutChanceIsTheMiddle) {
  const RowTransform transform({{1, 3, 3}, DType::kUint8}, {.scale = 1, .crop = 1}, 0);
  EXPECT_EQ(Apply(transform, {1, 2, 3, 4, 5, 6, 7, 8, 9}), std::vector<float>{5});
  const RowTransform padded({{1, 1, 2}, DType::kUint8}, {.scale = 1, .padding = 1, .crop = 3}, 0);
  EXPECT_EQ(Apply(padded, {7, 8}), (std::vector<float>{0, 0, 0, 0, 7, 8, 0, 0, 0}));
}

// Every result of a random crop and flip must be a window of the padded picture, mirrored or not.
TEST(RowTransform, RandomCropsAreWindowsAndAllOccur) {
  constexpr int64_t kHeight = 3;
  constexpr int64_t kWidth = 5;
  constexpr int64_t kPadding = 2;
  const RowTransform transform(
      {{2, kHeight, kWidth}, DType::kUint8},
      {.scale = 1, .mean = {1, 2}, .padding = kPadding, .random_crop = true, .flip = true}, 7);
  std::vector<uint8_t> x(2 * kHeight * kWidth);
  std::iota(x.begin(), x.end(), uint8_t{10});
  const auto window = [&](int64_t top, int64_t left, bool mirrored) {
    std::vector<float> y;
    for (int64_t c = 0; c < 2; ++c) {
      for (int64_t i = 0; i < kHeight; ++i) {
        for (int64_t j = 0; j < kWidth; ++j) {
          const int64_t row = top + i - kPadding;
          const int64_t column = left + (mirrored ? kWidth - 1 - j : j) - kPadding;
          const bool inside = row >= 0 && row < kHeight && column >= 0 && column < kWidth;
          const auto at = static_cast<size_t>((c * kHeight + row) * kWidth + column);
          y.push_back(static_cast<float>(inside ? x[at] : 0) - static_cast<float>(c + 1));
        }
      }
    }
    return y;
  };
  std::map<std::vector<float>, int> seen;
  for (int64_t id = 0; id < 2000; ++id) ++seen[Apply(transform, x, id, 3)];
  EXPECT_EQ(seen.size(), 50U);  // 5 x 5 places, twice
  for (int64_t top = 0; top <= 2 * kPadding; ++top) {
    for (int64_t left = 0; left <= 2 * kPadding; ++left) {
      EXPECT_TRUE(seen.count(window(top, left, false)));
      EXPECT_TRUE(seen.count(window(top, left, true)));
    }
  }
}

TEST(RowTransform, ImpossibleOptionsAreUsageErrors) {
  const auto refuse = [](TensorType sample, TransformOptions options) {
    ExpectError(ExitCode::kUsage, {}, [&] { RowTransform(sample, options, 0); });
  };
  const TensorType picture{{3, 8, 8}, DType::kUint8};
  refuse(picture, {.mean = {1, 2}});
  refuse(picture, {.deviation = {0}});
  refuse(picture, {.mean = {std::numeric_limits<float>::infinity()}});
  refuse(picture, {.scale = 1e38});
  refuse(picture, {.crop = 9});
  refuse(picture, {.padding = -1});
  refuse(picture, {.dtype = DType::kUint8, .mean = {1}});
  refuse({{8}, DType::kUint8}, {.flip = true});
}

// What a sample looks like depends on the epoch and its id, not on who prepares it.
TEST(RowTransform, AugmentationDoesNotDependOnBatchRankOrThread) {
  const Dataset dataset = SyntheticDataset({3, 6, 5}, 4, 31, 1, DType::kUint8);
  const TransformOptions transform{.padding = 2, .random_crop = true, .flip = true};
  std::map<std::pair<int64_t, int64_t>, std::vector<float>> wanted;
  bool filling = true;
  const auto walk = [&](SourceOptions options) {
    options.transform = transform;
    DatasetSource source(dataset, options);
    const auto size = static_cast<size_t>(source.sample_type().shape.size());
    for (int64_t left = 2 * source.batches_per_epoch(); left > 0; --left) {
      const Batch& batch = source.Next();
      const auto* x = static_cast<const float*>(batch.x);
      for (const int64_t id : batch.ids) {
        const std::vector<float> row(x, x + size);
        x += size;
        const auto key = std::make_pair(batch.epoch, id);
        if (filling) wanted[key] = row;
        EXPECT_EQ(wanted.at(key), row);
      }
    }
  };
  walk({.batch_size = 31, .threads = 0});
  filling = false;
  EXPECT_EQ(wanted.size(), 62U);
  EXPECT_NE(wanted.at({0, 5}), wanted.at({1, 5}));
  walk({.batch_size = 4, .threads = 2});
  walk({.batch_size = 7, .rank = 1, .ranks = 3});
}

}  // namespace
}  // namespace lockstep
