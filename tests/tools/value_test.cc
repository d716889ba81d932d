#include "tools/value.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "kernels/error.h"

namespace lockstep::tools {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Pair;

std::string Argument(const std::string& json) { return ArgumentText(ParseJson(json, "here")); }

std::string ErrorOf(const std::string& json) {
  try {
    ParseJson(json, "here");
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "no error";
}

// Expected: CPython's str() of json.loads().
TEST(ArgumentTextTest, IsPythonsStr) {
  EXPECT_EQ(Argument("true"), "True");
  EXPECT_EQ(Argument("false"), "False");
  EXPECT_EQ(Argument("null"), "");
  EXPECT_EQ(Argument("20"), "20");
  EXPECT_EQ(Argument("-0.0"), "-0.0");
  EXPECT_EQ(Argument("1e-3"), "0.001");
  EXPECT_EQ(Argument("1E3"), "1000.0");
  EXPECT_EQ(Argument(R"([1, 2.0, "x", null, true, {"a": "b"}])"),
            "[1, 2.0, 'x', None, True, {'a': 'b'}]");
  EXPECT_EQ(Argument(R"({"a": 1, "b": [2,3], "c": "d e"})"), "a=1,b=[2, 3],c=d e");
  EXPECT_EQ(Argument(R"(["it's", "say \"x\"", "a'b\"c", "\n\\"])"),
            R"(["it's", 'say "x"', 'a\'b"c', '\n\\'])");
}

TEST(ArgumentTextTest, IntegersKeepAllDigits) {
  EXPECT_EQ(Argument("12345678901234567890"), "12345678901234567890");
  EXPECT_EQ(Argument("-123456789012345678901234567890"), "-123456789012345678901234567890");
}

TEST(ParseJsonTest, TheLastOfEqualKeysWins) {
  const Value map = ParseJson(R"({"a": 1, "b": 2, "a": 3})", "here");
  EXPECT_THAT(map.keys, ElementsAre("a", "b"));
  ASSERT_NE(map.Find("a"), nullptr);
  EXPECT_EQ(map.Find("a")->text, "3");
  EXPECT_EQ(map.Find("c"), nullptr);
}

TEST(ParseJsonTest, ErrorsNameThePlace) {
  EXPECT_EQ(ErrorOf("{\"a\": 1,\n \"b\": x}"),
            "here: malformed JSON, byte 15 (line 2, column 7), at 'x}'");
  EXPECT_THAT(ErrorOf("{\"a\""), HasSubstr("byte 4 (line 1, column 5), where it ends"));
  EXPECT_THAT(ErrorOf(""), HasSubstr("byte 0"));
  EXPECT_THAT(ErrorOf("[1] 2"), HasSubstr("byte 4"));
  EXPECT_THAT(ErrorOf("\"\xff\""), HasSubstr("malformed JSON"));
  EXPECT_THAT(ErrorOf("1e999"), HasSubstr("malformed JSON"));
  EXPECT_THAT(ErrorOf(std::string("[1]\0[2]", 7)), HasSubstr("a NUL at byte 3"));
  EXPECT_FALSE(TryParseJson(std::string_view("1\0", 2)));
}

TEST(ParseJsonTest, DeepNestingIsAnError) {
  EXPECT_EQ(ErrorOf(std::string(32, '[') + std::string(32, ']')), "no error");
  EXPECT_THAT(ErrorOf(std::string(33, '[') + std::string(33, ']')), HasSubstr("more than 32 deep"));
  EXPECT_THAT(ErrorOf(std::string(1'000'000, '[')), HasSubstr("more than 32 deep"));
}

TEST(ParseJsonTest, EveryCutOfAnObjectIsAnError) {
  const std::string json = R"({"a": [1, 2.5e-3, "xA"], "b": {"c": null, "d": true}})";
  ASSERT_EQ(ErrorOf(json), "no error");
  for (size_t length = 0; length < json.size(); ++length) {
    EXPECT_THAT(ErrorOf(json.substr(0, length)), HasSubstr("malformed JSON")) << length;
  }
}

TEST(ParsePythonTest, ReadsWhatStrPrints) {
  const std::string text = R"([1, -2.5, 'x', "it's", True, None, [], {'a': (1, 2)}, 'é\t'])";
  EXPECT_EQ(PythonStr(ParsePython(text, "here")),
            R"([1, -2.5, 'x', "it's", True, None, [], {'a': [1, 2]}, 'é\t'])");
  EXPECT_EQ(PythonStr(ParsePython(" [1e-05 , 20.0 ,] ", "here")), "[1e-05, 20.0]");
  EXPECT_EQ(PythonStr(ParsePython(R"({"a": true, "b": null})", "here")), "{'a': True, 'b': None}");
  EXPECT_EQ(PythonStr(ParsePython(R"(['\x41\u00e9\U0001F600'])", "here")), "['Aé😀']");
}

TEST(ParsePythonTest, ErrorsNameThePlace) {
  for (const char* text :
       {"[1, 2", "[1 2]", "['x]", "[x]", "[1]]", "{'a' 1}", "{'a': }", "['\\x4']", "", "[1,,2]"}) {
    EXPECT_THROW(ParsePython(text, "here"), ConfigError) << text;
  }
  EXPECT_THROW(ParsePython(std::string(100'000, '['), "here"), ConfigError);
  try {
    ParsePython("[1 2]", "option --x");
    FAIL();
  } catch (const ConfigError& error) {
    EXPECT_STREQ(error.what(),
                 "option --x: found '2]' at character 4 of '[1 2]', wanted ',' or ']'");
  }
}

TEST(ParseListTextTest, ReadsAllSpellings) {
  EXPECT_THAT(ParseListText("[1, 2, 'x']", "here"), ElementsAre("1", "2", "x"));
  EXPECT_THAT(ParseListText(R"([1,2,"x"])", "here"), ElementsAre("1", "2", "x"));
  EXPECT_THAT(ParseListText("(1, 2)", "here"), ElementsAre("1", "2"));
  EXPECT_THAT(ParseListText("100,10", "here"), ElementsAre("100", "10"));
  EXPECT_THAT(ParseListText("7", "here"), ElementsAre("7"));
  EXPECT_THAT(ParseListText("[]", "here"), ElementsAre());
}

TEST(ParseMapTextTest, ReadsAllSpellings) {
  EXPECT_THAT(ParseMapText("a=1,b=[2, 3]", "here"),
              ElementsAre(Pair("a", "1"), Pair("b", "[2, 3]")));
  EXPECT_THAT(ParseMapText("{'a': 1, 'b': [2, 3]}", "here"),
              ElementsAre(Pair("a", "1"), Pair("b", "[2, 3]")));
  EXPECT_THAT(ParseMapText("a=x=y", "here"), ElementsAre(Pair("a", "x=y")));
  EXPECT_THROW(ParseMapText("a", "here"), ConfigError);
  EXPECT_THROW(ParseMapText("=1", "here"), ConfigError);
}

}  // namespace
}  // namespace lockstep::tools
