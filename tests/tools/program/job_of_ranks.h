// Jobs of several processes under the real mpirun.
#ifndef LOCKSTEP_TESTS_TOOLS_PROGRAM_JOB_OF_RANKS_H_
#define LOCKSTEP_TESTS_TOOLS_PROGRAM_JOB_OF_RANKS_H_

#include <gmock/gmock.h>
#include <sys/types.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <iterator>
#include <regex>
#include <sstream>
#include <string>
#include <vector>

#include "engine/train/checkpoint_store.h"
#include "tests/tools/program/workplace.h"

namespace lockstep::tools {

// What is in it between `begin` and `end`.
inline std::string Between(const std::string& text, const std::string& begin,
                           const std::string& end) {
  const size_t from = text.find(begin);
  if (from == std::string::npos) return "";
  return text.substr(from, text.find(end, from) - from);
}

// Of which ranks a line names the last collective, in order: "...; last collectives: rank 1 in
// gather (no. 9); ranks 0, 2-3 behind ...".
inline std::vector<int> RanksWithCollectives(const std::string& line) {
  static const std::regex kGroup("(?:: |; )ranks? ([0-9, -]+) (?:in|behind|before) ");
  static const std::regex kRange("([0-9]+)(?:-([0-9]+))?");
  const size_t begin = line.find("; last collectives: ");
  if (begin == std::string::npos) return {};
  std::vector<int> ranks;
  const std::sregex_iterator end;
  for (std::sregex_iterator group(line.begin() + static_cast<int64_t>(begin), line.end(), kGroup);
       group != end; ++group) {
    const std::string numbers = (*group)[1];
    for (std::sregex_iterator range(numbers.begin(), numbers.end(), kRange); range != end;
         ++range) {
      const int first = std::stoi((*range)[1]);
      const int last = (*range)[2].matched ? std::stoi((*range)[2]) : first;
      for (int rank = first; rank <= last; ++rank) ranks.push_back(rank);
    }
  }
  std::sort(ranks.begin(), ranks.end());
  return ranks;
}

// How often `part` is in it.
inline int Count(const std::string& text, const std::string& part) {
  int found = 0;
  for (size_t at = 0; (at = text.find(part, at)) != std::string::npos; ++at) ++found;
  return found;
}

// What the entries of a log have under this key, without quotation marks, one after the other.
inline std::vector<std::string> InLog(const std::string& log, const std::string& key) {
  std::vector<std::string> values;
  const std::string begin = "\"" + key + "\": ";
  for (size_t at = 0; (at = log.find(begin, at)) != std::string::npos;) {
    at += begin.size();
    std::string value = log.substr(at, log.find_first_of(",\n}", at) - at);
    std::erase(value, '"');
    values.push_back(value);
  }
  return values;
}

// What a soak asks a test for by this variable.
inline double SoakValue(const char* name, double otherwise) {
  const char* const asked = std::getenv(name);
  return asked == nullptr ? otherwise : std::atof(asked);
}

// How long a test goes on that a soak may prolong.
inline double SoakSeconds(double otherwise) {
  return SoakValue("LOCKSTEP_SOAK_SECONDS", otherwise);
}

// How many kills a test makes that a soak may make more of.
inline int SoakKills(int otherwise) {
  return static_cast<int>(SoakValue("LOCKSTEP_SOAK_KILLS", otherwise));
}

// Dropout, batch normalisation, random crops and flips on 70 pictures in batches of 16; or an mlp
// on as many vectors.
class Ranks : public Workplace {
 protected:
  explicit Ranks(Kind kind = Kind::kPictures) : Workplace(kind) {}

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
    const std::string script = WritePid() +
                               "; if [ $OMPI_COMM_WORLD_RANK = 1 ]; then exec \"$@\" " + change +
                               "; fi; exec \"$@\"";
    setting.launcher.insert(setting.launcher.end(), {"/bin/sh", "-c", script, "sh"});
    return setting;
  }
  std::string WritePid() const {
    const std::string rank = "$OMPI_COMM_WORLD_RANK";
    return "echo $$ > " + Dir("new." + rank) + " && mv " + Dir("new." + rank) + " " +
           Dir("pid." + rank);
  }
  // For --ranks: between the program and the real mpirun is one whose ranks run `before` first.
  ProgramSetting OwnWrapped(const std::string& before) const {
    const std::string path = scratch_.Write(
        "bin/mpirun", "#!/bin/sh\noptions=\"$1 $2 $3 $4 $5 $6 $7\"; shift 7\nexec " LOCKSTEP_MPIRUN
                      " $options /bin/sh -c '" +
                          before + "; exec \"$@\"' sh \"$@\"\n");
    std::filesystem::permissions(path, std::filesystem::perms::owner_all);
    ProgramSetting setting = Setting({{"SM_OUTPUT_DIR", Dir("")}});
    setting.variables["PATH"] = Dir("bin") + ":/usr/bin:/bin";
    return setting;
  }
  ProgramSetting OwnWrapped() const { return OwnWrapped(WritePid()); }
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
  // Of `ranks` that run by now.
  std::vector<pid_t> Pids(int ranks) const {
    std::vector<pid_t> pids;
    pids.reserve(static_cast<size_t>(ranks));
    for (int rank = 0; rank < ranks; ++rank) pids.push_back(PidOf(rank));
    return pids;
  }
  bool HavePids(int ranks) const {
    for (int rank = 0; rank < ranks; ++rank) {
      if (!Exists("pid." + std::to_string(rank))) return false;
    }
    return true;
  }
  void ForgetPids() const {
    for (int rank = 0; Exists("pid." + std::to_string(rank)); ++rank) {
      std::filesystem::remove(Dir("pid." + std::to_string(rank)));
    }
  }
  static double SecondsSince(std::chrono::steady_clock::time_point start) {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  }
  // Also true of one that nobody has asked for its exit code yet.
  static bool HasEnded(pid_t pid) {
    const std::string status = ReadFile("/proc/" + std::to_string(pid) + "/stat");
    return status.empty() || status.find(") Z ") != std::string::npos;
  }
  // All of them, in `seconds` from now.
  static void ExpectGone(const std::vector<pid_t>& pids, double seconds = 1.0) {
    const auto start = std::chrono::steady_clock::now();
    for (const pid_t pid : pids) {
      while (!HasEnded(pid) && SecondsSince(start) < seconds) ::usleep(1000);
      EXPECT_TRUE(HasEnded(pid)) << "process " << pid << " is there";
    }
  }
  static std::vector<pid_t> ChildrenOf(pid_t pid) {
    const std::string id = std::to_string(pid);
    std::istringstream words(ReadFile("/proc/" + id + "/task/" + id + "/children"));
    return {std::istream_iterator<pid_t>(words), {}};
  }
  // The iteration of the newest checkpoint that loads, which is the newest that there is; -1: none.
  int64_t NewestOf(const std::string& job) const {
    const auto newest =
        LoadNewestCheckpoint(Dir(job), [](const std::string& line) { ADD_FAILURE() << line; });
    return newest ? newest->tag.iteration : -1;
  }
  // lockstep's own line on stderr, among what mpirun says.
  static void ExpectJobFails(const Outcome& outcome, int code, const std::string& text) {
    EXPECT_EQ(outcome.code, code) << outcome.err;
    EXPECT_THAT(Between(outcome.err, "lockstep: ", "\n"), ::testing::HasSubstr(text))
        << outcome.err;
  }
  // Runs a job that must be refused before its first step, and soon: nobody has said or saved
  // anything by then.
  Outcome ExpectRefusedAtTheStart(const Arguments& more, const ProgramSetting& setting, int code,
                                  const std::string& text) const {
    SCOPED_TRACE(text);
    const auto start = std::chrono::steady_clock::now();
    const Arguments job = Train(Arguments{"--checkpoint-every", "1"} + more, "refused");
    const Outcome outcome = RunProgram(job, setting);
    EXPECT_LT(SecondsSince(start), 5.0);
    ExpectJobFails(outcome, code, text);
    EXPECT_EQ(outcome.out, "");
    EXPECT_FALSE(HasCheckpoint("refused", 1));
    EXPECT_FALSE(Exists("refusedout/log"));
    EXPECT_FALSE(Exists("refusedmodel/model.npz"));
    return outcome;
  }
  Arguments Reproducible(const std::string& job = "", const Arguments& more = {}) const {
    return Train(Arguments{"--reproducible", "True", "--lanes", "4"} + more, job);
  }
};

}  // namespace lockstep::tools

#endif  // LOCKSTEP_TESTS_TOOLS_PROGRAM_JOB_OF_RANKS_H_
