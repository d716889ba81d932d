// Saves of jobs of several processes that are killed, fail or take long (faults A2, A14, B2, B4,
// B6, C2, C3, F1), under the real mpirun. The first rank alone saves; its system calls are watched.
#include <gmock/gmock.h>
#include <signal.h>
#include <sys/syscall.h>

#include <cerrno>
#include <functional>
#include <thread>

#include "tests/fault/syscall_tracer.h"
#include "tests/tools/program/job_of_ranks.h"

namespace lockstep::tools {
namespace {

using lockstep::testing::Injection;
using lockstep::testing::kFailsCalls;
using lockstep::testing::SystemCall;
using lockstep::testing::TraceResult;
using std::chrono::steady_clock;
using ::testing::AnyOf;
using ::testing::HasSubstr;

// A job of 15 steps that stands at the fifth, with a checkpoint and a model of that.
class SavesOfRanks : public Ranks {
 protected:
  using Decide = std::function<Injection(const SystemCall&, Program&)>;

  explicit SavesOfRanks(const std::string& every = "5") : Ranks(Kind::kVectors), every_(every) {}
  void SetUp() override {
    const auto traced =
        lockstep::testing::RunTraced([] { return 0; }, [](int, long) { return Injection{}; });
    if (!traced.traced) GTEST_SKIP() << "ptrace is not allowed here";
    hash_ = RunWell(Of("whole")).WeightsHash();
    RunWell(Of("job") + Arguments{"--iterations", "5"});
    model_ = ReadFile(Dir("jobmodel/model.npz"));
    std::filesystem::copy(Dir("job"), Dir("before"));
    std::filesystem::remove_all(Dir("jobout"));
  }
  Arguments Of(const std::string& job) const {
    return With(Reproducible(job, {"--checkpoint-every", every_}), "--epochs", "3");
  }
  // Goes on to the end.
  Arguments Rest() const { return Of("job"); }
  // Goes on until it is stopped, and saves only then.
  Arguments Endless() const {
    return With(With(Rest(), "--epochs", "100000"), "--checkpoint-every", "100000000");
  }
  static Arguments Own(const Arguments& job, int ranks) {
    return job + Arguments{"--ranks", std::to_string(ranks)};
  }
  // From the start to the end of the first rank and the program.
  Outcome RunTraced(const Arguments& job, const ProgramSetting& setting, int ranks,
                    const Decide& decide) {
    ForgetPids();
    Program program(job, setting);
    EXPECT_TRUE(program.WaitUntil([&] { return Exists("pid.0"); }));
    if (!Exists("pid.0")) return program.Wait();
    const TraceResult result = lockstep::testing::TraceRunning(
        PidOf(0), [&](const SystemCall& call) { return decide(call, program); });
    EXPECT_TRUE(result.traced);
    Outcome outcome = program.Wait();
    EXPECT_TRUE(HavePids(ranks));
    ExpectGone(Pids(ranks), 5.0);
    return outcome;
  }
  static bool IsIn(const SystemCall& call, const std::string& place) {
    return call.Path().find(place) != std::string::npos;
  }
  static bool Publishes(const SystemCall& call) {
    return call.number == SYS_fsync || call.number == SYS_renameat;
  }
  // The call that makes the bytes of a checkpoint last, before it gets its name.
  static bool SyncsACheckpoint(const SystemCall& call) {
    return call.number == SYS_fsync && IsIn(call, "/job/checkpoint_");
  }
  // `ask` once an epoch has ended, `in_save` inside of the save that comes of it.
  static Decide StoppedBy(const std::function<void(Program&)>& ask,
                          const std::function<void(const SystemCall&, Program&)>& in_save) {
    return [=, asked = false, saves = false](const SystemCall& call, Program& program) mutable {
      if (!asked && call.number == SYS_fsync && IsIn(call, "/jobout/log.")) {
        asked = true;
        ask(program);
      } else if (asked && !saves && SyncsACheckpoint(call)) {
        saves = true;
        in_save(call, program);
      }
      return Injection{};
    };
  }
  // Until it has ended or this signal waits for the end of its call; 10 s at most.
  static void HoldUntil(int signal, pid_t process) {
    const auto has_come = [signal, status = "/proc/" + std::to_string(process) + "/status"] {
      const std::string pending = Between(ReadFile(status), "ShdPnd:", "\n");
      return !pending.empty() && (std::stoull(pending.substr(7), nullptr, 16) >> (signal - 1) & 1);
    };
    const auto start = steady_clock::now();
    while (!HasEnded(process) && !has_come() && SecondsSince(start) < 10.0) {
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    EXPECT_LT(SecondsSince(start), 10.0);
  }
  int64_t Temporaries() const {
    int64_t count = 0;
    for (const auto& entry : std::filesystem::directory_iterator(Dir("job"))) {
      count += entry.path().filename().string().find(".tmp-") != std::string::npos;
    }
    return count;
  }
  void StandAtFive() const {
    std::filesystem::remove_all(Dir("job"));
    std::filesystem::copy(Dir("before"), Dir("job"));
    scratch_.Write("jobmodel/model.npz", model_);
    std::filesystem::remove(Dir("failure"));
  }
  void ExpectGoesOn(int ranks) const { EXPECT_EQ(RunWellOn(ranks, Rest()).WeightsHash(), hash_); }
  void ExpectFirstHasDied(const Outcome& outcome) const {
    ExpectJobFails(outcome, 69, "rank 0 (process " + std::to_string(PidOf(0)));
    EXPECT_THAT(Between(outcome.err, "lockstep: ", "\n"), HasSubstr(") has died"));
  }

  const std::string every_;  // steps between checkpoints
  std::string hash_;         // of the unbroken job
  std::string model_;        // of step 5
};

// From before its bytes last until the list of checkpoints does.
TEST_F(SavesOfRanks, A2AKillAtEachStepOfASaveLeavesTheOldStateOrTheNew) {
  for (int at = 1; at <= 6; ++at) {
    SCOPED_TRACE("call " + std::to_string(at));
    int met = 0;
    const int ranks = 2 + at % 2;
    const Outcome outcome = RunTraced(
        Own(Rest(), ranks), OwnWrapped(), ranks, [&](const SystemCall& call, const Program&) {
          if (met == 0 ? SyncsACheckpoint(call) : Publishes(call)) ++met;
          return Injection{met == at ? Injection::Kind::kKill : Injection::Kind::kNone};
        });
    ExpectFirstHasDied(outcome);
    EXPECT_LE(Temporaries(), 1);
    if (at <= 2) {
      EXPECT_EQ(NewestOf("job"), 5);
    } else {
      EXPECT_THAT(NewestOf("job"), AnyOf(5, 10));
    }
    if (at == 6) {
      EXPECT_EQ(NewestOf("job"), 10);
    }
    EXPECT_TRUE(ReadFile(Dir("jobmodel/model.npz")) == model_);
    ExpectGoesOn(at % 3 + 1);
    StandAtFive();
  }
}

// Before the first of its two files lasts, and before the second gets its name.
TEST_F(SavesOfRanks, A14AKillWhileTheModelIsWrittenLeavesTheOldOneOrTheNew) {
  const std::string whole = ReadFile(Dir("wholemodel/model.npz"));
  for (const int at : {1, 4}) {
    SCOPED_TRACE("call " + std::to_string(at));
    int met = 0;
    const Outcome outcome =
        RunTraced(Own(Rest(), 2), OwnWrapped(), 2, [&](const SystemCall& call, const Program&) {
          if (met > 0 ? Publishes(call) : call.number == SYS_fsync && IsIn(call, "/jobmodel/")) {
            ++met;
          }
          return Injection{met == at ? Injection::Kind::kKill : Injection::Kind::kNone};
        });
    ExpectFirstHasDied(outcome);
    EXPECT_TRUE(ReadFile(Dir("jobmodel/model.npz")) == (at == 4 ? whole : model_));
    EXPECT_EQ(NewestOf("job"), 15);
    ExpectGoesOn(at == 1 ? 1 : 3);
    EXPECT_TRUE(ReadFile(Dir("jobmodel/model.npz")) == whole);
    StandAtFive();
  }
}

// Before one in eleven of the calls that a save makes, from the first byte to what makes the last
// file last: eleven runs of a soak kill before each of them.
TEST_F(SavesOfRanks, A2AndA14AKillBeforeAnyCallLeavesTheOldStateOrTheNew) {
  struct Save {
    std::string place;
    int publishes;  // calls that give a file its name, or make it last
    bool ends;      // the job
  };
  const std::string whole = ReadFile(Dir("wholemodel/model.npz"));
  constexpr int kStride = 11;
  const int run = static_cast<int>(SoakValue("LOCKSTEP_SOAK_SEED", 1));
  for (const Save& save : {Save{"/job/checkpoint_", 6, false}, Save{"/jobmodel/model.", 5, true}}) {
    int calls = 0;
    for (int at = 1 + (run - 1) % kStride; calls == 0; at += kStride) {
      const int ranks = 2 + at % 2;
      SCOPED_TRACE(save.place + ", call " + std::to_string(at));
      int met = 0, published = 0;
      const Outcome outcome = RunTraced(
          Own(Rest(), ranks), OwnWrapped(), ranks, [&](const SystemCall& call, const Program&) {
            const bool begun = met > 0 || (call.number == SYS_write && IsIn(call, save.place));
            if (!begun || published == save.publishes) return Injection{};
            published += Publishes(call);
            return Injection{++met == at ? Injection::Kind::kKill : Injection::Kind::kNone};
          });
      if (met != at) {
        calls = met;
        EXPECT_EQ(outcome.code, 0) << outcome.err;
        EXPECT_EQ(published, save.publishes);
        ASSERT_GT(calls, 2 * save.publishes);
      } else {
        ExpectFirstHasDied(outcome);
        EXPECT_LE(Temporaries(), 1);
        const std::string model = ReadFile(Dir("jobmodel/model.npz"));
        if (save.ends) {
          EXPECT_EQ(NewestOf("job"), 15);
          EXPECT_TRUE(model == model_ || model == whole);
        } else {
          EXPECT_THAT(NewestOf("job"), AnyOf(5, 10));
          EXPECT_TRUE(model == model_);
        }
        ExpectGoesOn(at % 3 + 1);
      }
      StandAtFive();
    }
    std::cout << "counted: killed before one in " << kStride << " of " << calls << " calls below "
              << save.place << "\n";
  }
}

// Rank 0 saves to the end, which nobody keeps it from, and misses the other then.
TEST_F(SavesOfRanks, F1ARankThatStopsWhileTheModelIsWrittenEndsTheJobBehindTheSave) {
  for (const char* communicator : {"shm", "mpi"}) {
    SCOPED_TRACE(communicator);
    bool stopped = false;
    auto saves = steady_clock::now();
    const Outcome outcome = RunTraced(
        Own(Rest(), 2) + Arguments{"--communicator", communicator, "--heartbeat-timeout", "3"},
        OwnWrapped(), 2, [&](const SystemCall& call, const Program&) {
          if (!stopped && call.number == SYS_fsync && IsIn(call, "/jobmodel/")) {
            stopped = true;
            ::kill(PidOf(1), SIGSTOP);
            std::this_thread::sleep_for(std::chrono::seconds(4));
            EXPECT_FALSE(HasEnded(call.thread));
            saves = steady_clock::now();
          }
          return Injection{};
        });
    EXPECT_LT(SecondsSince(saves), 6.0);
    ExpectJobFails(outcome, 69, "lockstep: rank 1 (process " + std::to_string(PidOf(1)));
    EXPECT_THAT(outcome.err, HasSubstr("has not been heard of for "));
    EXPECT_EQ(outcome.WeightsHash(), hash_);
    EXPECT_TRUE(ReadFile(Dir("jobmodel/model.npz")) == ReadFile(Dir("wholemodel/model.npz")));
    EXPECT_EQ(NewestOf("job"), 15);
    StandAtFive();
  }
}

// Nothing but MPI's own end waits for it.
TEST_F(SavesOfRanks, F1ARankThatHangsBehindTheSaveIsNotWaitedForForEver) {
  const std::string whole = ReadFile(Dir("wholemodel/model.npz"));
  ForgetPids();
  Program program(Own(Rest(), 2) + Arguments{"--communicator", "mpi", "--heartbeat-timeout", "3"},
                  OwnWrapped());
  ASSERT_TRUE(program.WaitUntil([&] { return HavePids(2); }));
  bool held = false;
  lockstep::testing::TraceRunning(PidOf(1), [&](const SystemCall& call) {
    if (!held && call.number == SYS_write && IsIn(call, "/log-rank-1.txt") &&
        ReadFile(Dir("jobmodel/model.npz")) == whole) {
      held = true;
      const auto start = steady_clock::now();
      while (!HasEnded(PidOf(0)) && SecondsSince(start) < 15.0) {
        std::this_thread::sleep_for(std::chrono::milliseconds(5));
      }
      EXPECT_LT(SecondsSince(start), 10.0);
      EXPECT_GT(SecondsSince(start), 2.0);
    }
    return Injection{};
  });
  EXPECT_TRUE(held);
  const Outcome outcome = program.Wait();
  ExpectJobFails(outcome, 69, "everything is saved, but MPI has not ended for 3 s");
  EXPECT_EQ(Count(outcome.err, "lockstep: "), 1) << outcome.err;
  EXPECT_EQ(outcome.WeightsHash(), hash_);
}

TEST_F(SavesOfRanks, C2AFailedFsyncIsAFailedSaveOfAll) {
  if (!kFailsCalls) GTEST_SKIP() << "faults are injected on x86-64 only";
  const Outcome outcome =
      RunTraced(Own(Rest(), 3), OwnWrapped(), 3, [](const SystemCall& call, const Program&) {
        return SyncsACheckpoint(call) ? Injection{Injection::Kind::kFail, EIO} : Injection{};
      });
  ExpectJobFails(outcome, 74, "lockstep: rank 0: ");
  ExpectJobFails(outcome, 74, "Input/output error");
  EXPECT_EQ(Count(outcome.err, "lockstep: "), 1) << outcome.err;
  EXPECT_EQ(NewestOf("job"), 5);
  EXPECT_EQ(Temporaries(), 0);
  ExpectGoesOn(2);
}

TEST_F(SavesOfRanks, C3AFullDiskIsAFailedSaveOfAllAndShortWritesAreNone) {
  if (!kFailsCalls) GTEST_SKIP() << "faults are injected on x86-64 only";
  const auto each_write = [](const Injection& injection) {
    return [=](const SystemCall& call, const Program&) {
      return call.number == SYS_write && IsIn(call, "/job/checkpoint_") ? injection : Injection{};
    };
  };
  const Outcome outcome =
      RunTraced(Own(Rest(), 2), OwnWrapped(), 2, each_write({Injection::Kind::kFail, ENOSPC}));
  ExpectJobFails(outcome, 74, "lockstep: rank 0: ");
  ExpectJobFails(outcome, 74, "No space left");
  EXPECT_EQ(Count(outcome.err, "lockstep: "), 1) << outcome.err;
  EXPECT_EQ(NewestOf("job"), 5);
  EXPECT_EQ(Temporaries(), 0);
  const Outcome slow =
      RunTraced(Own(Rest(), 2), OwnWrapped(), 2, each_write({Injection::Kind::kShorten}));
  EXPECT_EQ(slow.code, 0) << slow.err;
  EXPECT_EQ(slow.WeightsHash(), hash_);
  EXPECT_EQ(NewestOf("job"), 15);
}

// Twice as long as mpirun leaves its processes when it is told to end.
TEST_F(SavesOfRanks, B2ASaveHasTheTimeThatItNeeds) {
  const Outcome outcome =
      RunTraced(Own(Endless(), 2), OwnWrapped(), 2,
                StoppedBy([](const Program& program) { program.Signal(SIGTERM); },
                          [](const SystemCall&, const Program&) {
                            std::this_thread::sleep_for(std::chrono::milliseconds(2500));
                          }));
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_EQ(outcome.err, "");
  EXPECT_THAT(outcome.out, HasSubstr("; everything was saved "));
  EXPECT_GT(NewestOf("job"), 5);
  EXPECT_FALSE(ReadFile(Dir("jobmodel/model.npz")) == model_);
}

// While mpirun ends them it reads nothing: epochs are long here, as nobody waits then for their
// lines to be read.
class SavesUnderAnothersMpirun : public SavesOfRanks {
 protected:
  SavesUnderAnothersMpirun() : SavesOfRanks("500") {}
  void SetUp() override {
    Channel("train", Vectors(5000));
    SavesOfRanks::SetUp();
  }
};

// It kills its processes about a second behind their SIGTERM. Where they were too slow to come to
// the save by then, they get another try.
TEST_F(SavesUnderAnothersMpirun, B6ASaveThatTakesLongCostsNoCheckpoint) {
  bool in_time = false;
  for (int attempt = 0; attempt < 3 && !in_time; ++attempt) {
    const auto hold = [&](const SystemCall& call, const Program&) {
      in_time = true;
      const auto start = steady_clock::now();
      while (!HasEnded(call.thread) && SecondsSince(start) < 10.0) {
        std::this_thread::sleep_for(std::chrono::milliseconds(5));
      }
      EXPECT_TRUE(HasEnded(call.thread));
    };
    const auto ask = [](const Program& program) { program.Signal(SIGTERM); };
    const Outcome outcome = RunTraced(Endless(), Wrapped(2), 2, StoppedBy(ask, hold));
    EXPECT_NE(outcome.code, 0);
    EXPECT_EQ(NewestOf("job"), 5);
    EXPECT_TRUE(ReadFile(Dir("jobmodel/model.npz")) == model_);
  }
  EXPECT_TRUE(in_time);
  ExpectGoesOn(3);
}

TEST_F(SavesUnderAnothersMpirun, B6ASaveThatFitsIsMade) {
  int64_t newest = 5;
  for (int attempt = 0; attempt < 5 && newest == 5; ++attempt) {
    std::filesystem::remove_all(Dir("jobout"));
    Program program(Endless(), Wrapped(2));
    ASSERT_TRUE(program.WaitUntil([&] { return Exists("jobout/log"); }));
    program.Signal(SIGTERM);
    EXPECT_NE(program.Wait().code, 0);
    newest = NewestOf("job");
  }
  EXPECT_GT(newest, 5);
  const Outcome next = RunWell(With(Endless(), "--epochs", "1"));
  EXPECT_THAT(next.out, HasSubstr(" at iteration " + std::to_string(newest) + "\n"));
}

// It is said once, and what was saved before is whole.
TEST_F(SavesOfRanks, B6ASaveThatIsNotDoneWithinTheGraceEndsTheJob) {
  for (const int ranks : {1, 2}) {
    ProgramSetting setting = ranks == 1 ? Setting() : OwnWrapped();
    if (ranks == 1) {  // a child of the test itself would be waited for by the tracer
      const std::string child =
          "echo $$ > " + Dir("new") + " && mv " + Dir("new") + " " + Dir("pid.0") + "; exec \"$@\"";
      setting.launcher = {"/bin/sh", "-c", "/bin/sh -c '" + child + "' sh \"$@\"; exit $?", "sh"};
    }
    auto asked = steady_clock::now();
    const auto ask = [&](const Program& program) {
      asked = steady_clock::now();
      ranks == 1 ? static_cast<void>(::kill(PidOf(0), SIGTERM)) : program.Signal(SIGTERM);
    };
    double took = 0.0;
    const Outcome outcome =
        RunTraced(Own(Endless(), ranks) + Arguments{"--grace", "3"}, setting, ranks,
                  StoppedBy(ask, [&](const SystemCall& call, const Program&) {
                    HoldUntil(SIGALRM, call.thread);
                    took = SecondsSince(asked);
                  }));
    EXPECT_EQ(outcome.code, 75) << outcome.out << outcome.err;
    EXPECT_EQ(Count(outcome.err, "lockstep: not saved within the --grace"), 1) << outcome.err;
    EXPECT_GT(took, 2.5);  // the system's alarm is of whole seconds
    EXPECT_EQ(NewestOf("job"), 5);
    EXPECT_TRUE(ReadFile(Dir("jobmodel/model.npz")) == model_);
    ExpectGoesOn(3 - ranks);
    StandAtFive();
  }
}

// The launcher has the code; what it leaves behind ends without saving.
TEST_F(SavesOfRanks, B4ASecondSignalInsideOfASaveLeavesAtOnce) {
  double took = 0.0;
  const Outcome outcome =
      RunTraced(Own(Endless(), 2), OwnWrapped(), 2,
                StoppedBy([](const Program& program) { program.Signal(SIGTERM); },
                          [&](const SystemCall& call, Program& program) {
                            const auto start = steady_clock::now();
                            program.Signal(SIGINT);
                            program.WaitUntil([&] { return SecondsSince(start) > 5.0; });
                            took = SecondsSince(start);
                            HoldUntil(SIGTERM, call.thread);
                          }));
  EXPECT_EQ(outcome.code, 75) << outcome.out << outcome.err;
  EXPECT_THAT(outcome.err, HasSubstr("second signal: leaving at once, nothing saved"));
  EXPECT_LT(took, 2.0);
  EXPECT_EQ(NewestOf("job"), 5);
  EXPECT_TRUE(ReadFile(Dir("jobmodel/model.npz")) == model_);
  ExpectGoesOn(2);
}

TEST_F(SavesOfRanks, B4ASecondSignalToOneRankEndsAllOfAnothersMpirun) {
  const Outcome outcome = RunTraced(
      Endless(), Wrapped(3), 3,
      StoppedBy([&](const Program&) { ::kill(PidOf(0), SIGTERM); },
                [](const SystemCall& call, const Program&) { ::kill(call.thread, SIGINT); }));
  EXPECT_EQ(outcome.code, 75) << outcome.out << outcome.err;
  EXPECT_THAT(outcome.err, HasSubstr("second signal: leaving at once, nothing saved"));
  EXPECT_EQ(NewestOf("job"), 5);
  EXPECT_TRUE(ReadFile(Dir("jobmodel/model.npz")) == model_);
  ExpectGoesOn(2);
}

}  // namespace
}  // namespace lockstep::tools
