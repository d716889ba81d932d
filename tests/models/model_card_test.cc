#include "models/model_card.h"

#include <gtest/gtest.h>

#include "kernels/error.h"
#include "models/name_match.h"
#include "models/sha256.h"

namespace lockstep {
namespace {

ModelCard SomeCard() {
  return {.spec = {.name = "vgg", .in_shape = {3, 32, 32}, .classes = 7, .width = 0.125},
          .input = {.scale = 1.0 / 255,
                    .mean = {0.5, 0.25, 0.125},
                    .stddev = {1, 2, 3},
                    .padding = 4,
                    .crop = 32},
          .dtype = "float32",
          .mode = "reproducible",
          .lanes = 8,
          .seed = 18'446'744'073'709'551'615U,
          .iterations = 12345,
          .weights_sha256 = std::string(64, 'a')};
}

std::string MessageOf(const std::string& json) {
  try {
    ParseModelCard(json, "model.json");
  } catch (const FormatError& error) {
    return error.what();
  }
  return "nothing was thrown";
}

std::string Replaced(const std::string& from, const std::string& to) {
  std::string json = ToJson(SomeCard());
  const size_t at = json.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  return json.replace(at, from.size(), to);
}

TEST(ModelCard, ReadsBackWhatItWrote) {
  EXPECT_EQ(ParseModelCard(ToJson(SomeCard()), "model.json"), SomeCard());
  ModelCard mlp = SomeCard();
  mlp.spec = {.name = "mlp", .in_shape = {784}, .hidden = {1000, 1000}};
  mlp.input = {};
  EXPECT_EQ(ParseModelCard(ToJson(mlp), "model.json"), mlp);
}

TEST(ModelCard, ErrorsNameFileKeyAndValue) {
  EXPECT_EQ(MessageOf("{"), "model.json is not valid JSON");
  EXPECT_EQ(MessageOf("[]"), "model.json is not a JSON object");
  EXPECT_EQ(MessageOf("{}"), "model.json has no \"format\"");
  EXPECT_EQ(MessageOf(Replaced("\"version\": 1", "\"version\": 2")),
            "model.json is \"lockstep-model\" version 2, wanted \"lockstep-model\" version 1");
  EXPECT_EQ(MessageOf(Replaced("\"classes\": 7", "\"classes\": \"7\"")),
            "model.json: \"model\": \"classes\" is \"7\", wanted a whole number");
  EXPECT_EQ(MessageOf(Replaced("\"classes\": 7", "\"classes\": 7.5")),
            "model.json: \"model\": \"classes\" is 7.5, wanted a whole number");
  EXPECT_EQ(MessageOf(Replaced("\"width\": 0.125,", "")), "model.json: \"model\" has no \"width\"");
  EXPECT_EQ(MessageOf(Replaced("\"hidden\": []", "\"hidden\": [1, \"a\"]")),
            "model.json: \"model\": \"hidden\" is [1,\"a\"], wanted a list of numbers");
  EXPECT_NE(MessageOf(Replaced("\"in_shape\": [", "\"in_shape\": [-1,")), "nothing was thrown");
}

TEST(ModelCard, NetworksThatCannotBeBuiltAreBadData) {
  EXPECT_EQ(MessageOf(Replaced("\"vgg\"", "\"resnet\"")),
            "model.json: \"model\": unknown model \"resnet\"; known are mlp, vgg, lenet, dnn");
  EXPECT_NE(MessageOf(Replaced("0.125", "0.0001")).find("width"), std::string::npos);
  EXPECT_NE(MessageOf(Replaced("\"classes\": 7", "\"classes\": 0")).find("outputs"),
            std::string::npos);
  EXPECT_NE(MessageOf(Replaced("\"vgg\"", "\"mlp\"")).find("width"), std::string::npos);
}

TEST(ModelCard, ValuesOutsideTheirRangeAreBadData) {
  EXPECT_EQ(MessageOf(Replaced("\"float32\"", "\"int9\"")),
            "model.json: \"dtype\" is \"int9\", wanted \"float32\" or \"float64\"");
  EXPECT_EQ(MessageOf(Replaced("\"reproducible\"", "\"slow\"")),
            "model.json: \"training\": \"mode\" is \"slow\", wanted \"fast\" or "
            "\"reproducible\"");
  EXPECT_EQ(MessageOf(Replaced("\"lanes\": 8", "\"lanes\": -8")),
            "model.json: \"training\": \"lanes\" is -8, wanted 1 to 1024");
  EXPECT_EQ(MessageOf(Replaced("\"reproducible\"", "\"fast\"")),
            "model.json: \"training\": \"lanes\" is 8, wanted 0 to 0");
  EXPECT_NE(MessageOf(Replaced("12345", "-1")).find("\"iterations\" is -1"), std::string::npos);
  EXPECT_NE(MessageOf(Replaced("\"pad\": 4", "\"pad\": 4000000000000000000")).find("\"pad\""),
            std::string::npos);
  EXPECT_EQ(MessageOf(ToJson(SomeCard()) + std::string("\0{", 2)), "model.json holds a zero byte");
}

TEST(ModelCard, TooManyLayersAreRefusedAtOnce) {
  ModelCard card = SomeCard();
  card.spec = {.name = "mlp", .in_shape = {5}, .hidden = std::vector<int64_t>(1000, 1)};
  card.input = {};
  EXPECT_EQ(MessageOf(ToJson(card)), "nothing was thrown");
  card.spec.hidden.resize(20000, 1);
  EXPECT_EQ(MessageOf(ToJson(card)),
            "model.json: \"model\": model mlp has at most 1000 hidden layers, got 20000");
}

TEST(ModelCard, DeepNestingIsRefusedWithoutRecursion) {
  const std::string deep = std::string(200000, '[') + std::string(200000, ']');
  EXPECT_EQ(MessageOf(deep), "model.json is nested deeper than 32");
  EXPECT_EQ(MessageOf(Replaced("\"classes\": 7", "\"classes\": " + deep)),
            "model.json is nested deeper than 32");
}

TEST(ModelCard, CardsWithoutPadAndCropHaveNone) {
  std::string json = Replaced("\"pad\": 4,", "");
  json.erase(json.find("\"crop\": 32"), 10);
  json.erase(json.rfind(',', json.find("\"training\"") - 8), 1);  // before the closing brace
  const ModelCard card = ParseModelCard(json, "model.json");
  EXPECT_EQ(card.input.padding, 0);
  EXPECT_EQ(card.input.crop, 0);
  EXPECT_EQ(card.input.mean, SomeCard().input.mean);
}

TEST(ModelCard, InputMustFitTheSamples) {
  EXPECT_EQ(MessageOf(Replaced("\"crop\": 32", "\"crop\": 28")),
            "model.json: \"input\": \"crop\" is 28, but \"in_shape\" is (3, 32, 32)");
  EXPECT_EQ(MessageOf(Replaced("\"pad\": 4", "\"pad\": -4")),
            "model.json: \"input\": \"pad\" or \"crop\" is negative");
  EXPECT_EQ(MessageOf(Replaced("\"stddev\": [", "\"stddev\": [4,")),
            "model.json: \"input\": 4 values in \"mean\" or \"stddev\" for samples of shape "
            "(3, 32, 32)");
  ModelCard zero = SomeCard();
  zero.input.stddev[1] = 0;
  EXPECT_EQ(MessageOf(ToJson(zero)), "model.json: \"input\": a \"stddev\" is not above zero");
}

TEST(ModelCard, EveryTruncationIsAnError) {
  const std::string json = ToJson(SomeCard());
  for (size_t size = 0; size + 2 < json.size(); ++size) {
    EXPECT_NE(MessageOf(json.substr(0, size)), "nothing was thrown") << size;
  }
}

// Appendix B of FIPS 180-2, and the empty text.
TEST(Sha256, OfPublishedMessages) {
  const auto hash = [](const std::string& text, size_t piece) {
    Sha256 sha;
    for (size_t i = 0; i < text.size(); i += piece) {
      const std::string part = text.substr(i, piece);
      sha.Update(part.data(), part.size());
    }
    return sha.Finish();
  };
  for (const size_t piece : {1U, 7U, 64U, 1000U}) {
    EXPECT_EQ(hash("", piece), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    EXPECT_EQ(hash("abc", piece),
              "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    EXPECT_EQ(hash("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", piece),
              "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
    EXPECT_EQ(hash(std::string(1'000'000, 'a'), piece * 999),
              "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
  }
}

TEST(NameMatch, PatternsMatchAcrossSlashes) {
  EXPECT_TRUE(MatchesAny({"predictor/block1_*"}, "predictor/block1_1/conv/W"));
  EXPECT_TRUE(MatchesAny({"x", "*/bn/*"}, "predictor/block1_1/bn/gamma"));
  EXPECT_FALSE(MatchesAny({"block1_*"}, "predictor/block1_1/conv/W"));
  EXPECT_FALSE(MatchesAny({}, "a"));
}

TEST(NameMatch, NearestComeFirst) {
  EXPECT_EQ(NearestNames("l1/W", {"l1/b", "fc9/gamma", "l1/w", "l10/W"}, 2),
            (std::vector<std::string>{"l1/b", "l1/w"}));
  EXPECT_TRUE(NearestNames("a", {}, 3).empty());
}

}  // namespace
}  // namespace lockstep
