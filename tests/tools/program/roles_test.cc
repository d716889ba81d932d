// Results that would take the place of an input.
#include <gmock/gmock.h>
#include <sys/stat.h>

#include <filesystem>

#include "data/npy.h"
#include "tests/tools/program/workplace.h"

namespace lockstep::tools {
namespace {

using testing::HasSubstr;
namespace fs = std::filesystem;

class Roles : public Workplace {
 protected:
  Arguments TrainOn(const std::string& channel, const std::string& model,
                    const Arguments& more = {}) const {
    return TrainWithoutChannels(Arguments{"--train", Dir(channel), "--model-dir", Dir(model)} +
                                more);
  }
  // That it is refused before any work, naming both, and leaves the file as it was.
  void ExpectUntouched(const Arguments& arguments, const std::string& file,
                       const std::vector<std::string>& options) const {
    const std::string before = ReadFile(Dir(file));
    ASSERT_NE(before, "");
    const Outcome outcome = Run(arguments);
    ExpectRefusal(outcome, 64, options);
    EXPECT_EQ(outcome.out, "");
    EXPECT_TRUE(ReadFile(Dir(file)) == before);
  }
  void WriteRows() const {
    const std::vector<uint8_t> npy = WriteNpy(Vectors(33, 2).at("data"));
    scratch_.Write("x.npy", {npy.begin(), npy.end()});
  }
};

TEST_F(Roles, ModelDoesNotReplaceTrainingData) {
  Channel("own", Vectors(40));
  fs::rename(Dir("own/data.npz"), Dir("own/model.npz"));
  fs::create_directory_symlink(Dir("own"), Dir("link"));
  for (const std::string model : {"own", "link", "own/../own"}) {
    ExpectUntouched(TrainOn("own", model), "own/model.npz", {"--model-dir", "--train"});
    ExpectUntouched(TrainOn("train", model, {"--test", Dir("own")}), "own/model.npz",
                    {"--model-dir", "--test"});
  }
  EXPECT_FALSE(Exists("own/model.json"));
}

TEST_F(Roles, ModelInTheChannelIsNoDataOfTheNextJob) {
  const std::string hash = RunWell(TrainOn("train", "train")).WeightsHash();
  EXPECT_TRUE(Exists("train/model.npz"));
  const Outcome again = RunWell(TrainOn("train", "train"));
  EXPECT_EQ(again.WeightsHash(), hash);
  EXPECT_THAT(again.out, HasSubstr("# files: data.npz\n"));
  RunWell({"predict", "--model-dir", Dir("train"), "--channel", Dir("train"), "--threads", "1"});
}

TEST_F(Roles, ModelMayReplaceTheOneItStartedFrom) {
  RunWell(TrainOn("train", "model"));
  RunWell(TrainOn("train", "model", {"--init-from", Dir("model/model.npz")}));
}

TEST_F(Roles, AlgorithmFileIsNoData) {
  ExpectUntouched(TrainOn("train", "model", {"--algorithm-file", Dir("train/data.npz")}),
                  "train/data.npz", {"--algorithm-file", "--train"});
}

TEST_F(Roles, PredictionsReplaceNoInput) {
  RunWell(TrainOn("train", "model"));
  WriteRows();
  const Arguments predict{"predict", "--threads", "1", "--model-dir", Dir("model")};
  const Arguments rows = predict + Arguments{"--input", Dir("x.npy"), "--output"};
  const Arguments channel = predict + Arguments{"--channel", Dir("test"), "--output"};
  ExpectUntouched(rows + Arguments{Dir("model/model.npz")}, "model/model.npz",
                  {"--output", "--model-dir"});
  ExpectUntouched(
      With(rows, "--model-dir", Dir("model/model.npz")) + Arguments{Dir("model/model.npz")},
      "model/model.npz", {"--output", "--model-dir"});
  ExpectUntouched(rows + Arguments{Dir("x.npy")}, "x.npy", {"--output", "--input"});
  ExpectUntouched(channel + Arguments{Dir("test/data.npz")}, "test/data.npz",
                  {"--output", "--channel"});
  EXPECT_EQ(Run(channel + Arguments{Dir("z.npz")}).code, 0);
  ExpectUntouched(channel + Arguments{Dir("z.npz"), "--contact-sheet", Dir("z.npz")}, "z.npz",
                  {"--contact-sheet", "--output", "too"});
  ExpectRefusal(Run(channel + Arguments{Dir("new.npz"), "--contact-sheet", Dir("test/../new.npz")}),
                64, {"--contact-sheet", "--output", "too"});
  EXPECT_FALSE(Exists("new.npz"));
}

TEST_F(Roles, AlgorithmFileThatIsAPipeHoldsNobodyUp) {
  ASSERT_EQ(::mkfifo(Dir("pipe").c_str(), 0600), 0);
  ProgramSetting setting = Setting();
  setting.launcher = {"/usr/bin/timeout", "60"};
  const Outcome outcome =
      RunProgram(TrainOn("train", "model", {"--algorithm-file", Dir("pipe")}), setting);
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_TRUE(Exists("model/model.npz"));
}

}  // namespace
}  // namespace lockstep::tools
