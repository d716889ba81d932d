#include "tools/print_report.h"

#include <gtest/gtest.h>

#include <cmath>
#include <regex>

#include "tests/tools/terminal.h"

namespace lockstep::tools {
namespace {

LogEntry Row(int64_t epoch, double loss, double val_loss, double accuracy, double val_accuracy,
             double seconds) {
  LogEntry entry;
  entry.Add("main/loss", loss);
  entry.Add("main/accuracy", accuracy);
  entry.Add("validation/main/loss", val_loss);
  entry.Add("validation/main/accuracy", val_accuracy);
  entry.Add("epoch", epoch);
  entry.Add("elapsed_time", seconds);
  return entry;
}

// Expected: the output of chainer 7.8.1's PrintReport for the same log.
TEST(PrintReportTest, PrintsWhatChainerPrints) {
  Pipe pipe;
  Console console(pipe.writer());
  PrintReport report(&console);
  report.Print(Row(1, 1.2129669984181721, 0.41287848353385925, 0.4166666666666667, 1.0,
                   0.056447886000000835));
  report.Print(Row(2, 0.36435839533805847, 0.18222192426522574, 1.0, 1.0, 0.12091157899999416));
  LogEntry odd;
  odd.Add("main/loss", std::nan(""));
  odd.Add("main/accuracy", 1e-5);
  odd.Add("epoch", int64_t{1234567});
  odd.Add("elapsed_time", 123456.789);
  report.Print(odd);
  EXPECT_EQ(
      pipe.Read(),
      "epoch       main/loss   validation/main/loss  main/accuracy  "
      "validation/main/accuracy  elapsed_time\n"
      "\x1b[J1           1.21297     0.412878              0.416667       1                   "
      "      0.0564479     \n"
      "\x1b[J2           0.364358    0.182222              1              1                   "
      "      0.120912      \n"
      "\x1b[J1.23457e+06  nan                               1e-05                             "
      "       123457        \n");
}

TEST(PrintReportTest, TunersFindTheRow) {
  Pipe pipe;
  Console console(pipe.writer());
  PrintReport(&console).Print(Row(1, 0.5, 0.25, 0.75, 0.875, 1.5));
  const std::string text = pipe.Read();
  std::smatch match;
  ASSERT_TRUE(std::regex_search(text, match, std::regex(R"(\[J1\s+\d\.\d+\s+([\d.]+))")));
  EXPECT_EQ(match[1], "0.25");
}

TEST(PrintReportTest, ColumnsCanBeChosen) {
  Pipe pipe;
  Console console(pipe.writer());
  PrintReport(&console, {"epoch", "lr"}).Print(Row(7, 0, 0, 0, 0, 0));
  EXPECT_EQ(pipe.Read(), "epoch       lr        \n\x1b[J7                       \n");
}

}  // namespace
}  // namespace lockstep::tools
