#include "data/npy.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "data/float16.h"
#include "data/utf8.h"
#include "tests/data/expect_error.h"

namespace lockstep {
namespace {

std::string Header(const std::string& dict, int major = 1) {
  std::string text = "\x93NUMPY";
  text += static_cast<char>(major);
  text += '\0';
  for (size_t i = 0; i < (major == 1 ? 2U : 4U); ++i) {
    text += static_cast<char>(dict.size() >> (8 * i) & 255);
  }
  return text + dict;
}

std::string Dict(const std::string& descr, const std::string& shape, bool fortran = false) {
  return "{'descr': " + descr + ", 'fortran_order': " + (fortran ? "True" : "False") +
         ", 'shape': " + shape + ", }\n";
}

Tensor Parse(const std::string& file) {
  return ParseNpy(Bytes::Copy({reinterpret_cast<const uint8_t*>(file.data()), file.size()}),
                  "x.npy");
}

void Refuse(const std::string& file, const std::string& why,
            const std::string& advice = "; fetch or write the file again") {
  ExpectError(ExitCode::kBadData, {"x.npy", why, advice}, [&] { Parse(file); });
}

TEST(Npy, EveryCutIsRefused) {
  const std::vector<uint8_t> whole = WriteNpy(Tensor(DType::kFloat32, {3, 2}));
  const std::string text(whole.begin(), whole.end());
  EXPECT_EQ(Parse(text).shape(), Shape({3, 2}));
  for (size_t size = 0; size < text.size(); ++size) Refuse(text.substr(0, size), "at byte");
  Refuse(text + "x", "1 unexpected bytes");
}

TEST(Npy, PicklesAreRefusedByName) {
  const std::string advice = "; save plain arrays of numbers instead";
  Refuse(Header(Dict("'|O'", "(3,)")) + std::string(24, 'x'), "pickle", advice);
  Refuse(Header(Dict("'O'", "()")) + "\x80\x03N.", "pickle", advice);
}

TEST(Npy, OtherDtypesAreNamed) {
  for (const std::string descr : {"|V8", "|S4", "<c8", "<f16", "<f3", "<M8[ns]", "<i16", "|b2",
                                  "f4", "", "<", "<f", "<f44444444444"}) {
    Refuse(Header(Dict("'" + descr + "'", "(1,)")) + std::string(64, '\0'), "dtype '" + descr,
           "; save float16/32/64, (u)int8 to 64 or bool");
  }
  Refuse(Header(Dict("[('a', '<f4'), ('b', '<i2')]", "(1,)")) + std::string(6, '\0'),
         "structured dtype [('a'", "; save each field as an array of its own");
  Refuse(Header(Dict("'<U4'", "(1,)")) + std::string(16, '\0'), "'<U4'", "; save numbers");
}

TEST(Npy, HeaderLengthIsCheckedBeforeAnythingIsTaken) {
  Refuse("\x93NUMPY\x01" + std::string(1, '\0') + "\xFF\xFF" + std::string(50, ' '),
         "65535 bytes wanted");
  const std::string two = "\x93NUMPY\x02" + std::string(1, '\0');
  Refuse(two + "\xF0\xFF\xFF\xFF" + std::string(50, ' '), "4294967280");
  Refuse(two + std::string("\x00\x00\x10\x00", 4), "1048576 bytes wanted");
  Refuse("\x93NUMPY\x04" + std::string(5, '\0'), "version 4.0 is unknown, wanted 1.0, 2.0 or 3.0");
  Refuse("\x93NUMPY\x01\x01" + std::string(5, '\0'), "version 1.1");
}

TEST(Npy, ImpossibleShapesAreRefused) {
  const auto refuse = [](const std::string& shape, const std::string& why) {
    Refuse(Header(Dict("'<f8'", shape)) + std::string(8, '\0'), why);
  };
  refuse("(4294967296, 4294967296)", "too many elements");
  refuse("(9223372036854775807,)", "too many elements");
  refuse("(9223372036854775808,)", "2^63");
  refuse("(99999999999999999999999999,)", "2^63");
  refuse("(0, 4294967296, 4294967296)", "too many elements");
  refuse("(1152921504606846976,)", "too many elements");
  refuse("(576460752303423487,)", "bytes wanted");
  refuse("(-1,)", "negative");
  refuse("(1,,)", "extent expected");
  refuse("(1", "expected");
  refuse("(1)", "comma");
  refuse("1", "'(' expected");
  refuse("(01,)", "leading zero");
  refuse("(1.0,)", "comma");
  refuse("(True,)", "extent expected");
  std::string many = "(";
  for (int i = 0; i < 33; ++i) many += "1, ";
  refuse(many + ")", "33 dimensions");
}

TEST(Npy, LegalOddHeadersAreRead) {
  EXPECT_EQ(Parse(Header(Dict("'<f8'", "(0,)"))).shape(), Shape({0}));
  EXPECT_EQ(Parse(Header(Dict("'|u1'", "(1,2,)")) + "ab").shape(), Shape({1, 2}));
  EXPECT_EQ(Parse(Header(Dict("'|u1'", "(2L, 1L)")) + "ab").shape(), Shape({2, 1}));
  EXPECT_EQ(Parse(Header("{\"shape\":(2,),\"descr\":\"=i1\",\"fortran_order\":False}", 3) + "ab")
                .values<int32_t>()[1],
            'b');
}

TEST(Npy, HeadersThatAreNoSuchDictionaryAreRefused) {
  for (const std::string dict :
       {"", "{", "{}", "[]", "{'descr': '<f4'}", "{'descr': '<f4', 'shape': (1,)}",
        "{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (1,)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (1,), 'more': 1}",
        "{'descr': '<f4', 'fortran_order': 0, 'shape': (1,)}",
        "{'descr': '<f4' 'fortran_order': False, 'shape': (1,)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (1,)} x",
        "{'descr': '<f4, 'fortran_order': False, 'shape': (1,)}",
        "{'descr': '<\\x664', 'fortran_order': False, 'shape': (1,)}"}) {
    Refuse(Header(dict) + std::string(4, '\0'), "npy header");
  }
}

TEST(Npy, ColumnMajorIsTransposed) {
  const Tensor tensor = Parse(Header(Dict("'|u1'", "(2, 3)", true)) + "adbecf");
  EXPECT_EQ(std::string(reinterpret_cast<const char*>(tensor.data()), 6), "abcdef");
}

TEST(Npy, ValuesThatDoNotFitAreRefused) {
  Refuse(Header(Dict("'<u8'", "(2,)")) + std::string(15, '\0') + "\x80", "element 1",
         "; wanted at most 2^63 - 1");
  Refuse(Header(Dict("'|b1'", "(2,)")) + std::string("\x01\x02"), "element 1 is 2",
         "; wanted a bool, 0 or 1");
}

TEST(Npy, TextIsReadInEitherByteOrder) {
  const auto parse = [](const std::string& file) {
    return ParseNpyText(Bytes::Copy({reinterpret_cast<const uint8_t*>(file.data()), file.size()}),
                        "x.npy");
  };
  const std::string a{'a', 0, 0, 0, '\xAC', '\x20', 0, 0, 0, 0, 0, 0};
  EXPECT_EQ(parse(Header(Dict("'<U3'", "()")) + a), "a\xE2\x82\xAC");
  const std::string b{0, 0, 0, 'a', 0, 0, '\x20', '\xAC'};
  EXPECT_EQ(parse(Header(Dict("'>U2'", "(1,)")) + b), "a\xE2\x82\xAC");
  const auto refuse = [&](const std::string& file, const std::string& why) {
    ExpectError(ExitCode::kBadData, {"x.npy", why}, [&] { parse(file); });
  };
  refuse(Header(Dict("'<U1'", "()")) + std::string{0, '\xD8', 0, 0}, "code point 55296");
  refuse(Header(Dict("'<U1'", "()")) + "\xFF\xFF\xFF\xFF", "code point");
  refuse(Header(Dict("'<U1'", "(2,)")) + std::string(8, 'a'), "(2,)");
  refuse(Header(Dict("'<f4'", "()")) + std::string(4, 'a'), "'<f4'");
  refuse(Header(Dict("'<U1'", "()")) + std::string(3, 'a'), "ends inside");
}

TEST(Float16, EveryHalfIsExact) {
  for (int bits = 0; bits < 65536; ++bits) {
    const int exponent = bits >> 10 & 31;
    const int mantissa = bits & 1023;
    const float found = HalfToFloat(static_cast<uint16_t>(bits));
    const float sign = bits < 32768 ? 1.0F : -1.0F;
    EXPECT_EQ(std::signbit(found), bits >= 32768);
    if (exponent == 31) {
      EXPECT_EQ(std::isnan(found), mantissa != 0);
      EXPECT_EQ(std::isinf(found), mantissa == 0);
    } else if (exponent == 0) {
      EXPECT_EQ(found, sign * std::ldexp(static_cast<float>(mantissa), -24));
    } else {
      EXPECT_EQ(found, sign * std::ldexp(static_cast<float>(1024 + mantissa), exponent - 25));
    }
  }
}

TEST(Utf8, IsDecodedStrictly) {
  EXPECT_EQ(DecodeUtf8("a\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80"), U"a\u00e9\u20ac\U0001F600");
  for (const std::string bad : {"\x80", "\xC0\x80", "\xC3", "\xE0\x80\x80", "\xED\xA0\x80",
                                "\xF4\x90\x80\x80", "\xF8\x88\x80\x80\x80", "\xE2\x82\x41"}) {
    ExpectError(ExitCode::kBadData, {"byte 1"}, [&] { DecodeUtf8("a" + bad); });
  }
}

}  // namespace
}  // namespace lockstep
