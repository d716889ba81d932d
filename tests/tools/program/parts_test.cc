// Jobs of several processes whose hosts have other data each, under the real mpirun.
#include <gmock/gmock.h>

#include <cstring>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "engine/train/ledger.h"
#include "tests/tools/program/job_of_ranks.h"

namespace lockstep::tools {
namespace {

using testing::HasSubstr;

// Rank 1 has other files than the others, which share theirs.
class Parts : public Ranks {
 protected:
  // The rows [begin, end) of the 70 pictures, in a channel of their own.
  std::string Part(const std::string& name, int64_t begin, int64_t end) const {
    Arrays arrays = Pictures(70);
    for (auto& [key, tensor] : arrays) {
      const size_t row = static_cast<size_t>(tensor.shape().row_size()) * SizeOf(tensor.dtype());
      Tensor part(tensor.dtype(), tensor.shape().WithDim(0, end - begin));
      std::memcpy(part.data(), static_cast<char*>(tensor.data()) + row * static_cast<size_t>(begin),
                  part.bytes());
      tensor = part;
    }
    return Channel(name, arrays);
  }
  Arguments Sharded(const Arguments& more = {}, const std::string& job = "") const {
    return Train(Arguments{"--data", "sharded"} + more, job);
  }
  // Rank 1 has the first rows, the others the rest.
  Outcome RunParts(int ranks, int64_t first, const Arguments& arguments,
                   const std::string& more = "") const {
    const std::string one = Part("one", 0, first);
    return RunProgram(With(arguments, "--train", Part("rest", first, 70)),
                      Wrapped(ranks, "--train " + one + " " + more));
  }
};

// That every sample was used once an epoch is in the log: the hash of all ids, whoever had them.
TEST_F(Parts, OfAnySizeTrainTogether) {
  const std::vector<std::string> all(2, Ledger::OfAll(70).ToString());
  const std::vector<std::pair<int, std::string>> splits = {
      {20, "50+20"}, {1, "69+1"}, {35, "35+35"}};
  for (const auto& [first, text] : splits) {
    const Outcome outcome = RunParts(2, first, Sharded());
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    EXPECT_THAT(outcome.out, HasSubstr("# data: 70 training samples, 33 for validation\n"));
    EXPECT_THAT(outcome.out, HasSubstr("# parts: sharded " + text + ", by process\n"));
    EXPECT_EQ(InLog(ReadFile(Dir("out/log")), "ledger"), all);
  }
  const Outcome four = RunParts(4, 10, Sharded({"--sync-batch-norm", "True"}));
  EXPECT_EQ(four.code, 0) << four.err;
  EXPECT_THAT(four.out, HasSubstr("# parts: sharded 20+10+20+20, by process\n"));
  EXPECT_EQ(InLog(ReadFile(Dir("out/log")), "ledger"), all);
}

// At a learning rate of nothing all see the same network.
TEST_F(Parts, AreEvaluatedExactly) {
  const auto still = [&](const std::string& data, const std::string& test) {
    return Arguments{
        "train",   "--train",  Dir("train"), "--test",      test,         "--model",
        "mlp",     "--hidden", "9,8",        "--classes",   "7",          "--batch-size",
        "16",      "--lr",     "1e-30",      "--epochs",    "1",          "--threads",
        "1",       "--data",   data,         "--model-dir", Dir("model"), "--output-data-dir",
        Dir("out")};
  };
  const auto validation = [&](const Outcome& outcome) {
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    const std::string key = "\"validation/main/loss\": ";
    const std::string found = Between(ReadFile(Dir("out/log")), key, ",");
    return found.empty() ? 0.0 : std::stod(found.substr(key.size()));
  };
  const double same = validation(RunProgram(still("replicated", Dir("test")), Setting()));
  EXPECT_NEAR(validation(RunParts(2, 20, still("sharded", Dir("test")))), same, 1e-6 * same);
  const std::string some = Part("some", 0, 40), others = Part("others", 40, 70);
  const double all = validation(RunProgram(still("replicated", Part("all", 0, 70)), Setting()));
  EXPECT_NEAR(validation(RunParts(3, 20, still("sharded", some), "--test " + others)), all,
              1e-6 * all);
}

TEST_F(Parts, GoOnWithTheSamePartsOnly) {
  const Arguments two = {"--epochs", "2"};
  const std::string unbroken = RunParts(2, 20, Sharded(two, "unbroken")).WeightsHash();
  EXPECT_EQ(RunParts(2, 20, Sharded({"--iterations", "7"}, "job")).code, 0);
  ExpectJobFails(RunParts(2, 30, Sharded(two, "job")), 76,
                 "--data sharded 50+20 (this job: sharded 40+30)");
  ExpectJobFails(RunOn(2, Train(two, "job")), 76, "--data sharded 50+20 (this job: replicated)");
  const Outcome resumed = RunParts(2, 20, Sharded(two, "job"));
  EXPECT_THAT(resumed.out, HasSubstr("# resumed from"));
  EXPECT_EQ(resumed.WeightsHash(), unbroken);
}

TEST_F(Parts, ThatDoNotFitAreRefused) {
  ExpectRefusal(Run(Sharded({"--reproducible", "True"})), 64, {"--data sharded", "--reproducible"});
  ExpectRefusal(Run(Sharded({"--snapshot-every", "1"})), 64, {"--snapshot-every"});
  ExpectJobFails(RunParts(2, 20, Train()), 76, "the training data is ");
  // An empty part: the files of a host that got none.
  std::filesystem::create_directories(Dir("empty"));
  ExpectJobFails(RunProgram(Sharded(), Wrapped(2, "--train " + Dir("empty"))), 66, "rank 1: ");
  const std::string one = Part("one", 0, 1);
  ExpectJobFails(RunProgram(With(Sharded(), "--train", one), Wrapped(3, "--train " + Dir("train"))),
                 65, "2 processes, rank 0 among them, share a part of the data of 1 row");
}

}  // namespace
}  // namespace lockstep::tools
