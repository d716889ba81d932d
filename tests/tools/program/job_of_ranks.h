// Jobs of several processes under the real mpirun.
#ifndef LOCKSTEP_TESTS_TOOLS_PROGRAM_JOB_OF_RANKS_H_
#define LOCKSTEP_TESTS_TOOLS_PROGRAM_JOB_OF_RANKS_H_

#include <gmock/gmock.h>
#include <sys/types.h>

#include <string>

#include "tests/tools/program/workplace.h"

namespace lockstep::tools {

// What is in it between `begin` and `end`.
inline std::string Between(const std::string& text, const std::string& begin,
                           const std::string& end) {
  const size_t from = text.find(begin);
  if (from == std::string::npos) return "";
  return text.substr(from, text.find(end, from) - from);
}

// How often `part` is in it.
inline int Count(const std::string& text, const std::string& part) {
  int found = 0;
  for (size_t at = 0; (at = text.find(part, at)) != std::string::npos; ++at) ++found;
  return found;
}

// Dropout, batch normalisation, random crops and flips on 70 pictures in batches of 16.
class Ranks : public PictureWorkplace {
 protected:
  static ProgramSetting Under(ProgramSetting setting, int ranks) {
    setting.launcher = {
        LOCKSTEP_MPIRUN, "--allow-run-as-root", "--oversubscribe", "--timeout", "100",
        "-np",           std::to_string(ranks)};
    return setting;
  }
  // Every rank writes its process id to pid.RANK first; on rank 1 `change` comes behind the
  // options.
  ProgramSetting Wrapped(int ranks, const std::string& change = "") const {
    ProgramSetting setting = Under(Setting(), ranks);
    const std::string script =
        "echo $$ > " + Dir("new.$OMPI_COMM_WORLD_RANK") + " && mv " +
        Dir("new.$OMPI_COMM_WORLD_RANK") + " " + Dir("pid.$OMPI_COMM_WORLD_RANK") +
        "; if [ $OMPI_COMM_WORLD_RANK = 1 ]; then exec \"$@\" " + change + "; fi; exec \"$@\"";
    setting.launcher.insert(setting.launcher.end(), {"/bin/sh", "-c", script, "sh"});
    return setting;
  }
  Outcome RunOn(int ranks, const Arguments& arguments) const {
    if (ranks == 1) return RunProgram(arguments, Setting());
    return RunProgram(arguments, Under(Setting(), ranks));
  }
  // The same, which must end well.
  Outcome RunWellOn(int ranks, const Arguments& arguments) const {
    Outcome outcome = RunOn(ranks, arguments);
    EXPECT_EQ(outcome.code, 0) << ranks << " ranks\n" << outcome.out << outcome.err;
    EXPECT_EQ(outcome.err, "");
    return outcome;
  }
  pid_t PidOf(int rank) const {
    return static_cast<pid_t>(std::stol(ReadFile(Dir("pid." + std::to_string(rank)))));
  }
  // lockstep's own line on stderr, among what mpirun says.
  static void ExpectJobFails(const Outcome& outcome, int code, const std::string& text) {
    EXPECT_EQ(outcome.code, code) << outcome.err;
    EXPECT_THAT(Between(outcome.err, "lockstep: ", "\n"), ::testing::HasSubstr(text))
        << outcome.err;
  }
  Arguments Reproducible(const std::string& job = "", const Arguments& more = {}) const {
    return Train(Arguments{"--reproducible", "True", "--lanes", "4"} + more, job);
  }
};

}  // namespace lockstep::tools

#endif  // LOCKSTEP_TESTS_TOOLS_PROGRAM_JOB_OF_RANKS_H_
