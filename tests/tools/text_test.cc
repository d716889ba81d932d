#include "tools/text.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

namespace lockstep::tools {
namespace {

// Expected values: repr() of CPython 3.11.
TEST(PythonFloatTest, PrintsAsPythonDoes) {
  EXPECT_EQ(PythonFloat(0.001), "0.001");
  EXPECT_EQ(PythonFloat(1e-5), "1e-05");
  EXPECT_EQ(PythonFloat(0.0001), "0.0001");
  EXPECT_EQ(PythonFloat(20), "20.0");
  EXPECT_EQ(PythonFloat(-0.0), "-0.0");
  EXPECT_EQ(PythonFloat(0.1), "0.1");
  EXPECT_EQ(PythonFloat(1.2129669984181721), "1.2129669984181721");
  EXPECT_EQ(PythonFloat(0.056447886000000835), "0.056447886000000835");
  EXPECT_EQ(PythonFloat(9999999999999998), "9999999999999998.0");
  EXPECT_EQ(PythonFloat(1e16), "1e+16");
  EXPECT_EQ(PythonFloat(-1.5e300), "-1.5e+300");
  EXPECT_EQ(PythonFloat(5e-324), "5e-324");
  EXPECT_EQ(PythonFloat(static_cast<double>(0.1f)), "0.10000000149011612");
  EXPECT_EQ(PythonFloat(NAN), "nan");
  EXPECT_EQ(PythonFloat(-std::numeric_limits<double>::infinity()), "-inf");
}

TEST(FormatGTest, IsTheGOfPrintf) {
  for (const double value : {0.0, 1.0, 1.2129669984181721, 1e6, 999999.5, 1234567.0, 1e-5, 0.00012,
                             -3.25e-7, 1e100, 100000.0}) {
    char expected[64];
    std::snprintf(expected, sizeof(expected), "%g", value);
    EXPECT_EQ(FormatG(value), expected);
  }
  EXPECT_EQ(FormatG(NAN), "nan");
  EXPECT_EQ(FormatG(-NAN), "nan");
}

TEST(PercentTextTest, ReachesNoneAndAllOnlyThere) {
  EXPECT_EQ(PercentText(0.5), "50 %");
  EXPECT_EQ(PercentText(0.9996), "99 %");
  EXPECT_EQ(PercentText(0.001), "1 %");
  EXPECT_EQ(PercentText(1.0), "100 %");
  EXPECT_EQ(PercentText(0.0), "0 %");
}

TEST(QuoteTest, UntrustedBytesBecomeEscapes) {
  EXPECT_EQ(Quote("plain"), "'plain'");
  EXPECT_EQ(Quote("it's \\ \n\t"), "'it\\'s \\\\ \\n\\t'");
  EXPECT_EQ(Quote(std::string("\x1b[31m\0\x7f", 7)), "'\\x1b[31m\\x00\\x7f'");
  EXPECT_EQ(Quote("gr\xc3\xbc\xc3\x9f \xf0\x9f\x98\x80"), "'gr\xc3\xbc\xc3\x9f \xf0\x9f\x98\x80'");
}

TEST(QuoteTest, WhatIsNotUtf8BecomesEscapes) {
  EXPECT_EQ(Quote("\xff"), "'\\xff'");
  EXPECT_EQ(Quote("\xc3"), "'\\xc3'");                             // cut
  EXPECT_EQ(Quote("\xc0\x80"), "'\\xc0\\x80'");                    // overlong
  EXPECT_EQ(Quote("\xe0\x80\x80"), "'\\xe0\\x80\\x80'");           // overlong
  EXPECT_EQ(Quote("\xed\xa0\x80"), "'\\xed\\xa0\\x80'");           // surrogate
  EXPECT_EQ(Quote("\xf4\x90\x80\x80"), "'\\xf4\\x90\\x80\\x80'");  // over U+10FFFF
  EXPECT_EQ(Quote("\xc2\x9b"), "'\\xc2\\x9b'");                    // C1: a terminal's CSI
}

TEST(QuoteTest, LongTextEndsInDots) {
  EXPECT_EQ(Quote(std::string(100, 'x'), 10), "'xxxxxxx...'");
  EXPECT_EQ(Quote(std::string(10, 'x'), 10), "'xxxxxxxxxx'");
  EXPECT_EQ(Quote("aaaa\xc3\xbc\xc3\xbc\xc3\xbc", 8), "'aaaa...'");  // no half characters
}

TEST(OneLineTest, IsOneLineWithinTheLimit) {
  EXPECT_EQ(OneLine("  two\nlines\r\n"), "two lines");
  EXPECT_EQ(OneLine("it's \\ kept"), "it's \\ kept");
  EXPECT_EQ(OneLine("bell\a"), "bell\\x07");
  for (size_t limit = 0; limit < 40; ++limit) {
    EXPECT_LE(OneLine("some text \xc3\xbc\xff\n that is longer than that", limit).size(), limit);
  }
}

TEST(JoinTest, PutsSeparatorsBetween) {
  EXPECT_EQ(Join(std::vector<std::string>{"a", "b", "c"}, ", "), "a, b, c");
  EXPECT_EQ(Join(std::vector<std::string>{}, ", "), "");
}

}  // namespace
}  // namespace lockstep::tools
