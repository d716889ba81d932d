#include "comm/roll_call.h"

#include <gmock/gmock.h>
#include <unistd.h>

#include <cstdlib>

#include "engine/train/host_name.h"
#include "kernels/error.h"

namespace lockstep {
namespace {

using testing::AllOf;
using testing::HasSubstr;

TEST(RollCallText, NamesWhoIsMissingOnThisHost) {
  const Absence absence =
      DescribeAbsence({{2, 20, true}, {3, 30, false}, {5, 50, false}}, 2, 6, 1.5, {"b"});
  EXPECT_TRUE(absence.names_someone);
  EXPECT_TRUE(absence.lowest_present);
  EXPECT_EQ(absence.line, "rank 3 (process 30 on host " + HostName() +
                              "), rank 5 (process 50 on host " + HostName() +
                              ") did not come to the start of the job within 1.5 s; see "
                              "what it does there, or give it more time with --join-timeout");
}

TEST(RollCallText, SaysWhereNobodyIsMissing) {
  const std::vector<RollCall::Process> two{{0, 10, true}, {1, 11, true}};
  const Absence absence = DescribeAbsence(two, 1, 4, 300, {"b", "c"});
  EXPECT_FALSE(absence.names_someone);
  EXPECT_FALSE(absence.lowest_present);
  EXPECT_THAT(
      absence.line,
      AllOf(HasSubstr("not all of the 4 processes came to the start of the job within 300 s, 2 "
                      "of them on host " +
                      HostName()),
            HasSubstr("their hosts (b, c) can be reached")));
  EXPECT_THAT(DescribeAbsence(two, 0, 2, 300, {}).line,
              HasSubstr("all 2 processes came to the start of the job, but MPI did not"));
}

TEST(RollCallText, NamesWhoIsMissingOnOtherHosts) {
  const std::vector<RollCall::Process> known{{0, 0, true, "a"}, {1, 11, true}, {2, 0, false, "a"}};
  const Absence absence = DescribeAbsence(known, 1, 3, 2, {"a"});
  EXPECT_TRUE(absence.names_someone);
  EXPECT_FALSE(absence.lowest_present);
  EXPECT_TRUE(absence.lowest_elsewhere);
  EXPECT_THAT(absence.line,
              HasSubstr("rank 2 (on host a) did not come to the start of the job within 2 s"));
  const Absence first = DescribeAbsence({{0, 10, true}, {1, 0, false, "b"}}, 0, 2, 2, {});
  EXPECT_TRUE(first.lowest_present);
  EXPECT_FALSE(first.lowest_elsewhere);
  EXPECT_THAT(first.line, testing::StartsWith("rank 1 (on host b) did not come"));
}

TEST(RollCallText, FitsALine) {
  std::vector<RollCall::Process> many{{0, 10, true}};
  for (int rank = 1; rank < 700; ++rank) many.push_back({rank, 100000 + rank, false});
  const std::string line = DescribeAbsence(many, 0, 700, 300, {}).line;
  EXPECT_THAT(line, HasSubstr(" and 691 more did not come"));
  EXPECT_LT(line.size(), 1000U);
}

TEST(RollCallText, WhereTheLauncherNamesNoJobTheFirstSpeaks) {
  EXPECT_TRUE(DescribeAbsence({}, 0, 4, 300, {}).lowest_present);
  EXPECT_FALSE(DescribeAbsence({}, 1, 4, 300, {}).lowest_present);
}

// The variables that Open MPI gives to a rank.
class RollCallTest : public testing::Test {
 protected:
  RollCallTest() {
    Set("PMIX_NAMESPACE", "test-" + std::to_string(::getpid()));
    Set("OMPI_COMM_WORLD_SIZE", "2");
    Set("OMPI_COMM_WORLD_RANK", "0");
  }
  ~RollCallTest() override {
    for (const char* name : {"PMIX_NAMESPACE", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK"}) {
      ::unsetenv(name);
    }
  }
  static void Set(const char* name, const std::string& value) { ::setenv(name, value.c_str(), 1); }
};

TEST_F(RollCallTest, ARankIsThereOnce) {
  const RollCall first;
  try {
    const RollCall second;
    ADD_FAILURE() << "it is there twice";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::kBadCluster);
    EXPECT_THAT(error.what(), HasSubstr("rank 0 of the job is there twice: process " +
                                        std::to_string(::getpid())));
  }
  Set("OMPI_COMM_WORLD_RANK", "1");
  const RollCall other;
}

TEST_F(RollCallTest, AnEndedProcessHasLeft) {
  { const RollCall first; }
  const RollCall second;
}

}  // namespace
}  // namespace lockstep
