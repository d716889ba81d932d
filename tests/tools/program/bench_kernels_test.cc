// `lockstep bench kernels`: what it prints is what was measured, of every family.
#include <gmock/gmock.h>

#include <cmath>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <string>

#include "tests/tools/program/workplace.h"

namespace lockstep::tools {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using Json = nlohmann::json;

const std::set<std::string> kFamilies = {"conv",   "elementwise", "gemm",    "memory",
                                         "norm",   "optimizer",   "picture", "pool",
                                         "random", "reduce",      "softmax"};

class BenchKernels : public Workplace {
 protected:
  static Arguments Small(const Arguments& more = {}) {
    return Arguments{"bench", "kernels",     "--threads", "1",         "--batch-size",
                     "2",     "--megabytes", "0.3",       "--seconds", "1e-6"} +
           more;
  }
  Json Measured(const Arguments& more = {}) const {
    return Json::parse(RunWell(Small({"--json"}) + more).out);
  }
};

TEST_F(BenchKernels, MeasuresEveryFamilyAndItsRatesFollowFromItsTimes) {
  const Json json = Measured();
  EXPECT_EQ(json["engine"], "lockstep");
  EXPECT_EQ(json["threads"], 1);
  EXPECT_EQ(json["batch_size"], 2);
  const double peak_flops = json["peak"]["gflop_per_s"], peak_bytes = json["peak"]["gb_per_s"];
  EXPECT_GT(peak_flops, 0.0);
  EXPECT_GT(peak_bytes, 0.0);
  std::set<std::string> families;
  std::set<std::string> works;
  for (const Json& row : json["kernels"]) {
    SCOPED_TRACE(row.dump());
    families.insert(row["family"]);
    EXPECT_TRUE(works
                    .insert(row["family"].get<std::string>() + row["kernel"].get<std::string>() +
                            row["shape"].get<std::string>())
                    .second);
    const double median = row["median_ms"], least = row["min_ms"];
    EXPECT_GT(least, 0.0);
    EXPECT_GE(median, least);
    EXPECT_GE(row["calls"], 1);
    EXPECT_TRUE(row["launch_us"].is_null());  // the CPU's calls are done when they return
    const double flops = row["gflop_per_s"], bytes = row["gb_per_s"];
    EXPECT_GT(bytes, 0.0);
    const bool arithmetic = row["limit"] == "arithmetic";
    EXPECT_NEAR(row["share_of_peak"], arithmetic ? flops / peak_flops : bytes / peak_bytes, 1e-9);
    EXPECT_EQ(arithmetic, flops / peak_flops > bytes / peak_bytes);
  }
  EXPECT_EQ(families, kFamilies);
}

// What is counted for a call, by hand.
TEST_F(BenchKernels, CountsOperationsAndBytesOfTheDirectFormula) {
  std::map<std::string, std::pair<double, double>> counted;  // GFLOP and GB of a call
  for (const char* family : {"conv", "gemm", "optimizer"}) {
    const Json json = Measured({"--only", family});
    for (const Json& row : json["kernels"]) {
      ASSERT_EQ(row["family"], family);
      const double seconds = row["median_ms"].get<double>() * 1e-3;
      counted[row["kernel"].get<std::string>() + " " + row["shape"].get<std::string>()] = {
          row["gflop_per_s"].get<double>() * seconds, row["gb_per_s"].get<double>() * seconds};
    }
  }
  const auto expect = [&](const std::string& work, double flops, double bytes) {
    ASSERT_TRUE(counted.contains(work)) << work;
    EXPECT_NEAR(counted[work].first, flops * 1e-9, 1e-9 * flops * 1e-9) << work;
    EXPECT_NEAR(counted[work].second, bytes * 1e-9, 1e-9 * bytes * 1e-9) << work;
  };
  expect("backward_data n2 c64 16x16 k128 3x3", 2.0 * 2 * 16 * 16 * 128 * 64 * 9,
         4.0 * (2 * 64 * 256 + 2 * 128 * 256 + 128 * 64 * 9));
  expect("forward m2 n1000 k784", 2.0 * 2 * 1000 * 784, 4.0 * (2 * 784 + 1000 * 784 + 2 * 1000));
  expect("adam (75000,)", 0.0, 4.0 * 7 * 75000);
}

TEST_F(BenchKernels, PrintsATableAndTheFamilyAskedFor) {
  const std::string out = RunWell(Small({"--only", "gemm"})).out;
  EXPECT_THAT(out, AllOf(HasSubstr("float32, batch 2"), HasSubstr("measured peak: "),
                         HasSubstr("gemm        forward            m2 n1000 k784 "),
                         testing::Not(HasSubstr("softmax"))));
}

TEST_F(BenchKernels, RefusesWhatItDoesNotKnow) {
  ExpectRefusal(Run(Small({"--only", "lstm"})), 64, {"--only", "lstm", "softmax"});
  ExpectRefusal(Run(Small({"--colour"})), 64, {"--colour"});
  ExpectRefusal(Run(Small({"--seconds", "0"})), 64, {"--seconds", "0"});
  ExpectRefusal(Run(Small({"--megabytes", "0"})), 64, {"--megabytes", "0.01"});
  ExpectRefusal(Run(Small({"--device", "tpu"})), 64, {"--device", "tpu"});
  ExpectRefusal(Run(Small(), {{"OMPI_COMM_WORLD_SIZE", "2"},
                              {"OMPI_COMM_WORLD_RANK", "0"},
                              {"OMPI_COMM_WORLD_LOCAL_SIZE", "2"},
                              {"OMPI_COMM_WORLD_LOCAL_RANK", "0"}}),
                64, {"bench kernels", "2", "launcher"});
  EXPECT_THAT(RunWell({"bench", "kernels", "--help"}).out, HasSubstr("--only FAMILY"));
}

}  // namespace
}  // namespace lockstep::tools
