// What goes wrong with one process of a job, or with what all of them share.
#include <gmock/gmock.h>
#include <signal.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>

#include "tests/tools/program/job_of_ranks.h"

namespace lockstep::tools {
namespace {

using std::chrono::steady_clock;
using testing::HasSubstr;
using testing::Not;

int Count(const std::string& text, const std::string& part) {
  int found = 0;
  for (size_t at = 0; (at = text.find(part, at)) != std::string::npos; ++at) ++found;
  return found;
}

class RankFaults : public Ranks {};

// Ranks of several hosts are named with them, in whatever one of them alone has met.
TEST_F(RankFaults, TheLineOfOneRankNamesItsHost) {
  if (std::system("unshare -u true 2>/dev/null") != 0) GTEST_SKIP() << "no namespaces here";
  const auto elsewhere = [&](const std::string& more) {
    ProgramSetting setting = Under(Setting(), 2);
    const std::string script =
        "if [ $OMPI_COMM_WORLD_RANK = 1 ]; then exec unshare -u sh -c "
        "'hostname algo-2; exec \"$@\" " +
        more + "' sh \"$@\"; fi; exec \"$@\"";
    setting.launcher.insert(setting.launcher.end(), {"/bin/sh", "-c", script, "sh"});
    return setting;
  };
  ExpectJobFails(RunProgram(Train(), elsewhere("--train " + Dir("nowhere"))), 66,
                 "rank 1 at algo-2: ");
  ExpectJobFails(RunProgram(Train(), elsewhere("--seed 7")), 76, ", 7 on rank 1 at algo-2; ");
}

// A fake mpirun says and does what it is told to.
class FakeLauncher : public Ranks {
 protected:
  ProgramSetting With(const std::string& script) const {
    const std::string path = scratch_.Write("bin/mpirun", "#!/bin/sh\n" + script);
    std::filesystem::permissions(path, std::filesystem::perms::owner_all);
    ProgramSetting setting = Setting({{"SM_OUTPUT_DIR", Dir("")}});
    setting.variables["PATH"] = Dir("bin") + ":/usr/bin:/bin";
    return setting;
  }
};

TEST_F(FakeLauncher, BehindTheReasonOfAProcessNothingIsSaid) {
  const Arguments job = Train({"--ranks", "2"});
  const std::string reason = "lockstep: rank 1 has died";
  for (const std::string& words :
       Arguments{"echo '" + reason + "' >&2",
                 "printf 'noise\nlock' >&2; sleep 0.1; echo 'step: so' >&2"}) {
    const Outcome outcome = RunProgram(job, With(words + "; kill -9 $$"));
    EXPECT_EQ(outcome.code, 69);
    EXPECT_EQ(Count(outcome.err, "lockstep: "), 1) << outcome.err;
    EXPECT_THAT(outcome.err, Not(HasSubstr("signal 9")));
  }
  ExpectJobFails(RunProgram(job, With("echo noise >&2; kill -9 $$")), 69,
                 "ended by signal 9; run again");
  const Outcome much = RunProgram(job, With("yes | head -c 1000000 >&2; exit 74"));
  EXPECT_EQ(much.code, 74);
  EXPECT_EQ(much.err.size(), 1000000U);
}

}  // namespace
}  // namespace lockstep::tools
