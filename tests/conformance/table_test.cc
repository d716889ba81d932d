#include "tests/conformance/table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>

#include "tests/conformance/ctest_files.h"

namespace lockstep::conformance {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

Row Done(const std::string& proof, std::set<std::string> needs = {}) {
  return {"CH-01", State::kDone, std::move(needs), {proof}, 1};
}

TEST(ConformanceTable, ReadsARow) {
  std::istringstream in(
      "# head\n\nCT-04 | done | C/M | shared, gpu | A.B, C.* | keys configurable\n");
  std::vector<std::string> problems;
  const std::vector<Row> rows = ParseTable(in, ConformanceLayout(), &problems);
  ASSERT_EQ(rows.size(), 1u);
  EXPECT_EQ(rows[0].id, "CT-04");
  EXPECT_EQ(rows[0].state, State::kDone);
  EXPECT_THAT(rows[0].needs, ElementsAre("gpu", "shared"));
  EXPECT_THAT(rows[0].proofs, ElementsAre("A.B", "C.*"));
  EXPECT_EQ(problems.size(), 242u) << "every other row is missing";
}

TEST(ConformanceTable, NamesWhatIsWrongWithARow) {
  const auto first_problem = [](const std::string& row) {
    std::istringstream in(row);
    std::vector<std::string> problems;
    ParseTable(in, ConformanceLayout(), &problems);
    return problems.at(0);
  };
  EXPECT_THAT(first_problem("CH-01 | open"), HasSubstr("six cells"));
  EXPECT_THAT(first_problem("CH-01 | Done | C | | A.B | x"), HasSubstr("state 'Done'"));
  EXPECT_THAT(first_problem("CH-01 | done | C | | | x"), HasSubstr("names no test"));
  EXPECT_THAT(first_problem("CH-01 | open | C | | A.B | x"), HasSubstr("is open but"));
  EXPECT_THAT(first_problem("CH-01 | not ours | C | | | x"), HasSubstr("without a reason"));
  EXPECT_THAT(first_problem("CH-01 | open | C | tpu | | x"), HasSubstr("'tpu'"));
  EXPECT_THAT(first_problem("CH-71 | open | C | | | x"), HasSubstr("'CH-71' again or unknown"));
}

TEST(ConformanceTable, FaultsAreProvenForOneProcessAndForSeveral) {
  const auto first_problem = [](const std::string& row) {
    std::istringstream in(row);
    std::vector<std::string> problems;
    const std::vector<Row> rows = ParseTable(in, FaultsLayout(), &problems);
    EXPECT_EQ(rows.at(0).id, "A5");
    return problems.at(0);
  };
  EXPECT_THAT(first_problem("A5 | done | netns | A.B | C.D, E.* | x"), HasSubstr("has no row"));
  EXPECT_THAT(first_problem("A5 | done | | - | C.D | x"), HasSubstr("has no row"));
  EXPECT_THAT(first_problem("A5 | done | | A.B | | x"), HasSubstr("names no test"));
  EXPECT_THAT(first_problem("A5 | done | | - | - | x"), HasSubstr("names no test"));
  EXPECT_THAT(first_problem("A5 | open | | A.B | | x"), HasSubstr("has no row"));
  EXPECT_THAT(first_problem("A5 | open | | A.B | C.D | x"), HasSubstr("is open but"));
  EXPECT_THAT(first_problem("A5 | not ours | | why not | | x"), HasSubstr("has no row"));

  std::istringstream in("A5 | open | | A.B, - | | x\n");
  std::vector<std::string> problems;
  const std::vector<Row> rows = ParseTable(in, FaultsLayout(), &problems);
  EXPECT_EQ(problems.size(), 73U) << "every other row is missing";
  EXPECT_THAT(rows.at(0).proofs, ElementsAre("A.B"));
  EXPECT_THAT(UnknownProofs(rows, {"A.C"}), Contains(HasSubstr("no such test")));
  EXPECT_THAT(Counts(rows, FaultsLayout()), HasSubstr("  A: 1 rows: 0 done, 1 open"));
}

TEST(ConformanceTable, StarsMatchAnything) {
  EXPECT_TRUE(Matches("A.B", "A.B"));
  EXPECT_TRUE(Matches("A.*", "A."));
  EXPECT_TRUE(Matches("*/Shapes.*/3", "Odd/Shapes.Pool/13/3"));
  EXPECT_TRUE(Matches("**", ""));
  EXPECT_FALSE(Matches("A.B", "A.BC"));
  EXPECT_FALSE(Matches("A.*x", "A.xy"));
  EXPECT_FALSE(Matches("", "A"));
}

TEST(ConformanceTable, ClaimsOfAbsentTestsAreFound) {
  EXPECT_THAT(UnknownProofs({Done("A.*")}, {"A.B"}), IsEmpty());
  EXPECT_THAT(UnknownProofs({Done("A.C")}, {"A.B"}), Contains(HasSubstr("no such test")));
}

TEST(ConformanceTable, ASkippedProofCountsOnlyWhereItCouldRun) {
  const Results results = {{"A.B", Outcome::kSkipped}, {"A.C", Outcome::kPassed}};
  EXPECT_THAT(MissingProofs({Done("A.C")}, results, {}), IsEmpty());
  EXPECT_THAT(MissingProofs({Done("A.B", {"gpu"})}, results, {}), IsEmpty());
  EXPECT_THAT(MissingProofs({Done("A.B", {"gpu"})}, results, {"gpu"}),
              Contains(HasSubstr("'A.B', which was skipped")));
  EXPECT_THAT(MissingProofs({Done("A.D")}, results, {}), Contains(HasSubstr("nothing passed")));
}

TEST(ConformanceTable, ReadsJunitOutcomes) {
  std::istringstream in(
      "\t<testcase name=\"A.Ok\" classname=\"A.Ok\" time=\"0.1\" status=\"run\">\n"
      "\t<testcase name=\"A&lt;int&gt;.Skips\" classname=\"\" time=\"0\" status=\"notrun\">\n"
      "\t<testcase name=\"A.Fails\" classname=\"\" time=\"0\" status=\"fail\">\n");
  EXPECT_THAT(ReadJunit(in), ElementsAre(std::pair("A.Fails", Outcome::kFailed),
                                         std::pair("A.Ok", Outcome::kPassed),
                                         std::pair("A<int>.Skips", Outcome::kSkipped)));
}

}  // namespace
}  // namespace lockstep::conformance
