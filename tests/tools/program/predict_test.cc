// `lockstep predict` on what `lockstep train` left.
#include <gmock/gmock.h>

#include <cmath>
#include <cstring>
#include <regex>

#include "data/csv.h"
#include "data/npy.h"
#include "data/npz.h"
#include "tests/tools/program/workplace.h"
#include "tools/log_report.h"
#include "tools/text.h"

namespace lockstep::tools {
namespace {

using testing::ElementsAreArray;
using testing::HasSubstr;
using testing::StartsWith;

Tensor ReadNpyFile(const std::string& path) {
  return ParseNpy(InputFile::Open(path).ReadAll(), path);
}

double LastAccuracy(const std::string& log) {
  const auto entries = ParseLog(ReadFile(log), "log");
  return AsDouble(*entries.back().Find("validation/main/accuracy"));
}

void ExpectAccuracy(const std::string& output, double wanted) {
  std::smatch found;
  ASSERT_TRUE(std::regex_search(output, found, std::regex("\\((\\d+) of (\\d+)\\)")));
  EXPECT_DOUBLE_EQ(std::stod(found[1]) / std::stod(found[2]), wanted) << output;
}

class Predict : public Workplace {
 protected:
  void SetUp() override {
    RunWell(Train());
    const std::vector<uint8_t> npy = WriteNpy(rows_);
    scratch_.Write("x.npy", {npy.begin(), npy.end()});
    scratch_.Write("x.csv", WriteCsv(rows_));
  }
  Outcome PredictRows(const std::string& input, const std::string& output,
                      const Arguments& more = {}) const {
    return Run(Arguments{"predict", "--model-dir", Dir("model"), "--threads", "1", "--input",
                         Dir(input), "--output", Dir(output)} +
               more);
  }

  const Tensor rows_ = Vectors(33, 2).at("data");
};

TEST_F(Predict, EveryFormatGivesTheSameNumbers) {
  for (const char* input : {"x.npy", "x.csv", "test/data.npz"}) {
    for (const char* output : {"y.npy", "y.npz", "y.csv"}) {
      const Outcome outcome = PredictRows(input, output);
      EXPECT_EQ(outcome.code, 0) << outcome.err;
      EXPECT_THAT(outcome.out, HasSubstr("(33, 10)"));
    }
    const Tensor npy = ReadNpyFile(Dir("y.npy"));
    const Tensor npz = NpzReader(Dir("y.npz")).Read("data");
    const Tensor csv = ParseCsv(ReadFile(Dir("y.csv")), "y.csv");
    ASSERT_EQ(npy.shape(), Shape({33, 10}));
    EXPECT_THAT(npz.values<float>(), ElementsAreArray(npy.values<float>()));
    EXPECT_THAT(csv.values<float>(), ElementsAreArray(npy.values<float>()));
  }
}

TEST_F(Predict, BatchSizeHardlyChangesTheNumbers) {
  ASSERT_EQ(PredictRows("x.npy", "a.npy").code, 0);
  ASSERT_EQ(PredictRows("x.npy", "b.npy", {"--batch-size", "5"}).code, 0);
  const Tensor a = ReadNpyFile(Dir("a.npy")), b = ReadNpyFile(Dir("b.npy"));
  EXPECT_THAT(b.values<float>(), testing::Pointwise(testing::FloatNear(1e-5F), a.values<float>()));
}

TEST_F(Predict, ProbabilitiesSumToOne) {
  ASSERT_EQ(PredictRows("x.npy", "p.npy", {"--softmax"}).code, 0);
  const Tensor p = ReadNpyFile(Dir("p.npy"));
  for (size_t row = 0; row < 33; ++row) {
    double sum = 0.0;
    for (const float value : p.values<float>().subspan(row * 10, 10)) sum += value;
    EXPECT_NEAR(sum, 1.0, 1e-5);
  }
}

TEST_F(Predict, ArgmaxOfEachRowIsTheClass) {
  const Outcome outcome = Run({"predict", "--model-dir", Dir("model"), "--threads", "1",
                               "--channel", Dir("test"), "--output", Dir("y.npy")});
  const Tensor y = ReadNpyFile(Dir("y.npy")), labels = Vectors(33, 2).at("labels");
  int right = 0;
  for (size_t row = 0; row < 33; ++row) {
    const auto scores = y.values<float>().subspan(row * 10, 10);
    const auto best = std::max_element(scores.begin(), scores.end()) - scores.begin();
    right += best == labels.values<int32_t>()[row] ? 1 : 0;
  }
  EXPECT_GT(right, 5);  // of 7 classes
  EXPECT_THAT(outcome.out, HasSubstr("(" + std::to_string(right) + " of 33)"));
}

TEST_F(Predict, TheLikeliestClassOfEachRowHasItsName) {
  scratch_.Write("model/labels.txt",
                 "ant\nbee, wild\ncat\na \"dog\"\neel\nfox\ngnu\nhen\nibis\njay\n");
  const Outcome outcome = PredictRows("x.npy", "p.npy", {"--softmax", "--classes", Dir("c.csv")});
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_THAT(outcome.out, HasSubstr("c.csv"));
  const char* const names[] = {
      "ant", "\"bee, wild\"", "cat", "\"a \"\"dog\"\"\"", "eel", "fox", "gnu",
      "hen", "ibis",          "jay"};
  const Tensor p = ReadNpyFile(Dir("p.npy"));
  std::string wanted = "class,name,probability\n";
  for (size_t row = 0; row < 33; ++row) {
    const auto shares = p.values<float>().subspan(row * 10, 10);
    const auto best = std::max_element(shares.begin(), shares.end()) - shares.begin();
    wanted += std::to_string(best) + "," + names[best] + "," +
              FormatG(static_cast<double>(shares[static_cast<size_t>(best)])) + "\n";
  }
  EXPECT_EQ(ReadFile(Dir("c.csv")), wanted);
}

TEST_F(Predict, ClassesWithoutNamesAreNumbersAndNeedNoOtherOutput) {
  const Arguments predict{"predict", "--model-dir", Dir("model"), "--threads",
                          "1",       "--input",     Dir("x.npy"), "--classes"};
  RunWell(predict + Arguments{Dir("c.csv")});
  EXPECT_TRUE(std::regex_search(ReadFile(Dir("c.csv")),
                                std::regex("^class,name,probability\n([0-9]),\\1,0?[.1]")));
  ExpectRefusal(Run(predict + Arguments{Dir("no/such/c.csv")}), 73, {"no/such"});
  ExpectRefusal(Run(predict + Arguments{Dir("x.npy")}), 64, {"--classes", "--input"});
}

TEST_F(Predict, AccuracyOnAChannelIsThatOfTheLastValidation) {
  const Outcome outcome =
      RunWell({"predict", "--model-dir", Dir("model"), "--channel", Dir("test"), "--threads", "1"});
  ExpectAccuracy(outcome.out, LastAccuracy(Dir("out/log")));
}

TEST_F(Predict, WholeNumbersAreClassesWhateverTheirType) {
  Arrays arrays = Vectors(33, 2);
  const auto predict = [&](const std::string& channel) {
    return Run({"predict", "--model-dir", Dir("model"), "--channel", channel, "--threads", "1"});
  };
  arrays["labels"] = arrays["labels"].Cast(DType::kFloat64);
  ExpectAccuracy(predict(Channel("doubles", arrays)).out, LastAccuracy(Dir("out/log")));
  arrays["labels"].values<double>()[4] = 0.5;
  ExpectRefusal(predict(Channel("halves", arrays)), 65, {"row 4", "0.5"});
}

TEST_F(Predict, WhatIsNoNumberIsRefused) {
  Arrays arrays = Vectors(33, 2);
  for (const size_t row : {17U, 31U}) arrays["data"].values<float>()[row * 20 + 3] = NAN;
  const Outcome channel = Run({"predict", "--threads", "1", "--model-dir", Dir("model"),
                               "--channel", Channel("nan", arrays)});
  ExpectRefusal(channel, 65, {"data.npz row 17", "finite"});
  EXPECT_EQ(channel.out, "");
  for (const Tensor& rows : {arrays["data"], arrays["data"].Cast(DType::kFloat64)}) {
    const std::vector<uint8_t> npy = WriteNpy(rows);
    scratch_.Write("x.npy", {npy.begin(), npy.end()});
    ExpectRefusal(PredictRows("x.npy", "y.npy"), 65, {"x.npy row 17", "feature 3", "finite"});
  }
  EXPECT_FALSE(Exists("y.npy"));
}

// 8 TB of nothing, which no machine could read whole.
TEST_F(Predict, LargeFilesOfAnotherFormatAreNotReadWhole) {
  for (const std::string name : {"x.npy", "x.csv"}) {
    std::filesystem::resize_file(scratch_.Write(name, ""), uint64_t{1} << 43);
    ExpectRefusal(PredictRows(name, "y.npy"), 65, {name});
  }
}

TEST_F(Predict, ModelDirComesFromTheVariable) {
  RunWell({"predict", "--channel", Dir("test"), "--threads", "1"},
          {{"SM_MODEL_DIR", Dir("model")}});
}

TEST_F(Predict, OutlivesTheReaderOfItsOutput) {
  RunWell(Train());
  ProgramSetting setting = Setting();
  setting.closed_stdout = true;
  const Outcome outcome = RunProgram({"predict", "--model-dir", Dir("model"), "--channel",
                                      Dir("test"), "--output", Dir("logits.npy")},
                                     setting);
  EXPECT_EQ(outcome.code, 0) << outcome.signal << outcome.err;
  EXPECT_TRUE(Exists("logits.npy"));
}

TEST_F(Predict, FileSizeLimitIsAnErrorThatLeavesNothing) {
  RunWell(Train());
  ProgramSetting setting = Setting();
  setting.file_bytes = 1024;
  scratch_.MakeDirectory("results");
  ExpectRefusal(RunProgram({"predict", "--model-dir", Dir("model"), "--channel", Dir("test"),
                            "--output", Dir("results/logits.npy")},
                           setting),
                74, {"logits.npy"});
  EXPECT_TRUE(std::filesystem::is_empty(Dir("results")));
}

TEST_F(Predict, DoesNotTrain) {
  const std::string before = ReadFile(Dir("model/model.npz"));
  ASSERT_EQ(PredictRows("x.npy", "y.npy").code, 0);
  EXPECT_EQ(ReadFile(Dir("model/model.npz")), before);
}

TEST_F(Predict, RefusesWhatItCannotUse) {
  scratch_.Write("narrow.csv", "1,2,3\n");
  ExpectRefusal(PredictRows("narrow.csv", "y.npy"), 65, {"(1, 3)", "(n, 20)"});
  scratch_.Write("words.csv", "1,2\n3,four\n");
  ExpectRefusal(PredictRows("words.csv", "y.npy"), 65, {"words.csv line 2: column 2", "'four'"});
  ExpectRefusal(PredictRows("absent.npy", "y.npy"), 66, {"absent.npy"});
  ExpectRefusal(PredictRows("x.npy", "y.txt"), 64, {"--output", "y.txt", ".npy, .npz or .csv"});
  ExpectRefusal(PredictRows("x.txt", "y.npy"), 64, {"--input", "x.txt", ".npy, .npz or .csv"});
  EXPECT_FALSE(Exists("y.npy"));
  ExpectRefusal(Run({"predict", "--model-dir", Dir("absent"), "--input", Dir("x.npy"), "--output",
                     Dir("y.npy")}),
                66, {"there is no " + Dir("absent/model.npz")});
  ExpectRefusal(Run({"predict", "--input", Dir("x.npy"), "--output", Dir("y.npy")}), 64,
                {"SM_MODEL_DIR"});
  ExpectRefusal(Run({"predict", "--model-dir", Dir("model"), "--colour", "blue"}), 64,
                {"--colour"});
  ExpectRefusal(Run({"predict", "--model-dir", Dir("model")}), 64, {"--input", "--channel"});
}

TEST_F(Predict, UnwritableOutputIsSaidBeforeTheWork) {
  const auto on_channel = [&](const Arguments& more) {
    return Run(Arguments{"predict", "--model-dir", Dir("model"), "--channel", Dir("test")} + more);
  };
  const auto expect = [](const Outcome& outcome, int code, const std::string& part) {
    ExpectRefusal(outcome, code, {part});
    EXPECT_EQ(outcome.out, "");  // not even the accuracy
  };
  expect(PredictRows("x.npy", "no/such/y.npy"), 73, "no/such");
  expect(on_channel({"--output", Dir("no/such/y.npy")}), 73, "no/such");
  expect(on_channel({"--output", Dir("y.txt")}), 64, "y.txt");
  expect(on_channel({"--contact-sheet", Dir("no/such/sheet.png")}), 73, "no/such");
  expect(on_channel({"--contact-sheet", Dir("sheet.jpg")}), 64, "ends in .png");
  expect(on_channel({"--contact-sheet", Dir("sheet.png")}), 65, "(33, 20)");
  EXPECT_FALSE(Exists("sheet.png"));
  EXPECT_EQ(on_channel({"--output", Dir("y.npy")}).code, 0);
}

TEST_F(Predict, OfAChannelWithBothSplitsTheTestData) {
  const auto both = [&](const Arguments& more) {
    return Run(Arguments{"predict", "--model-dir", Dir("model"), "--channel", Dir("both")} + more);
  };
  scratch_.Write("both/train.npz", ReadFile(Dir("train/data.npz")));
  scratch_.Write("both/test.npz", ReadFile(Dir("test/data.npz")));
  EXPECT_THAT(both({}).out, HasSubstr(" of 33)"));
  EXPECT_THAT(both({"--split", "train"}).out, HasSubstr(" of 70)"));
  EXPECT_THAT(both({"--training-data-file", "train.npz"}).out, HasSubstr(" of 70)"));
  ExpectRefusal(both({"--split", "best"}), 64, {"best", "train", "test"});
  ExpectRefusal(PredictRows("x.npy", "y.npy", {"--training-data-file", "train.npz"}), 64,
                {"--channel"});
}

class PredictPictures : public PictureWorkplace {
 protected:
  // Trains on the middle of normalised pictures.
  void TrainOnCuts() const {
    RunWell(With(Train({"--mean", "0.2,0.3,0.4", "--stddev", "0.25"}), "--crop", "5"));
  }
  Outcome Predict(const std::string& name, const Tensor& rows) const {
    const std::vector<uint8_t> npy = WriteNpy(rows);
    scratch_.Write(name + ".npy", {npy.begin(), npy.end()});
    return Run({"predict", "--model-dir", Dir("model"), "--threads", "1", "--input",
                Dir(name + ".npy"), "--output", Dir(name + "_out.npy")});
  }
};

TEST_F(PredictPictures, BytesAreScaledAsInTraining) {
  RunWell(Train());
  const Outcome outcome =
      RunWell({"predict", "--model-dir", Dir("model"), "--channel", Dir("test"), "--threads", "1",
               "--contact-sheet", Dir("sheet.png"), "--samples", "12"});
  ExpectAccuracy(outcome.out, LastAccuracy(Dir("out/log")));
  EXPECT_THAT(ReadFile(Dir("sheet.png")), StartsWith("\x89PNG"));
}

TEST_F(PredictPictures, OfDoublesAreDrawnAsThoseOfFloats) {
  RunWell(Train());
  Arrays arrays = Pictures(33, 2);
  const auto sheet = [&](DType dtype) {
    arrays["data"] = arrays["data"].Cast(dtype);
    for (size_t i = 0; i < 3; ++i) {  // below, inside and above what is drawn
      const double value = 0.75 * static_cast<double>(i) - 0.5;
      if (dtype == DType::kFloat32) arrays["data"].values<float>()[i] = static_cast<float>(value);
      if (dtype == DType::kFloat64) arrays["data"].values<double>()[i] = value;
    }
    RunWell({"predict", "--model-dir", Dir("model"), "--channel", Channel("numbers", arrays),
             "--threads", "1", "--contact-sheet", Dir("sheet.png"), "--output", Dir("y.npy")});
    EXPECT_EQ(ReadNpyFile(Dir("y.npy")).shape(), Shape({33, 10}));
    return ReadFile(Dir("sheet.png"));
  };
  const std::string floats = sheet(DType::kFloat32);
  EXPECT_EQ(sheet(DType::kFloat64), floats);
}

TEST_F(PredictPictures, AreNamedAsAFileSays) {
  RunWell(Train());
  const Arguments predict{"predict",   "--model-dir",     Dir("model"),
                          "--channel", Dir("test"),       "--threads",
                          "1",         "--contact-sheet", Dir("sheet.png")};
  const auto sheet = [&](const Arguments& more = {}) {
    RunWell(predict + more);
    return ReadFile(Dir("sheet.png"));
  };
  const std::string numbers = sheet();
  const std::string digits = "0\n1\n2\n3\n4\n5\n6\n7\n8\n9\n";
  scratch_.Write("digits.txt", digits);
  scratch_.Write("names.txt", "ant\r\nbee\ncat\ndog\n eel \nfox\ngnu\nhen\nibis\njay");
  EXPECT_EQ(sheet({"--class-names", Dir("digits.txt")}), numbers);
  const std::string names = sheet({"--class-names", Dir("names.txt")});
  EXPECT_NE(names, numbers);
  std::filesystem::rename(Dir("names.txt"), Dir("model/labels.txt"));
  EXPECT_EQ(sheet(), names);
  EXPECT_EQ(sheet({"--class-names", Dir("digits.txt")}), numbers);

  const auto expect = [&](const std::string& text, const std::vector<std::string>& parts) {
    scratch_.Write("bad.txt", text);
    ExpectRefusal(Run(predict + Arguments{"--class-names", Dir("bad.txt")}), 65, parts);
  };
  expect("", {"bad.txt has 0 lines", "10 classes"});
  expect(digits.substr(2), {"bad.txt has 9 lines", "10 classes"});
  expect(digits + "10\n" + digits, {"bad.txt has more than 10 lines"});
  expect(digits + "\n", {"bad.txt line 11 is empty"});
  expect("\n" + digits, {"bad.txt line 1 is empty"});
  expect("0\n1\n0\n", {"bad.txt line 3 is '0', as is line 1"});
  expect("0\n\x1b[31m\n", {"bad.txt line 2 is '\\x1b[31m'", "UTF-8"});
  expect("\xff\n", {"bad.txt line 1", "UTF-8"});
  expect(std::string(101, 'a'), {"bad.txt line 1 has 101 bytes", "100"});
  ExpectRefusal(Run(predict + Arguments{"--class-names", Dir("absent.txt")}), 66, {"absent.txt"});
  ExpectRefusal(Run({"predict", "--model-dir", Dir("model"), "--channel", Dir("test"),
                     "--class-names", Dir("digits.txt")}),
                64, {"--contact-sheet"});
}

TEST_F(PredictPictures, LabelsDoNotCountWhereTheyAreIgnored) {
  RunWell(Train());
  Arrays arrays = Pictures(33, 2);
  const auto predict = [&](const std::string& name) {
    return Run({"predict", "--model-dir", Dir("model"), "--channel", Channel(name, arrays),
                "--threads", "1", "--contact-sheet", Dir("sheet.png")});
  };
  for (size_t i = 0; i < 30; ++i) arrays["labels"].values<int32_t>()[i] = -1;
  EXPECT_THAT(predict("three").out, HasSubstr(" of 3)"));
  for (size_t i = 30; i < 33; ++i) arrays["labels"].values<int32_t>()[i] = -1;
  EXPECT_THAT(predict("none").out, HasSubstr("no accuracy: every label is -1\n"));
  arrays["labels"].values<int32_t>()[5] = 10;
  ExpectRefusal(predict("high"), 65, {"row 5", "10"});
}

TEST_F(PredictPictures, AreNormalisedAndCutAsInEvaluation) {
  TrainOnCuts();
  const Outcome outcome =
      RunWell({"predict", "--model-dir", Dir("model"), "--channel", Dir("test"), "--threads", "1"});
  ExpectAccuracy(outcome.out, LastAccuracy(Dir("out/log")));
}

TEST_F(PredictPictures, TheCutMiddleGivesTheSameNumbers) {
  TrainOnCuts();
  const Tensor whole = Pictures(33, 2).at("data");
  Tensor middle(DType::kUint8, Shape({33, 3, 5, 5}));
  for (size_t i = 0; i < middle.values<uint8_t>().size(); ++i) {
    const size_t plane = i / 25, row = i / 5 % 5, column = i % 5;
    middle.values<uint8_t>()[i] = whole.values<uint8_t>()[plane * 64 + (row + 1) * 8 + column + 1];
  }
  ASSERT_EQ(Predict("whole", whole).code, 0);
  ASSERT_EQ(Predict("middle", middle).code, 0);
  ASSERT_EQ(Predict("flat", middle.Reshape(Shape({33, 75}))).code, 0);
  const Tensor y = ReadNpyFile(Dir("whole_out.npy"));
  for (const char* other : {"middle_out.npy", "flat_out.npy"}) {
    EXPECT_THAT(ReadNpyFile(Dir(other)).values<float>(), ElementsAreArray(y.values<float>()));
  }
}

// What the notebook's client does itself before it sends pictures: planes, float32, 1/255.
TEST_F(PredictPictures, WithChannelsLastAreTransposedAndScaled) {
  RunWell(Train());
  const Tensor bytes = Pictures(10, 3).at("data");
  Tensor last(DType::kUint8, Shape({10, 8, 8, 3})), scaled(DType::kFloat32, bytes.shape());
  for (size_t i = 0; i < bytes.values<uint8_t>().size(); ++i) {
    const uint8_t value = bytes.values<uint8_t>()[i];
    last.values<uint8_t>()[(i / 192 * 64 + i % 64) * 3 + i / 64 % 3] = value;
    scaled.values<float>()[i] = static_cast<float>(value * (1.0 / 255));
  }
  ASSERT_EQ(Predict("scaled", scaled).code, 0);
  ASSERT_EQ(Predict("last", last).code, 0);
  const Tensor y = ReadNpyFile(Dir("scaled_out.npy"));
  EXPECT_EQ(y.shape(), Shape({10, 10}));
  EXPECT_THAT(ReadNpyFile(Dir("last_out.npy")).values<float>(),
              ElementsAreArray(y.values<float>()));
}

TEST_F(PredictPictures, OfOtherAxesAreRefused) {
  RunWell(Train());
  ExpectRefusal(Predict("a", Tensor(DType::kUint8, Shape({2, 8, 3, 8}))), 65, {"(2, 8, 3, 8)"});
  ExpectRefusal(Predict("b", Tensor(DType::kUint8, Shape({2, 12, 4, 4}))), 65, {"(n, 3, 8, 8)"});
  EXPECT_EQ(Predict("c", Tensor(DType::kUint8, Shape({2, 192}))).code, 0);
}

TEST_F(PredictPictures, OfWhichNoSampleCanBeCutAreRefused) {
  TrainOnCuts();
  const Outcome small = Predict("small", Tensor(DType::kUint8, Shape({2, 3, 2, 8})));
  ExpectRefusal(small, 65, {"(2, 3, 2, 8)", "(n, 3, 5, 5)", "(n, 3, h, w)", "1 pixel of padding"});
  ExpectRefusal(Predict("grey", Tensor(DType::kUint8, Shape({2, 1, 8, 8}))), 65, {"(2, 1, 8, 8)"});
}

}  // namespace
}  // namespace lockstep::tools
