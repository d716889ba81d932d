// Labels as files hold them, and as the network wants them.
#include "tests/tools/program/workplace.h"

namespace lockstep::tools {
namespace {

class Labels : public Workplace {
 protected:
  // The channel of 40 rows with these labels.
  std::string ChannelWith(const std::string& name, const Tensor& labels) const {
    return Channel(name, {{"data", Vectors(40).at("data")}, {"labels", labels}});
  }
  Arguments Classifier(const std::string& channel) const {
    return With(Train(), "--train", channel);
  }
  Arguments Regression(const std::string& channel, const Arguments& more) const {
    const Arguments job{"train", "--model",      "dnn", "--train",     channel,     "--test",
                        channel, "--batch-size", "16",  "--epochs",    "2",         "--lr",
                        "0.001", "--threads",    "1",   "--model-dir", Dir("model")};
    return job + more;
  }
  const Tensor classes_ = Vectors(40).at("labels");
};

TEST_F(Labels, WholeNumbersOfAnyTypeAreClasses) {
  const std::string hash = RunWell(Classifier(ChannelWith("int32", classes_))).WeightsHash();
  for (const DType dtype : {DType::kInt64, DType::kUint8, DType::kFloat32, DType::kFloat64}) {
    const std::string channel = ChannelWith("other", classes_.Cast(dtype).Reshape({40, 1}));
    EXPECT_EQ(RunWell(Classifier(channel)).WeightsHash(), hash) << Name(dtype);
  }
}

TEST_F(Labels, OtherNumbersAreNoClasses) {
  Tensor labels = classes_.Cast(DType::kFloat32);
  labels.values<float>()[7] = 2.5F;
  ExpectRefusal(Run(Classifier(ChannelWith("half", labels))), 65, {"row 7", "2.5", "not a class"});
}

TEST_F(Labels, NumbersOfAnyTypeAreTargets) {
  const Arguments one{"--classes", "1"};
  const std::string floats = ChannelWith("float32", classes_.Cast(DType::kFloat32));
  const std::string hash = RunWell(Regression(floats, one)).WeightsHash();
  EXPECT_EQ(RunWell(Regression(ChannelWith("int32", classes_), one)).WeightsHash(), hash);
  const std::string doubles = ChannelWith("float64", classes_.Cast(DType::kFloat64));
  EXPECT_EQ(RunWell(Regression(doubles, one)).WeightsHash(), hash);
}

TEST_F(Labels, AreTargetsOfDoublePrecisionToo) {
  const std::string channel = ChannelWith("targets", classes_.Cast(DType::kFloat32));
  const auto last_row = [&](const char* dtype) {
    const std::string out = RunWell(Regression(channel, {"--classes", "1", "--dtype", dtype})).out;
    const size_t model = out.find("\nmodel saved");
    const size_t row = out.rfind("\x1b[J", model);
    return out.substr(row, 40);  // epoch and the losses, not the times
  };
  EXPECT_EQ(last_row("float64"), last_row("float32"));
}

TEST_F(Labels, AsManyTargetsAsTheNetworkPredicts) {
  const Tensor numbers = classes_.Cast(DType::kFloat32);
  ExpectRefusal(Run(Regression(ChannelWith("one", numbers), {})), 65,
                {Dir("one"), "(1,)", "--classes 10", "give --classes 1"});
  Arrays rows = Vectors(10);
  rows["labels"] = numbers.Reshape({10, 4});
  ExpectRefusal(
      Run(With(Regression(Dir("one"), {"--classes", "1"}), "--test", Channel("four", rows))), 65,
      {Dir("four"), "(4,)", "give --classes 4"});
  EXPECT_FALSE(Exists("model/model.npz"));
}

}  // namespace
}  // namespace lockstep::tools
