#include "tests/tools/program/workplace.h"

#include <gmock/gmock.h>

#include <cstdio>
#include <cstdlib>
#include <random>
#include <regex>
#include <system_error>

#include "data/npz.h"

namespace lockstep::tools {
namespace {

constexpr int32_t kClasses = 7;

std::vector<int32_t> Classes(int64_t rows, std::mt19937* random) {
  std::vector<int32_t> labels;
  for (int64_t i = 0; i < rows; ++i) labels.push_back(static_cast<int32_t>((*random)() % kClasses));
  return labels;
}

}  // namespace

Arguments With(Arguments arguments, const std::string& option, const std::string& value) {
  const auto found = std::find(arguments.begin(), arguments.end(), option);
  if (found != arguments.end()) *(found + 1) = value;
  return arguments;
}

Arguments operator+(Arguments first, const Arguments& second) {
  first.insert(first.end(), second.begin(), second.end());
  return first;
}

Tensor Int32s(const std::vector<int32_t>& values) {
  return Tensor::FromValues<int32_t>(Shape({static_cast<int64_t>(values.size())}), values);
}

Arrays Vectors(int64_t rows, uint32_t seed) {
  std::mt19937 random(seed);
  const std::vector<int32_t> labels = Classes(rows, &random);
  Tensor data(DType::kFloat32, Shape({rows, 20}));
  for (float& value : data.values<float>()) {
    value = static_cast<float>(random() % 2001) / 1000.0F - 1.0F;
  }
  for (size_t i = 0; i < labels.size(); ++i) {
    data.values<float>()[i * 20 + static_cast<size_t>(labels[i])] += 2.0F;
  }
  return {{"data", data}, {"labels", Int32s(labels)}};
}

Arrays Pictures(int64_t rows, uint32_t seed) {
  std::mt19937 random(seed);
  const std::vector<int32_t> labels = Classes(rows, &random);
  Tensor data(DType::kUint8, Shape({rows, 3, 8, 8}));
  size_t at = 0;
  for (uint8_t& value : data.values<uint8_t>()) {
    const auto label = static_cast<uint32_t>(labels[at++ / 192]);
    value = static_cast<uint8_t>(random() % 100 + 20 * label);
  }
  return {{"data", data}, {"labels", Int32s(labels)}};
}

Workplace::Workplace(Kind kind) : kind_(kind) {
  Channel("train", kind == Kind::kVectors ? Vectors(70) : Pictures(70));
  Channel("test", kind == Kind::kVectors ? Vectors(33, 2) : Pictures(33, 2));
}

std::string Workplace::Channel(const std::string& name, const Arrays& arrays) const {
  NpzWriter writer;
  for (const auto& [key, tensor] : arrays) writer.Add(key, tensor);
  const std::vector<uint8_t> bytes = writer.ToBytes();
  scratch_.Write(name + "/data.npz", {bytes.begin(), bytes.end()});
  return Dir(name);
}

bool Workplace::Exists(const std::string& name) const { return std::filesystem::exists(Dir(name)); }

int64_t Workplace::NewestCheckpoint(const std::string& job) const {
  int64_t newest = 0;
  std::error_code error;
  std::filesystem::directory_iterator files(Dir(job), error);
  for (; !error && files != std::filesystem::directory_iterator(); files.increment(error)) {
    long long iteration = 0;
    int end = 0;
    const std::string name = files->path().filename();
    if (std::sscanf(name.c_str(), "checkpoint_%lld.lsc%n", &iteration, &end) == 1 &&
        static_cast<size_t>(end) == name.size()) {
      newest = std::max<int64_t>(newest, iteration);
    }
  }
  return newest;
}

Arguments Workplace::TrainWithoutChannels(const Arguments& more) const {
  const Arguments network =
      kind_ == Kind::kVectors
          ? Arguments{"--model", "mlp", "--hidden", "9,8"}
          : Arguments{"--model", "vgg", "--width", "0.0625", "--pad",         "1",
                      "--crop",  "8",   "--flip",  "True",   "--random-crop", "True"};
  return Arguments{"train", "--threads", "1", "--batch-size", "16", "--epochs", "2"} + network +
         more;
}

Arguments Workplace::Train(const Arguments& more, const std::string& job) const {
  Arguments arguments =
      TrainWithoutChannels({"--train", Dir("train"), "--test", Dir("test"), "--model-dir",
                            Dir(job + "model"), "--output-data-dir", Dir(job + "out")});
  if (!job.empty()) arguments = arguments + Arguments{"--checkpoint-dir", Dir(job)};
  return arguments + more;
}

ProgramSetting Workplace::Setting(const std::map<std::string, std::string>& more) const {
  std::map<std::string, std::string> variables = more;
  variables.insert(
      {{"PATH", "/usr/bin:/bin"}, {"HOME", Dir("home")}, {"LOCKSTEP_CACHE_DIR", Dir("cache")}});
  for (const char* name : {"ASAN_OPTIONS", "UBSAN_OPTIONS", "TSAN_OPTIONS", "LSAN_OPTIONS"}) {
    if (const char* const value = std::getenv(name)) variables.emplace(name, value);
  }
  return {.variables = variables, .directory = scratch_.path()};
}

Outcome Workplace::Run(const Arguments& arguments,
                       const std::map<std::string, std::string>& variables) const {
  return RunProgram(arguments, Setting(variables));
}

Outcome Workplace::RunWell(const Arguments& arguments,
                           const std::map<std::string, std::string>& variables) const {
  Outcome outcome = Run(arguments, variables);
  EXPECT_EQ(outcome.code, 0) << "signal " << outcome.signal << "\n" << outcome.out << outcome.err;
  EXPECT_EQ(outcome.err, "");
  return outcome;
}

bool Workplace::CanMount() {
  return std::system("unshare -m mount -t tmpfs none /mnt 2>/dev/null") == 0;
}

void Workplace::RememberPlainLoops(const std::string& file) const {
  const std::string remembered = ReadFile(Dir(file));
  const std::string loops =
      std::regex_replace(remembered, std::regex("\t[^\t\n]+\t"), "\treference\t");
  ASSERT_NE(loops, remembered);
  scratch_.Write(file, loops);
}

void ExpectRefusal(const Outcome& outcome, int code, const std::vector<std::string>& parts) {
  EXPECT_EQ(outcome.signal, 0);
  EXPECT_EQ(outcome.code, code) << outcome.out;
  EXPECT_TRUE(outcome.err.starts_with("lockstep: ")) << outcome.err;
  EXPECT_EQ(std::count(outcome.err.begin(), outcome.err.end(), '\n'), 1) << outcome.err;
  EXPECT_LE(outcome.err.size(), 1100U);
  EXPECT_FALSE(outcome.err.starts_with("lockstep: lockstep")) << outcome.err;
  for (const std::string& part : parts) EXPECT_THAT(outcome.err, testing::HasSubstr(part));
}

}  // namespace lockstep::tools
