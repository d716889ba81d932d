// Comma-separated numbers, read and written.
#include "data/csv.h"

#include <gmock/gmock.h>
#include <locale.h>

#include <cmath>
#include <limits>

#include "tests/data/expect_error.h"

namespace lockstep {
namespace {

using testing::ElementsAre;
using testing::ElementsAreArray;

void ExpectRefused(const std::string& text, const std::vector<std::string>& parts) {
  ExpectError(ExitCode::kBadData, parts, [&] { ParseCsv(text, "x.csv"); });
}

TEST(Csv, LinesAreRows) {
  const Tensor tensor = ParseCsv("1,2.5,-3\n4e2,.5,+6\n", "x.csv");
  EXPECT_EQ(tensor.shape(), Shape({2, 3}));
  EXPECT_THAT(tensor.values<float>(), ElementsAre(1.0F, 2.5F, -3.0F, 400.0F, 0.5F, 6.0F));
}

TEST(Csv, SpacesCarriageReturnsByteOrderMarkAndBlankLinesDoNotMatter) {
  const Tensor tensor = ParseCsv("\xEF\xBB\xBF 1 ,\t2\r\n\r\n\n3,4", "x.csv");
  EXPECT_EQ(tensor.shape(), Shape({2, 2}));
  EXPECT_THAT(tensor.values<float>(), ElementsAre(1.0F, 2.0F, 3.0F, 4.0F));
}

TEST(Csv, OneNumberIsOneRow) {
  EXPECT_EQ(ParseCsv("7", "x.csv").shape(), Shape({1, 1}));
  EXPECT_EQ(ParseCsv("7\n8\n9", "x.csv").shape(), Shape({3, 1}));
}

TEST(Csv, LocaleWithDecimalCommaChangesNothing) {
  const char* const before = ::setlocale(LC_ALL, nullptr);
  const std::string saved = before == nullptr ? "C" : before;
  if (::setlocale(LC_ALL, "de_DE.UTF-8") == nullptr) GTEST_SKIP() << "no locale de_DE.UTF-8 here";
  const Tensor tensor = ParseCsv("1.5,2\n", "x.csv");
  const std::string text = WriteCsv(tensor);
  ::setlocale(LC_ALL, saved.c_str());
  EXPECT_THAT(tensor.values<float>(), ElementsAre(1.5F, 2.0F));
  EXPECT_EQ(text, "1.5,2\n");
}

TEST(Csv, RaggedRowsAreRefusedWithTheirLine) {
  ExpectRefused("1,2,3\n4,5,6\n\n7,8\n", {"x.csv line 4", "2 columns", "3; give all as many"});
  ExpectRefused("1,2\n3,4,5\n", {"x.csv line 2", "3 columns"});
  ExpectRefused("1,2,\n", {"x.csv line 1", "column 3", "''"});
}

TEST(Csv, WhatIsNoFiniteNumberIsRefusedWithLineAndColumn) {
  for (const std::string bad : {"nan", "inf", "-inf", "1e999", "four", "\"4\"", "1.5.2", "0x10",
                                "1 2", "++1", "+-1", "--1", "1e", "", "4;5"}) {
    ExpectRefused("1,2\n3," + bad + "\n",
                  {"x.csv line 2: column 2", "finite number", "; give numbers only"});
  }
}

TEST(Csv, DecimalCommasAreMoreColumnsAndNotNumbersInDisguise) {
  EXPECT_EQ(ParseCsv("1,5\n", "x.csv").shape(), Shape({1, 2}));
  ExpectRefused("1,5;2,5\n", {"column 2", "'5;2'"});
}

TEST(Csv, NulAndControlBytesAreRefusedAndShownSafely) {
  ExpectRefused(std::string("1,2\0\n", 5), {"column 2", "'2?'"});
  ExpectRefused("\x1b[2J,1\n", {"column 1", "'?[2J'"});
}

TEST(Csv, LongFieldsAreShownCut) {
  ExpectRefused("1," + std::string(1 << 20, 'x') + "\n", {"column 2", "xxx...'"});
}

TEST(Csv, NoRowsAreRefused) {
  ExpectRefused("", {"x.csv", "no rows; wanted at least one line of numbers"});
  ExpectRefused("\xEF\xBB\xBF\r\n \n", {"x.csv", "no rows"});
}

TEST(Csv, EveryPrefixIsReadOrRefused) {
  const std::string text = "1.25,-2e3\r\n+3,0.5\r\n";
  for (size_t length = 0; length <= text.size(); ++length) {
    try {
      EXPECT_LE(ParseCsv(text.substr(0, length), "x.csv").size(), 4);
    } catch (const FormatError&) {
      // As good.
    }
  }
}

TEST(Csv, TinyNumbersBecomeTheNearestFloat) {
  EXPECT_THAT(ParseCsv("1e-45,1e-38\n", "x.csv").values<float>(),
              ElementsAre(std::numeric_limits<float>::denorm_min(), 1e-38F));
  EXPECT_THAT(ParseCsv("1e-60,-1e-300,3\n", "x.csv").values<float>(),
              ElementsAre(0.0F, -0.0F, 3.0F));
}

TEST(Csv, NumbersTooSmallForAnyTypeAreZeroAndTooLargeOnesAreRefused) {
  for (const char* text : {"1e-999", "-1e-999", "0.0001e-99999999999999999999", "10.5E-400",
                           "0e999999999999999999999", "0.00e+400"}) {
    EXPECT_EQ(ParseCsv(text, "x").values<float>()[0], 0.0F) << text;
  }
  for (const char* text : {"1e999", "-1e+999", "1e99999999999999999999"}) {
    ExpectError(ExitCode::kBadData, {"finite"}, [&] { ParseCsv(text, "x"); });
  }
}

TEST(Csv, WrittenNumbersReadBackBitByBit) {
  const std::vector<float> values{0.1F,
                                  -1.0F / 3.0F,
                                  16777217.0F,
                                  std::numeric_limits<float>::max(),
                                  std::numeric_limits<float>::denorm_min(),
                                  -0.0F};
  const Tensor tensor = Tensor::FromValues<float>(Shape({2, 3}), values);
  const std::string text = WriteCsv(tensor);
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 2);
  const Tensor back = ParseCsv(text, "x.csv");
  EXPECT_EQ(back.shape(), tensor.shape());
  EXPECT_THAT(back.values<float>(), ElementsAreArray(values));
  EXPECT_TRUE(std::signbit(back.values<float>()[5]));
}

TEST(Csv, AnyShapeIsWrittenOneLineARow) {
  EXPECT_EQ(WriteCsv(Tensor::FromValues<int32_t>(Shape({2, 1, 2}), std::vector{1, 2, 3, 4})),
            "1,2\n3,4\n");
  EXPECT_EQ(WriteCsv(Tensor::FromValues<float>(Shape({3}), std::vector{1.0F, 2.5F, 3.0F})),
            "1\n2.5\n3\n");
}

}  // namespace
}  // namespace lockstep
