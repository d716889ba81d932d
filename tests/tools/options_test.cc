#include "tools/options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "kernels/error.h"

namespace lockstep::tools {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::Pair;

// The options of a small program.
struct Fixture {
  int64_t epochs = 50;
  int batch_size = 64;
  double learning_rate = 0.05;
  std::string optimizer = "momentum";
  bool shuffle = true;
  bool resume = false;
  uint64_t seed = 0;
  std::optional<std::string> model_dir;
  std::optional<double> clip;
  std::vector<int64_t> units = {1000, 10};
  std::vector<std::string> freeze;
  std::map<std::string, std::string> extra;
  Options options{"lockstep train", "Trains a network."};

  Fixture() {
    options.Group("Training");
    options.Add("epochs", &epochs, "passes over the training data").Min(1).Max(1e6).Short('e');
    options.Add("batch-size", &batch_size, "samples a step").Min(1);
    options.Add("learning-rate", &learning_rate, "step size").Above(0).Alias("lr");
    options.Add("optimizer", &optimizer, "update rule").OneOf({"sgd", "momentum", "adam"});
    options.Add("shuffle", &shuffle, "new order each epoch");
    options.Add("resume", &resume, "go on from the newest checkpoint");
    options.Add("seed", &seed, "of all randomness");
    options.Group("Files");
    options.Add("model-dir", &model_dir, "where the model goes").ValueName("DIR");
    options.Add("clip", &clip, "gradient norm at most").Min(0);
    options.Add("units", &units, "units of the layers").Min(1);
    options.Add("freeze", &freeze, "parameters to leave alone");
    options.Add("extra", &extra, "anything else");
  }
  explicit Fixture(std::vector<std::string> arguments, std::vector<HyperparameterSet> sets = {})
      : Fixture() {
    options.Parse(arguments, sets);
  }
};

std::string ErrorOf(std::vector<std::string> arguments, std::vector<HyperparameterSet> sets = {}) {
  try {
    Fixture(std::move(arguments), std::move(sets));
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "no error";
}

TEST(OptionsTest, DefaultsHoldWhereNothingIsGiven) {
  const Fixture f(std::vector<std::string>{});
  EXPECT_EQ(f.epochs, 50);
  EXPECT_EQ(f.batch_size, 64);
  EXPECT_EQ(f.learning_rate, 0.05);
  EXPECT_EQ(f.options.origin("epochs"), "");
  EXPECT_FALSE(f.options.given("epochs"));
  EXPECT_THAT(f.units, ElementsAre(1000, 10));
}

TEST(OptionsTest, ValuesFollowInTheSameOrTheNextArgument) {
  const Fixture f({"--epochs", "20", "--batch-size=128", "-e", "21"});
  EXPECT_EQ(f.epochs, 21);  // the last wins
  EXPECT_EQ(f.batch_size, 128);
  EXPECT_EQ(f.options.origin("epochs"), "argument");
  EXPECT_EQ(Fixture({"-e=5"}).epochs, 5);
  EXPECT_EQ(Fixture({"-e5"}).epochs, 5);
  EXPECT_EQ(Fixture({"--e", "6"}).epochs, 6);
}

TEST(OptionsTest, DashAndUnderscoreAreEqualInNames) {
  EXPECT_EQ(Fixture({"--batch_size", "8"}).batch_size, 8);
  EXPECT_EQ(Fixture({"--learning_rate=0.5"}).learning_rate, 0.5);
  EXPECT_EQ(Fixture({}, {{"SM_HPS", {{"batch_size", "9"}}}}).batch_size, 9);
}

TEST(OptionsTest, AliasesAreNames) { EXPECT_EQ(Fixture({"--lr", "0.1"}).learning_rate, 0.1); }

TEST(OptionsTest, AbbreviationsAreNotNames) {
  const Fixture f({"--epoch", "5"});
  EXPECT_EQ(f.epochs, 50);
  EXPECT_THAT(f.options.unknown(), ElementsAre("--epoch 5 (did you mean --epochs?)"));
}

TEST(OptionsTest, NumbersInEverySpellingOfPython) {
  EXPECT_EQ(Fixture({"--epochs", "20.0"}).epochs, 20);
  EXPECT_EQ(Fixture({"--epochs", "2e1"}).epochs, 20);
  EXPECT_EQ(Fixture({"--epochs", "007"}).epochs, 7);
  EXPECT_EQ(Fixture({"--epochs", " +7 "}).epochs, 7);
  EXPECT_EQ(Fixture({"--learning-rate", "1e-05"}).learning_rate, 1e-5);
  EXPECT_EQ(Fixture({"--learning-rate", ".5"}).learning_rate, 0.5);
  EXPECT_EQ(Fixture({"--learning-rate", "1"}).learning_rate, 1.0);
  EXPECT_EQ(Fixture({"--seed", "12345678901234567890"}).seed, 12345678901234567890u);
}

TEST(OptionsTest, NegativeNumbersAreValues) {
  EXPECT_THAT(ErrorOf({"--learning-rate", "-1e-05"}), HasSubstr("found '-1e-05', wanted"));
  EXPECT_THAT(ErrorOf({"--epochs", "-1"}), HasSubstr("found '-1', wanted"));
  EXPECT_EQ(Fixture({"--model-dir", "-"}).model_dir, "-");
  EXPECT_EQ(Fixture({"--model-dir", "-x y"}).model_dir, "-x y");
}

TEST(OptionsTest, BoolsInEverySpelling) {
  for (const char* text : {"True", "true", "TRUE", "1", "yes", "on"}) {
    EXPECT_TRUE(Fixture({"--resume", text}).resume) << text;
  }
  for (const char* text : {"False", "false", "0", "no", "off"}) {
    EXPECT_FALSE(Fixture({"--shuffle", text}).shuffle) << text;
  }
  EXPECT_TRUE(Fixture({"--resume"}).resume);
  EXPECT_TRUE(Fixture({"--resume", "--epochs", "3"}).resume);
  EXPECT_FALSE(Fixture({"--resume", ""}).resume);
  EXPECT_TRUE(Fixture({"--shuffle="}).shuffle);
  EXPECT_EQ(ErrorOf({"--resume", "maybe"}), "option --resume: found 'maybe', wanted True or False");
}

TEST(OptionsTest, EmptyMeansNotGiven) {
  const Fixture f({"--epochs", "", "--model-dir", "", "--clip", " "},
                  {{"SM_HPS", {{"epochs", "7"}, {"optimizer", ""}}}});
  EXPECT_EQ(f.epochs, 7);
  EXPECT_EQ(f.optimizer, "momentum");
  EXPECT_FALSE(f.model_dir);
  EXPECT_FALSE(f.clip);
}

TEST(OptionsTest, ArgumentsBeforeSmHpsBeforeTheFileBeforeDefaults) {
  const Fixture f({"--epochs", "1"},
                  {{"SM_HPS", {{"epochs", "2"}, {"batch-size", "3"}}},
                   {"file", {{"epochs", "4"}, {"batch-size", "5"}, {"lr", "6"}}}});
  EXPECT_EQ(f.epochs, 1);
  EXPECT_EQ(f.batch_size, 3);
  EXPECT_EQ(f.learning_rate, 6);
  EXPECT_EQ(f.options.origin("batch-size"), "SM_HPS");
  EXPECT_EQ(f.options.origin("learning_rate"), "file");
}

TEST(OptionsTest, ListsAndMapsReadPythonsRepr) {
  EXPECT_THAT(Fixture({"--units", "[100, 20, 10]"}).units, ElementsAre(100, 20, 10));
  EXPECT_THAT(Fixture({"--units", "100,10"}).units, ElementsAre(100, 10));
  EXPECT_THAT(Fixture({"--freeze", "['a', 'b*']"}).freeze, ElementsAre("a", "b*"));
  EXPECT_THAT(Fixture({"--freeze", "a", "--freeze", "b"}).freeze, ElementsAre("a", "b"));
  EXPECT_THAT(Fixture({"--extra", "a=1,b=[2, 3]"}).extra,
              ElementsAre(Pair("a", "1"), Pair("b", "[2, 3]")));
  EXPECT_THAT(ErrorOf({"--units", "[100, 0]"}), HasSubstr("wanted a list, each a whole number"));
  EXPECT_THAT(ErrorOf({"--units", "[100, x"}), HasSubstr("option --units: list: found 'x'"));
}

TEST(OptionsTest, ErrorsNameOptionValueAndWhatIsAccepted) {
  EXPECT_EQ(ErrorOf({"--epochs", "abc"}),
            "option --epochs: found 'abc', wanted a whole number from 1 up to 1000000");
  EXPECT_EQ(ErrorOf({"--batch-size", "1.5"}),
            "option --batch-size: found '1.5', wanted a whole number from 1 up");
  EXPECT_EQ(ErrorOf({"--batch-size", "99999999999"}),
            "option --batch-size: found '99999999999', wanted a whole number from 1 up");
  EXPECT_EQ(ErrorOf({"--learning-rate", "0"}),
            "option --learning-rate: found '0', wanted a number above 0");
  EXPECT_EQ(ErrorOf({"--optimizer", "sdg"}),
            "option --optimizer: found 'sdg', wanted one of sgd, momentum, adam");
  EXPECT_EQ(
      ErrorOf({}, {{"SM_HPS", {{"epochs", "x\n"}}}}),
      "option --epochs (from SM_HPS): found 'x\\n', wanted a whole number from 1 up to 1000000");
  EXPECT_EQ(ErrorOf({"--epochs"}),
            "option --epochs: no value given, wanted a whole number from 1 up to 1000000");
  for (const char* text :
       {"nan", "inf", "1e999", "50%", "0,5", "0x10", "1_0", "- 1", "+-1", "--1"}) {
    EXPECT_THAT(ErrorOf({std::string("--clip=") + text}), HasSubstr("wanted a number from 0 up"))
        << text;
  }
  for (const char* text : {"1e17", "99999999999999999999", "1.0000001", "True"}) {
    EXPECT_THAT(ErrorOf({"--units", text}), HasSubstr("wanted")) << text;
  }
}

TEST(OptionsTest, UnknownOptionsAreListedOnceWithTheirValues) {
  const Fixture f({"--widgets", "3", "--epochs", "2", "--flag", "--x=y", "stray", "-z", "-5"},
                  {{"SM_HPS", {{"widgets", "3"}, {"other", "a\nb"}, {"q", ""}}}});
  EXPECT_EQ(f.epochs, 2);
  EXPECT_THAT(f.options.unknown(),
              ElementsAre("--widgets 3", "--flag", "--x y", "stray", "-z -5", "--other a b", "-q"));
}

TEST(OptionsTest, UnknownOptionsThatAreNearAKnownOneCarryAGuess) {
  EXPECT_THAT(Fixture({"--learning-rat", "1"}).options.unknown(),
              ElementsAre("--learning-rat 1 (did you mean --learning-rate?)"));
  EXPECT_THAT(Fixture({"--optimiser", "sgd"}).options.unknown(),
              ElementsAre(HasSubstr("did you mean --optimizer?")));
}

TEST(OptionsTest, OnlyTheFirstUnknownOptionsCarryAGuess) {
  HyperparameterSet set{.source = "SM_HPS", .values = {}};
  for (int i = 0; i < 200'000; ++i) set.values.emplace("z-widget-" + std::to_string(i), "1");
  set.values.emplace("epoch", "5");
  set.values.emplace("zz-epochs", "5");
  const Fixture f({}, {set});
  ASSERT_EQ(f.options.unknown().size(), 200'002U);
  EXPECT_EQ(f.options.unknown().front(), "--epoch 5 (did you mean --epochs?)");
  EXPECT_EQ(f.options.unknown().back(), "--zz-epochs 5");
}

TEST(OptionsTest, AnUpperBoundMayBeExcluded) {
  double beta = 0.5;
  Options options("lockstep train", "Trains.");
  options.Add("beta", &beta, "decay").Min(0).Below(1);
  EXPECT_THROW(options.Parse(std::vector<std::string>{"--beta", "1"}), ConfigError);
  options.Parse(std::vector<std::string>{"--beta", "0.999"});
  EXPECT_EQ(beta, 0.999);
}

TEST(OptionsTest, StrictRefusesUnknownOptions) {
  EXPECT_THAT(ErrorOf({"--strict", "--widgets", "3"}),
              AllOf(HasSubstr("unknown --widgets 3"), HasSubstr("--help")));
  EXPECT_EQ(ErrorOf({"--strict", "--epochs", "3"}), "no error");
  EXPECT_THAT(ErrorOf({}, {{"SM_HPS", {{"strict", "True"}, {"w", "1"}}}}),
              HasSubstr("unknown -w 1"));
}

TEST(OptionsTest, ProgramsForPeopleRefuseUnknownOptionsAnyway) {
  Options options("lockstep predict", "Predicts.");
  options.RefuseUnknown();
  const auto parse = [&](const std::vector<std::string>& arguments) { options.Parse(arguments); };
  EXPECT_NO_THROW(parse({"--strict"}));
  EXPECT_THROW(parse({"--widgets", "3"}), ConfigError);
  EXPECT_THAT(options.Help(),
              AllOf(HasSubstr("unknown options are refused"), Not(HasSubstr("SM_HPS"))));
}

TEST(OptionsTest, ListsTakeSeveralValuesAsArgparseDoes) {
  std::vector<int64_t> hidden;
  int64_t epochs = 1;
  Options options("lockstep train", "Trains.");
  options.Add("hidden", &hidden, "units");
  options.Add("epochs", &epochs, "passes");
  options.Parse(std::vector<std::string>{"--hidden", "16", "8", "4,2", "--epochs", "3", "5"});
  EXPECT_THAT(hidden, ElementsAre(16, 8, 4, 2));
  EXPECT_EQ(epochs, 3);
  EXPECT_THAT(options.unknown(), ElementsAre("5"));
}

TEST(OptionsTest, ListsLeaveArgumentsWithoutANameAlone) {
  std::vector<int64_t> hidden;
  std::vector<std::string> files;
  Options options("lockstep inspect", "Shows a file.");
  options.Add("hidden", &hidden, "units");
  options.Positional("FILE", &files);
  options.Parse(std::vector<std::string>{"--hidden", "16", "a.npz"});
  EXPECT_THAT(hidden, ElementsAre(16));
  EXPECT_THAT(files, ElementsAre("a.npz"));
}

TEST(OptionsTest, PositionalArgumentsAreNotGivenToFlagsOrStrangers) {
  bool plan = false;
  std::vector<std::string> files;
  Options options("lockstep inspect", "Shows a file.");
  options.Add("plan", &plan, "show the plan");
  options.Positional("FILE", &files);
  options.Parse(std::vector<std::string>{"--plan", "a.npz", "--widget", "b.npz", "--", "--plan"});
  EXPECT_TRUE(plan);
  EXPECT_THAT(files, ElementsAre("a.npz", "b.npz", "--plan"));
  EXPECT_THAT(options.unknown(), ElementsAre("--widget"));
}

TEST(OptionsTest, HelpTellsNamesDefaultsAndChoices) {
  Fixture f;
  f.options.Parse(std::vector<std::string>{"--epochs", "bad", "--help"});
  EXPECT_TRUE(f.options.help_requested());
  const std::string help = f.options.Help();
  EXPECT_THAT(help, HasSubstr("Usage: lockstep train [options]\n"));
  EXPECT_THAT(help, HasSubstr("Training:\n  -e, --epochs                  passes over the training "
                              "data (default 50)\n"));
  EXPECT_THAT(help, HasSubstr("--learning-rate, --lr         step size (default 0.05)"));
  EXPECT_THAT(help, HasSubstr("update rule: sgd, momentum, adam (default momentum)"));
  EXPECT_THAT(help, HasSubstr("--model-dir DIR "));
  EXPECT_THAT(help, HasSubstr("--strict"));
  EXPECT_THAT(help, Not(HasSubstr("\t")));
  size_t start = 0;
  while (start < help.size()) {
    const size_t end = help.find('\n', start);
    EXPECT_LE(end - start, 100u) << help.substr(start, end - start);
    start = end + 1;
  }
}

TEST(OptionsTest, DeclaringAnOptionTwiceIsABug) {
  Fixture f;
  EXPECT_THROW(f.options.Add("epochs", &f.epochs, "again"), Error);
}

}  // namespace
}  // namespace lockstep::tools
