#include "tools/plot.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "kernels/error.h"
#include "tests/tools/png.h"

namespace lockstep::tools {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr uint32_t kTrain = 0x1D4ED8;
constexpr uint32_t kValidation = 0xEA580C;

std::vector<LogEntry> Log(int epochs) {
  std::vector<LogEntry> log;
  for (int64_t epoch = 1; epoch <= epochs; ++epoch) {
    const auto e = static_cast<double>(epoch);
    LogEntry entry;
    entry.Add("main/loss", 2 / e);
    entry.Add("main/accuracy", 1 - 0.5 / e);
    entry.Add("validation/main/loss", 1.5 / e + e / 10);
    entry.Add("validation/main/accuracy", 0.9 - 0.5 / e);
    entry.Add("epoch", epoch);
    entry.Add("iteration", epoch * 100);
    log.push_back(entry);
  }
  return log;
}

TEST(LinePlotTest, IsAReadablePictureWithAllItsCurves) {
  for (const int epochs : {1, 2, 6, 40, 41, 500}) {
    for (const LinePlot& plot :
         {AccuracyPlot(Log(epochs), "title"), LossPlot(Log(epochs), "title")}) {
      const Picture picture = DecodePng(RenderLinePlot(plot));
      EXPECT_GE(picture.width, 800);
      EXPECT_GE(picture.height, 800);
      EXPECT_GT(picture.CountOf(kTrain), 150);  // the legend alone has 36 x 5
      EXPECT_GT(picture.CountOf(kValidation), 150);
      EXPECT_GT(picture.CountOf(0xFFFFFF), picture.width * picture.height / 2);
    }
  }
}

TEST(LinePlotTest, AHigherValueIsHigherUp) {
  const LinePlot plot{
      .title = "", .x_label = "", .y_label = "", .series = {{"", "", {0, 10}, {0, 1}, {}}}};
  const Picture picture = DecodePng(RenderLinePlot(plot));
  const auto lowest_row = [&](int x) {
    int row = 0;
    for (int y = 150; y < picture.height; ++y) {
      if (picture.At(x, y) == kTrain) row = y;
    }
    return row;
  };
  EXPECT_GT(lowest_row(300), lowest_row(600));
  EXPECT_GT(lowest_row(600), lowest_row(1000));
  EXPECT_GT(lowest_row(1000), 0);
}

TEST(LinePlotTest, ValuesThatAreNotFiniteAreGaps) {
  LinePlot plot{.title = "",
                .x_label = "",
                .y_label = "",
                .series = {{"", "", {1, 2, 3, 4}, {1, 1, 1, 1}, {}}}};
  const int64_t whole = DecodePng(RenderLinePlot(plot)).CountOf(kTrain);
  plot.series[0].y[1] = NAN;
  const int64_t gapped = DecodePng(RenderLinePlot(plot)).CountOf(kTrain);
  EXPECT_LT(gapped, whole * 3 / 4);
  plot.series[0].y = {NAN, INFINITY, -INFINITY, NAN};
  EXPECT_LT(DecodePng(RenderLinePlot(plot)).CountOf(kTrain), gapped);
}

TEST(LinePlotTest, HostileInputStillMakesAPicture) {
  const std::string bad = "\xff\x00\x1b[31m";
  for (const double value : {0.0, 1e-300, 1e300, -1e300, 5e-324}) {
    const LinePlot plot{.title = bad + std::string(5000, 'x'),
                        .x_label = bad,
                        .y_label = bad,
                        .series = {{bad, bad, {1, 2, 3}, {value, 2 * value, 0.5}, 2},
                                   {"no points", "", {}, {}, {}},
                                   {"best is not there", "", {1}, {1}, 7}}};
    EXPECT_EQ(DecodePng(RenderLinePlot(plot)).width, 1280);
  }
  EXPECT_EQ(DecodePng(RenderLinePlot({})).height, 960);
}

TEST(LinePlotTest, XWithoutYIsAnError) {
  const LinePlot plot{
      .title = "", .x_label = "", .y_label = "", .series = {{"a", "", {1, 2}, {1}, {}}}};
  EXPECT_THROW(RenderLinePlot(plot), ShapeError);
}

TEST(TrainingPlotTest, ShowsTrainAndValidationOverEpochs) {
  const LinePlot plot = AccuracyPlot(Log(3), "title");
  EXPECT_EQ(plot.x_label, "epoch");
  EXPECT_EQ(plot.y_label, "accuracy");
  EXPECT_TRUE(plot.fractions);
  ASSERT_EQ(plot.series.size(), 2u);
  EXPECT_EQ(plot.series[0].name, "train");
  EXPECT_EQ(plot.series[1].name, "validation");
  EXPECT_THAT(plot.series[0].x, ElementsAre(1, 2, 3));
  EXPECT_THAT(plot.series[0].y, ElementsAre(0.5, 0.75, 1 - 0.5 / 3));
  EXPECT_EQ(plot.series[1].note, "best 0.733 in epoch 3");
}

TEST(TrainingPlotTest, TheBestLossIsTheLowest) {
  const LinePlot plot = LossPlot(Log(10), "title");
  EXPECT_EQ(plot.series[1].note, "best 0.775 in epoch 4");
  EXPECT_EQ(plot.series[1].best, 3u);
}

TEST(TrainingPlotTest, RegressionsShowTheirError) {
  LogEntry entry;
  entry.Add("main/rmse", 1.5);
  entry.Add("validation/main/rmse", 2.5);
  entry.Add("epoch", int64_t{1});
  const std::vector<LogEntry> log = {entry};
  const LinePlot plot = RmsePlot(log, "title");
  EXPECT_EQ(plot.y_label, "rmse");
  ASSERT_EQ(plot.series.size(), 2u);
  EXPECT_THAT(plot.series[1].y, ElementsAre(2.5));
}

TEST(TrainingPlotTest, LogsWithinAnEpochGoByIterations) {
  std::vector<LogEntry> log = Log(3);
  for (LogEntry& entry : log) entry.values[4].second = int64_t{1};
  const LinePlot plot = LossPlot(log, "title");
  EXPECT_EQ(plot.x_label, "iteration");
  EXPECT_THAT(plot.series[0].x, ElementsAre(100, 200, 300));
}

TEST(TrainingPlotTest, ALogWithoutValidationHasOneCurve) {
  LogEntry entry;
  entry.Add("main/loss", 1.0);
  entry.Add("epoch", int64_t{1});
  const std::vector<LogEntry> log = {entry};
  EXPECT_EQ(LossPlot(log, "title").series.size(), 1u);
  EXPECT_THAT(AccuracyPlot(log, "title").series, IsEmpty());
  EXPECT_THAT(LossPlot({}, "title").series, IsEmpty());
}

}  // namespace
}  // namespace lockstep::tools
