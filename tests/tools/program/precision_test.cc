// `lockstep train --dtype bfloat16` and float16.
#include <gmock/gmock.h>

#include <cmath>

#include "data/npz.h"
#include "models/model_card.h"
#include "tests/tools/program/workplace.h"
#include "tools/log_report.h"

namespace lockstep::tools {
namespace {

using testing::HasSubstr;

class Precision : public Workplace, public testing::WithParamInterface<const char*> {
 protected:
  double LastLoss() const {
    return AsDouble(*ParseLog(ReadFile(Dir("out/log")), "log").back().Find("main/loss"));
  }
};

TEST_P(Precision, TrainsAsFloat32DoesAndResumesBitIdentically) {
  const Arguments six{"--epochs", "6", "--batch-size", "8"};
  RunWell(Train(six));
  const double wanted = LastLoss();
  const Arguments half = six + Arguments{"--dtype", GetParam()};
  const std::string hash = RunWell(Train(half)).WeightsHash();
  EXPECT_LT(LastLoss(), 1.9);  // ln 7 is 1.95
  // The same to the standard error of a mean over 70 samples.
  EXPECT_NEAR(LastLoss(), wanted, wanted / std::sqrt(70.0));
  RunWell(Train(half + Arguments{"--iterations", "13"}, "job"));
  EXPECT_EQ(RunWell(Train(half, "job")).WeightsHash(), hash);
}

// Files are float32, and serve as those of any model.
TEST_P(Precision, ModelsAreFloat32AndServed) {
  RunWell(Train({"--dtype", GetParam()}));
  EXPECT_EQ(NpzReader(Dir("model/model.npz")).Read("predictor/l1/W").dtype(), DType::kFloat32);
  const ModelCard card = ParseModelCard(ReadFile(Dir("model/model.json")), "card");
  EXPECT_EQ(card.dtype, "float32");
  EXPECT_EQ(card.compute_dtype, GetParam());
  EXPECT_THAT(RunWell({"inspect", Dir("model")}).out, HasSubstr(GetParam()));
  const Outcome outcome =
      RunWell({"predict", "--model-dir", Dir("model"), "--channel", Dir("test"), "--threads", "1"});
  EXPECT_THAT(outcome.out, HasSubstr("accuracy "));
}

TEST_P(Precision, AJobGoesOnInItsTypeAlone) {
  const Arguments two{"--epochs", "2"};
  RunWell(Train(two + Arguments{"--iterations", "1"}, "job"));
  ExpectRefusal(Run(Train(two + Arguments{"--dtype", GetParam()}, "job")), 76,
                {"--dtype", GetParam(), "float32"});
}

INSTANTIATE_TEST_SUITE_P(OfHalves, Precision, testing::Values("bfloat16", "float16"),
                         [](const auto& name) { return std::string(name.param); });

class PrecisionOptions : public Workplace {};

TEST_F(PrecisionOptions, ReproducibleInBfloat16IsTheSameOnAnyNumberOfThreads) {
  const Arguments job{"--dtype", "bfloat16", "--reproducible", "True", "--lanes", "4"};
  const std::string hash = RunWell(Train(job)).WeightsHash();
  EXPECT_EQ(RunWell(With(Train(job), "--threads", "3")).WeightsHash(), hash);
}

TEST_F(PrecisionOptions, WhatDoesNotGoTogetherIsRefused) {
  ExpectRefusal(Run(Train({"--dtype", "half"})), 64, {"--dtype", "half", "bfloat16"});
  ExpectRefusal(Run(Train({"--dtype", "float16", "--reproducible", "True"})), 64,
                {"--dtype float16", "reproducible", "bfloat16"});
  ExpectRefusal(Run(Train({"--dtype", "float16", "--double-buffering", "True"})), 64,
                {"--double-buffering", "loss scale"});
  for (const char* const wire : {"float16", "bfloat16"}) {
    ExpectRefusal(Run(Train({"--dtype", "float16", "--wire", wire, "--error-feedback", "True"})),
                  64, {"--error-feedback", "loss scale"});
  }
  ExpectRefusal(Run(Train({"--dtype", "bfloat16", "--allow-tf32", "True"})), 64,
                {"--allow-tf32", "bfloat16"});
  ExpectRefusal(Run({"bench", "train", "--model", "mlp", "--dtype", "float16", "--lanes", "4"}), 64,
                {"--dtype float16", "reproducible"});
}

TEST_F(PrecisionOptions, AJobGoesOnWithTheSameRounding) {
  RunWell(Train({"--epochs", "2", "--iterations", "1", "--allow-tf32", "True"}, "job"));
  ExpectRefusal(Run(Train({"--epochs", "2"}, "job")), 76, {"--allow-tf32"});
}

TEST_F(PrecisionOptions, TheLossScaleIsToldAtTheEnd) {
  EXPECT_THAT(RunWell(Train({"--dtype", "float16"})).out, HasSubstr("loss scale 65536, 0 steps"));
}

TEST_F(PrecisionOptions, ABenchNamesItsType) {
  const Arguments bench{"bench",     "train",     "--model", "mlp",          "--steps",
                        "2",         "--warm-up", "1",       "--batch-size", "8",
                        "--threads", "1",         "--dtype", "bfloat16"};
  EXPECT_THAT(RunWell(bench).out, HasSubstr("batch 8, bfloat16,"));
  EXPECT_THAT(RunWell(bench + Arguments{"--json"}).out, HasSubstr("\"dtype\": \"bfloat16\""));
  RunWell(With(bench, "--dtype", "float16") + Arguments{"--wire", "float16"});
}

}  // namespace
}  // namespace lockstep::tools
