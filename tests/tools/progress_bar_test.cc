#include "tools/progress_bar.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/tools/terminal.h"

namespace lockstep::tools {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::StartsWith;

// A bar with a clock that the test moves.
struct Bar {
  explicit Bar(int fd) : console(fd), bar(&console, Options()) {}
  ProgressOptions Options() {
    ProgressOptions options;
    options.unit = "images";
    options.clock = [this] { return now; };
    return options;
  }
  void At(double seconds, int64_t samples) {
    now = 100 + seconds;
    bar.Update({.epoch = 1 + samples / 1000,
                .epochs = 50,
                .iteration = samples / 10,
                .samples = samples,
                .total_samples = 50'000,
                .loss = 0.123456});
  }

  double now = 100;
  Console console;
  ProgressBar bar;
};

TEST(ProgressBarTest, PlainLinesComeEveryTenSeconds) {
  Pipe pipe;
  Bar bar(pipe.writer());
  for (int tenth = 0; tenth < 100; ++tenth) bar.At(tenth / 10.0, tenth * 10);
  EXPECT_THAT(pipe.Poll(), IsEmpty());
  bar.At(10, 1000);
  EXPECT_EQ(pipe.Poll(),
            "epoch 2/50, iteration 100, 2 % done, 100 images/s, loss 0.1235, about 0:08:10 left\n");
  bar.At(19.9, 1990);
  EXPECT_THAT(pipe.Poll(), IsEmpty());
  bar.At(20, 2000);
  EXPECT_THAT(pipe.Poll(), StartsWith("epoch 3/50, iteration 200, 4 % done"));
}

TEST(ProgressBarTest, PlainLinesGrowRareInLongRuns) {
  Pipe pipe;
  Bar bar(pipe.writer());
  int lines = 0;
  for (int second = 0; second <= 3600; ++second) {
    bar.At(second, second * 10);
    lines += pipe.Poll().empty() ? 0 : 1;
  }
  EXPECT_GE(lines, 60);
  EXPECT_LE(lines, 100);
}

TEST(ProgressBarTest, ABarIsRedrawnAtMostTenTimesASecond) {
  Terminal terminal(200);
  Bar bar(terminal.fd());
  for (int i = 0; i < 1000; ++i) bar.At(i / 1000.0, i);
  const std::string screen = terminal.Read();
  int draws = 0;
  for (size_t at = 0; (at = screen.find("epoch", at)) != std::string::npos; ++at) ++draws;
  EXPECT_GE(draws, 9);
  EXPECT_LE(draws, 10);
}

TEST(ProgressBarTest, ABarShowsHowFarHowFastAndHowLong) {
  Terminal terminal(120);
  Bar bar(terminal.fd());
  bar.At(0, 0);
  EXPECT_EQ(terminal.Read(),
            "\r\033[Jepoch  1/50 [........................................]   0 %  loss 0.1235");
  bar.At(10, 25'000);
  EXPECT_EQ(terminal.Read(),
            "\r\033[Jepoch 26/50 [####################....................]  50 %  0:00:10 left  "
            "2500 images/s  loss 0.1235");
  bar.bar.Finish();
  EXPECT_EQ(terminal.Read(), "\r\033[J");
}

TEST(ProgressBarTest, ABarFitsEveryWidth) {
  for (const uint16_t columns :
       std::initializer_list<uint16_t>{2, 5, 11, 20, 21, 30, 42, 60, 80, 139}) {
    Terminal terminal(columns);
    Bar bar(terminal.fd());
    bar.At(0, 0);
    bar.At(10, 25'000);
    const std::string screen = terminal.Read();
    const std::string last = screen.substr(screen.rfind("\033[J") + 3);
    EXPECT_LT(last.size(), columns);
    if (columns > 20) {
      EXPECT_THAT(last, HasSubstr("50 %"));
    }
  }
}

TEST(ProgressBarTest, AResumedRunCountsItsOwnSpeed) {
  Pipe pipe;
  Bar bar(pipe.writer());
  bar.At(0, 40'000);
  bar.At(10, 45'000);
  EXPECT_THAT(pipe.Poll(), HasSubstr("90 % done, 500 images/s, loss 0.1235, about 0:00:10 left"));
}

TEST(ProgressBarTest, SpeedIsThatOfTheLastSeconds) {
  Pipe pipe;
  Bar bar(pipe.writer());
  for (int second = 0; second <= 60; ++second) {
    bar.At(second, second <= 40 ? second * 10 : 400 + (second - 40) * 100);
  }
  const std::string text = pipe.Poll();
  EXPECT_THAT(text.substr(text.find("iteration 240")), HasSubstr("100 images/s"));
}

TEST(ProgressBarTest, ATerminalsRowsReplaceTheBar) {
  Terminal terminal(80);
  Bar bar(terminal.fd());
  bar.At(0, 0);
  terminal.Read();
  bar.console.Write("row\n");
  EXPECT_EQ(terminal.Read(), "\r\033[Jrow\r\n");
}

TEST(FormatDurationTest, ReadsWell) {
  EXPECT_EQ(FormatDuration(0), "0:00:00");
  EXPECT_EQ(FormatDuration(9.4), "0:00:09");
  EXPECT_EQ(FormatDuration(3723), "1:02:03");
  EXPECT_EQ(FormatDuration(2 * 86400 + 3 * 3600 + 245), "2 d 03:04:05");
  EXPECT_EQ(FormatDuration(-5), "0:00:00");
  EXPECT_THAT(FormatDuration(1e300), Not(HasSubstr("-")));
}

}  // namespace
}  // namespace lockstep::tools
