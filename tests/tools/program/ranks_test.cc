// Jobs of several processes under the real mpirun.
#include <gmock/gmock.h>
#include <signal.h>

#include <chrono>
#include <cstdlib>
#include <cstring>
#include <regex>
#include <sstream>
#include <thread>

#include "data/npz.h"
#include "engine/train/ledger.h"
#include "tests/tools/program/job_of_ranks.h"

namespace lockstep::tools {
namespace {

using testing::HasSubstr;
using testing::Not;

TEST_F(Ranks, AnyNumberOfThemGivesTheSameBits) {
  for (const std::string norm : {"sync", "lane"}) {
    const Arguments job = Reproducible("", {"--lane-norm", norm});
    // A lane has at least 8 samples there, so that a batch of 16 is two.
    const int most = norm == "sync" ? 4 : 2;
    const std::string hash = RunWell(job).WeightsHash();
    for (int ranks = 2; ranks <= most; ++ranks) {
      EXPECT_EQ(RunWellOn(ranks, job).WeightsHash(), hash) << ranks << " ranks, norm " << norm;
    }
    EXPECT_EQ(RunWellOn(2, job + Arguments{"--communicator", "mpi", "--bucket-bytes", "1024"})
                  .WeightsHash(),
              hash);
    EXPECT_EQ(RunWellOn(2, With(job, "--threads", "2")).WeightsHash(), hash);
  }
}

TEST_F(Ranks, EveryCommunicatorOfChainerMnTrains) {
  const Arguments job = Reproducible("", {"--epochs", "1"});
  const std::string hash = RunWell(job).WeightsHash();
  for (const std::string name : {"naive", "flat", "hierarchical", "two_dimensional", "single_node",
                                 "non_cuda_aware", "pure_nccl", "dummy"}) {
    EXPECT_EQ(RunWellOn(2, job + Arguments{"--communicator", name}).WeightsHash(), hash) << name;
  }
  ExpectJobFails(RunOn(2, job + Arguments{"--communicator", "carrier_pigeon"}), 64,
                 "carrier_pigeon");
}

// Chainer's distributed example on machines without GPUs (CF-31): its hyperparameters, from the
// platform. The batch is that of all together.
TEST_F(Ranks, ChainersDistributedExampleTrainsWithItsHyperparameters) {
  const Arguments job{"train",
                      "--train",
                      Channel("many", Pictures(600)),
                      "--test",
                      Dir("test"),
                      "--model",
                      "vgg",
                      "--width",
                      "0.0625",
                      "--threads",
                      "1",
                      "--model-dir",
                      Dir("model"),
                      "--output-data-dir",
                      Dir("out")};
  ProgramSetting setting =
      Under(Setting({{"SM_HPS", R"({"epochs": 30, "batch-size": 256, "communicator": "naive"})"},
                     {"SM_NUM_GPUS", "0"}}),
            2);
  const Outcome outcome = RunProgram(job, setting);
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  for (const char* line :
       {"# Minibatch-size: 256\n", "# epoch: 30\n", "exchanging gradients by mpi\n"}) {
    EXPECT_EQ(Count(outcome.out, line), 1) << line << outcome.out;
  }
  const std::string log = ReadFile(Dir("out/log"));
  const std::vector<std::string> epochs = InLog(log, "epoch");
  ASSERT_EQ(epochs.size(), 30U);
  EXPECT_EQ(epochs.back(), "30");
  // What both found together on 33 pictures is what one process finds.
  const Outcome alone =
      RunWell({"predict", "--model-dir", Dir("model"), "--channel", Dir("test"), "--threads", "1"});
  std::smatch found;
  ASSERT_TRUE(std::regex_search(alone.out, found, std::regex("\\((\\d+) of (\\d+)\\)")))
      << alone.out;
  EXPECT_EQ(found[2], "33");
  EXPECT_DOUBLE_EQ(std::stod(found[1]) / std::stod(found[2]),
                   std::stod(InLog(log, "validation/main/accuracy").back()));
  const std::vector<std::string> losses = InLog(log, "main/loss");
  EXPECT_LT(std::stod(losses.back()), 0.9 * std::stod(losses.front()));
}

// As the platform's toolkit starts it (Open MPI's --tag-output marks each line with its rank).
TEST_F(Ranks, TheToolkitsLineOfMpirunStartsThem) {
  ProgramSetting setting = Setting({{"SM_HOSTS", R"(["localhost"])"},
                                    {"SM_CURRENT_HOST", "localhost"},
                                    {"SM_NETWORK_INTERFACE_NAME", "lo"}});
  setting.launcher = {LOCKSTEP_MPIRUN};
  std::istringstream options(
      "--host localhost:2 -np 2 --allow-run-as-root --display-map --tag-output -mca "
      "btl_tcp_if_include lo -mca oob_tcp_if_include lo -mca plm_rsh_no_tree_spawn 1 -bind-to none "
      "-map-by slot -mca pml ob1 -mca btl ^openib -mca orte_abort_on_non_zero_status 1 -mca "
      "btl_vader_single_copy_mechanism none -x NCCL_MIN_NRINGS=4 -x PATH -x SM_HOSTS -x "
      "SM_CURRENT_HOST");
  for (std::string option; options >> option;) setting.launcher.push_back(option);
  const std::string hash = RunWell(Reproducible()).WeightsHash();
  for (const char* communicator : {"auto", "mpi"}) {
    const Outcome outcome = RunProgram(Reproducible("", {"--communicator", communicator}), setting);
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    EXPECT_EQ(outcome.WeightsHash(), hash);
    EXPECT_THAT(outcome.out, HasSubstr("[1,0]<stdout>:model saved"));
    EXPECT_THAT(outcome.out, Not(HasSubstr("[1,1]<stdout>:")));
  }
}

TEST_F(Ranks, TheFirstPrintsAndWritesForAll) {
  for (const char* norm : {"False", "True"}) {
    const Outcome outcome = RunWellOn(3, Train({"--sync-batch-norm", norm}, "job"));
    EXPECT_THAT(outcome.out, HasSubstr("# processes: 3, exchanging gradients by shm\n"));
    const std::string saved = "model saved to";
    EXPECT_EQ(outcome.out.find(saved), outcome.out.rfind(saved));
    EXPECT_THAT(outcome.out, Not(HasSubstr("images/s")));  // no progress bar
    for (const char* file : {"jobmodel/model.npz", "jobout/log", "jobout/accuracy.png",
                             "jobout/loss.png", "jobout/cg.dot", "job/checkpoint_10.lsc"}) {
      EXPECT_TRUE(Exists(file)) << file;
    }
    // It is a model like any other.
    RunWell({"predict", "--model-dir", Dir("jobmodel"), "--input", Dir("test/data.npz"), "--output",
             Dir("predictions.npy")});
    std::filesystem::remove_all(Dir("job"));
  }
}

// mpirun that is told to stop gives the others no time as soon as one process is gone.
TEST_F(Ranks, StayUntilTheFirstHasSaved) {
  ProgramSetting setting = Under(Setting(), 3);
  const std::string script = "\"$@\"; code=$?; ls " + Dir("model/model.npz") + " > " +
                             Dir("seen.$OMPI_COMM_WORLD_RANK") + "; exit $code";
  setting.launcher.insert(setting.launcher.end(), {"/bin/sh", "-c", script, "sh"});
  const Outcome outcome = RunProgram(Train(), setting);
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  for (const char* rank : {"1", "2"}) {
    EXPECT_THAT(ReadFile(Dir(std::string("seen.") + rank)), HasSubstr("model.npz")) << rank;
  }
}

TEST_F(Ranks, TheLogDoesNotDependOnThem) {
  const auto log_of = [&](int ranks) {
    RunWellOn(ranks, Reproducible());
    std::string log = ReadFile(Dir("out/log"));
    EXPECT_EQ(InLog(log, "ledger"),
              std::vector<std::string>(ranks > 1 ? 2 : 0, Ledger::OfAll(70).ToString()));
    EXPECT_EQ(log.find("\"time/wait\"") != std::string::npos, ranks > 1);
    // The rest of an entry is times, and the ledger, which only several ranks have.
    for (size_t at; (at = log.find("\"elapsed_time\"")) != std::string::npos;) {
      log.erase(at, log.find('}', at) - at);
    }
    return log;
  };
  const std::string one = log_of(1);
  EXPECT_THAT(one, HasSubstr("validation/main/loss"));
  EXPECT_EQ(log_of(2), one);
  EXPECT_EQ(log_of(3), one);
  EXPECT_EQ(log_of(4), one);
}

// Parts of the state lie on every process then, and the first one's clock says when to save.
TEST_F(Ranks, NarrowAndLateGradientsGoOnWithTheSameBits) {
  const std::vector<Arguments> ways{
      {"--wire", "float16"},
      {"--double-buffering", "True"},
      {"--wire", "bfloat16", "--double-buffering", "True", "--communicator", "mpi"}};
  for (const Arguments& way : ways) {
    const std::string hash = RunWellOn(2, Train(way)).WeightsHash();
    const Arguments first = way + Arguments{"--iterations", "7", "--checkpoint-every", "0.000001s"};
    RunWellOn(2, Train(first, "job"));
    EXPECT_EQ(RunWellOn(2, Train(way, "job")).WeightsHash(), hash) << way[0];
    for (const int ranks : {1, 3}) {
      RunWellOn(ranks, Train(way + Arguments{"--epochs", std::to_string(ranks + 3)}, "job"));
    }
    ExpectJobFails(RunOn(2, Train({}, "job")), 76, way[0] + " ");
    std::filesystem::remove_all(Dir("job"));
  }
}

// 9 MB of gradients: ranks that share memory update from each other's parts of their sums. A sum of
// two has the same bits however it is made.
TEST_F(Ranks, SumsInPartsGiveTheBitsOfWholeOnes) {
  const auto job = [&](const std::string& iterations, const std::string& directory) {
    Arguments arguments{"train",    "--train",      Dir("train"), "--model",
                        "mlp",      "--hidden",     "1500,1500",  "--classes",
                        "7",        "--threads",    "1",          "--iterations",
                        iterations, "--batch-size", "16",         "--seed",
                        "3",        "--model-dir",  Dir("model")};
    if (!directory.empty()) {
      arguments =
          arguments + Arguments{"--checkpoint-dir", Dir(directory), "--checkpoint-every", "2"};
    }
    return arguments;
  };
  const Arguments by_mpi{"--communicator", "mpi"};
  const std::string whole = RunWellOn(2, job("8", "") + by_mpi).WeightsHash();
  EXPECT_NE(whole, RunWellOn(2, job("7", "") + by_mpi).WeightsHash());
  EXPECT_EQ(RunWellOn(2, job("8", "")).WeightsHash(), whole);
  EXPECT_EQ(RunWellOn(2, job("8", "") + Arguments{"--bucket-bytes", "100000"}).WeightsHash(),
            whole);
  // A job that is broken off goes on, in parts and with whole sums.
  for (const Arguments& way : {Arguments{}, by_mpi}) {
    RunWellOn(2, job("5", "job"));
    EXPECT_EQ(RunWellOn(2, job("8", "job") + way).WeightsHash(), whole);
    std::filesystem::remove_all(Dir("job"));
  }
}

TEST_F(Ranks, NarrowAndLateGradientsAreSaidToBe) {
  const Outcome outcome =
      RunWellOn(2, Train({"--allreduce-grad-dtype", "float16", "--double-buffering", "True"}));
  EXPECT_THAT(outcome.out, HasSubstr("# gradients travel as float16, with error feedback\n"));
  EXPECT_THAT(outcome.out, HasSubstr("# double buffering: gradients are used one step late\n"));
  EXPECT_THAT(ReadFile(Dir("out/log")), HasSubstr("\"gradient_delay\": 1,"));
  const std::string card = ReadFile(Dir("model/model.json"));
  EXPECT_THAT(card, HasSubstr("\"wire\": \"float16\""));
  EXPECT_THAT(card, HasSubstr("\"gradient_delay\": 1"));
  EXPECT_THAT(RunWell({"inspect", Dir("model")}).out,
              HasSubstr("fast, gradients travelled as float16, gradients 1 step late\n"));
  EXPECT_THAT(RunWellOn(2, Train({"--dtype", "float16", "--wire", "bfloat16"})).out,
              HasSubstr("# gradients travel as bfloat16, without error feedback\n"));
}

// In training batches have statistics of their own: only what is kept for later differs.
TEST_F(Ranks, StatisticsThatAreNotAveragedAreThoseOfTheFirst) {
  RunWellOn(2, Train());
  const NpzReader averaged(Dir("model/model.npz"));
  const std::vector<std::string> losses = InLog(ReadFile(Dir("out/log")), "validation/main/loss");
  RunWellOn(2, Train({"--average-statistics", "False", "--model-dir", Dir("own")}));
  const NpzReader own(Dir("own/model.npz"));
  ASSERT_EQ(own.names(), averaged.names());
  int statistics = 0;
  for (const std::string& name : own.names()) {
    const Tensor a = averaged.Read(name), b = own.Read(name);
    ASSERT_EQ(a.bytes(), b.bytes());
    const bool same = std::memcmp(a.data(), b.data(), a.bytes()) == 0;
    const bool statistic =
        name.find("/avg_mean") != name.npos || name.find("/avg_var") != name.npos;
    EXPECT_EQ(same, !statistic) << name;
    statistics += statistic;
  }
  EXPECT_GT(statistics, 0);
  // Each looks at its samples with its own.
  const std::vector<std::string> own_losses =
      InLog(ReadFile(Dir("out/log")), "validation/main/loss");
  ASSERT_EQ(own_losses.size(), losses.size());
  EXPECT_NE(own_losses, losses);
  RunWell({"predict", "--model-dir", Dir("own"), "--channel", Dir("test"), "--threads", "1"});
}

TEST_F(Ranks, NarrowGradientsWithoutFeedbackAreOthers) {
  const Arguments narrow{"--wire", "bfloat16"}, without{"--error-feedback", "False"};
  const std::string hash = RunWellOn(2, Train(narrow)).WeightsHash();
  const Outcome outcome = RunWellOn(2, Train(narrow + without, "job"));
  EXPECT_NE(outcome.WeightsHash(), hash);
  EXPECT_THAT(outcome.out, HasSubstr("# gradients travel as bfloat16, without error feedback\n"));
  EXPECT_THAT(InLog(ReadFile(Dir("jobout/log")), "validation/main/accuracy"), testing::SizeIs(2));
  RunWell({"predict", "--model-dir", Dir("jobmodel"), "--channel", Dir("test"), "--threads", "1"});
  ExpectJobFails(RunOn(2, Train(narrow, "job")), 76, "--error-feedback ");
  // Of gradients that travel as they are nothing is lost.
  EXPECT_EQ(RunWellOn(2, Train(without)).WeightsHash(), RunWellOn(2, Train()).WeightsHash());
}

TEST_F(Ranks, WhatDiffersBetweenThemIsNamedBeforeTheFirstStep) {
  const auto refuse = [&](const std::string& change, const std::string& text,
                          const Arguments& more = {}, int ranks = 2) {
    ExpectRefusedAtTheStart(more, Wrapped(ranks, change), 76, text);
  };
  refuse("--learning-rate 0.125",
         "the ranks do not train the same: --learning-rate is 0.05 on rank 0, 0.125 on rank 1; "
         "start all of them with the same",
         {}, 3);
  const Outcome two = RunProgram(Train(), Wrapped(2, "--seed 7 --width 0.125"));
  ExpectJobFails(two, 76, "--width is ");
  ExpectJobFails(two, 76, "--seed is 0 on rank 0, 7 on rank 1");
  refuse("--train " + Channel("other", Pictures(70, 2)), "the training data is ");
  refuse("--bucket-bytes 2048", "--bucket-bytes is ");
  refuse("--optimizer adam", "--optimizer is momentum on rank 0, adam on rank 1");
  refuse("--communicator mpi", "ranks 0 and 1 ask for different communicators");
  const Arguments mpi{"--communicator", "mpi"};
  refuse("--data sharded", "--data is replicated on rank 0, sharded on rank 1", mpi);
  refuse("--checkpoint-every 5", "--checkpoint-every is 1 on rank 0, 5 on rank 1", mpi);
  refuse("--monitor-mode min", "--monitor-mode is auto on rank 0, min on rank 1", mpi);
  const Arguments sharded = {"--train", Dir("train"),  "--data",
                             "sharded", "--model-dir", Dir("model")};
  ExpectJobFails(RunProgram(TrainWithoutChannels(sharded), Wrapped(2, "--test " + Dir("test"))), 76,
                 "--test is not given on rank 0, given on rank 1");
  EXPECT_EQ(RunProgram(Train(), Wrapped(2, "--threads 2")).code, 0);
  RunWell(Train());
  const std::string start = Dir("model/model.npz");
  refuse("--init-from " + start, "the weights to start from is ");
  RunWellOn(2, Train({"--init-from", start}));
}

// Whatever changes what is trained, or in which collectives ranks meet, some at a time.
TEST_F(Ranks, EveryOptionThatMattersIsCompared) {
  const std::vector<std::string> changes{
      "--accumulate 2 --iterations 3 --check-every 3 --checkpoint-every 5 --epochs 5 "
      "--batch-size 20 --weight-decay 0.25 --momentum 0.5",
      "--average-statistics False --sync-batch-norm True --gradient-clipping 2 --warm-up 2 "
      "--pad 2 --flip False --random-crop False --shuffle False",
      "--wire float16 --double-buffering True --dtype bfloat16 --exact-math True --classes 9 "
      "--early-stopping 3 --monitor-mode max --scale 2 --resume False"};
  for (const std::string& change : changes) {
    const Outcome outcome = RunProgram(Train(), Wrapped(2, change));
    std::istringstream words(change);
    for (std::string option, value; words >> option >> value;) {
      ExpectJobFails(outcome, 76, option + " is ");
    }
  }
}

TEST_F(Ranks, OthersThanTheFirstKeepALogOfTheirOwn) {
  RunWellOn(3, Train({"--checkpoint-dir", Dir("job")}));
  const std::string second = ReadFile(Dir("out/log-rank-1.txt"));
  EXPECT_THAT(second, testing::StartsWith("# rank 1 of 3 at "));
  EXPECT_THAT(second, HasSubstr(", process "));
  EXPECT_THAT(second, HasSubstr("# device: cpu"));
  EXPECT_THAT(second, HasSubstr("epoch       main/loss"));
  EXPECT_THAT(second, HasSubstr("\nrank 0 has saved the model\n"));
  EXPECT_THAT(second, Not(HasSubstr("no --checkpoint-dir")));
  EXPECT_TRUE(Exists("out/log-rank-2.txt"));
  EXPECT_FALSE(Exists("out/log-rank-0.txt"));
  // A mistake of one alone, and what it means for the others, are in theirs.
  ExpectJobFails(RunProgram(Train(), Wrapped(3, "--train " + Dir("nowhere"))), 66, "rank 1: ");
  for (const char* file : {"out/log-rank-1.txt", "out/log-rank-2.txt"}) {
    EXPECT_THAT(ReadFile(Dir(file)), HasSubstr("\nlockstep: rank 1: ")) << file;
    EXPECT_THAT(ReadFile(Dir(file)), HasSubstr("nowhere")) << file;
  }
}

// At a learning rate of nothing the validation loss stays what it is, to the bit.
TEST_F(Ranks, StopEarlyTogetherAndStayStopped) {
  const Arguments still = {"--learning-rate",   "1e-30",      "--model",          "mlp",
                           "--hidden",          "9,8",        "--classes",        "7",
                           "--train",           Dir("train"), "--test",           Dir("test"),
                           "--batch-size",      "16",         "--threads",        "1",
                           "--epochs",          "30",         "--model-dir",      Dir("model"),
                           "--output-data-dir", Dir("out"),   "--checkpoint-dir", Dir("job"),
                           "--patience",        "3",          "--monitor",        "val_loss"};
  const Arguments job = Arguments{"train"} + still;
  for (const int ranks : {1, 2}) {
    std::filesystem::remove_all(Dir("job"));
    const Outcome outcome = RunOn(ranks, job);
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    EXPECT_THAT(outcome.out, HasSubstr("stopped early: validation/main/loss was no better than "));
    EXPECT_THAT(outcome.out, HasSubstr(" of epoch 1 for 3 epochs\n"));
    const Outcome again = RunOn(3 - ranks, job);
    EXPECT_EQ(again.code, 0) << again.err;
    EXPECT_THAT(again.out, HasSubstr("at iteration 20\n"));  // 4 epochs of 5 batches
    EXPECT_THAT(again.out, HasSubstr("stopped early: "));
    EXPECT_EQ(again.WeightsHash(), outcome.WeightsHash());
  }
  ExpectRefusal(Run(With(job, "--monitor", "val_rmse")), 64,
                {"--monitor", "val_rmse", "validation/main/accuracy"});
}

TEST_F(Ranks, WhatFailsOnOneEndsAll) {
  ExpectJobFails(RunProgram(Train(), Wrapped(3, "--train " + Dir("nowhere"))), 66, "rank 1: ");
  EXPECT_FALSE(Exists("model/model.npz"));
  ExpectJobFails(RunOn(2, Train({"--freeze", "nonsense"})), 64, "nonsense");
  ExpectJobFails(RunProgram(Train(), Wrapped(2, "--init-from " + Dir("no.npz"))), 66, "rank 1: ");
  const Arguments labels = {"--train", Channel("bad", [] {
                              Arrays arrays = Pictures(70);
                              arrays["labels"].values<int32_t>()[3] = 99;
                              return arrays;
                            }())};
  ExpectJobFails(RunOn(2, With(Train(), "--train", labels[1])), 65, "99");
}

// The code of the rank that failed is that of the job, and its words are said once.
TEST_F(Ranks, ADiskThatIsFullAtTheFirstIsTheirAnswer) {
  if (!CanMount()) GTEST_SKIP() << "no mount namespaces here";
  for (int run = 0; run < 3; ++run) {
    std::filesystem::create_directories(Dir("job"));
    ProgramSetting setting = Under(Setting(), 3);
    // Room for one checkpoint.
    const std::string mount = "mount -t tmpfs -o size=600k none " + Dir("job") + " && exec \"$@\"";
    setting.launcher.insert(setting.launcher.begin(),
                            {"/usr/bin/unshare", "-m", "/bin/sh", "-c", mount, "sh"});
    const Outcome outcome = RunProgram(Train({"--checkpoint-every", "1"}, "job"), setting);
    ExpectJobFails(outcome, 74, "No space left");
    EXPECT_THAT(outcome.err, HasSubstr("lockstep: rank 0: "));
    const size_t first = outcome.err.find("lockstep: ");
    EXPECT_EQ(first, outcome.err.rfind("lockstep: ")) << outcome.err;
    EXPECT_TRUE(Exists("jobmodel/model.npz"));  // saved while the others wait
  }
}

TEST_F(Ranks, WhatAllOfThemWouldSayIsSaidOnce) {
  const Outcome outcome = RunOn(3, Train({"--bucket-bytes", "1"}));
  ExpectJobFails(outcome, 64, "--bucket-bytes 1: wants 0 (all at once) or 1024 and more");
  EXPECT_EQ(Count(outcome.err, "lockstep: "), 1) << outcome.err;
  EXPECT_EQ(Count(RunWellOn(3, {"train", "--help"}).out, "Usage: "), 1);
  EXPECT_EQ(Count(RunWellOn(3, {"bench", "train", "--help"}).out, "Usage: "), 1);
  // What only another one has to say is said, too.
  ExpectJobFails(RunProgram(Train({"--communicator", "shm"}), Wrapped(2, "--epochs none")), 64,
                 "--epochs");
}

TEST_F(Ranks, ABenchSaysOnceWhatIsWrongWithItsOptions) {
  for (const Arguments& wrong :
       {Arguments{"train", "--steps", "none"}, Arguments{"train", "--model", "pigeon"},
        Arguments{"allreduce", "--megabytes", "0"}}) {
    const Outcome outcome = RunOn(3, Arguments{"bench"} + wrong);
    ExpectJobFails(outcome, 64, wrong.back());
    const size_t first = outcome.err.find("lockstep: ");
    EXPECT_EQ(first, outcome.err.rfind("lockstep: ")) << outcome.err;
  }
}

TEST_F(Ranks, ABenchOfSumsNamesWhatItMeasures) {
  const Arguments bench{"bench", "allreduce", "--megabytes", "0.1", "--rounds", "1"};
  EXPECT_THAT(RunWellOn(2, bench).out, HasSubstr("2 ranks, shm, float32 sums, "));
  EXPECT_THAT(RunWellOn(2, bench + Arguments{"--communicator", "mpi"}).out,
              HasSubstr("2 ranks, mpi, float32 sums, "));
  ExpectJobFails(RunOn(2, bench + Arguments{"--communicator", "pigeon"}), 64, "pigeon");
}

TEST_F(Ranks, ABenchNamesItsProcesses) {
  const Arguments bench{"bench", "train", "--model", "dnn", "--steps", "2", "--threads", "1"};
  EXPECT_THAT(RunWellOn(2, bench).out, HasSubstr(", 2 processes of 1 thread\n"));
  RunWellOn(
      2, bench + Arguments{"--wire", "float16", "--double-buffering", "True", "--accumulate", "2"});
  EXPECT_THAT(RunWellOn(2, bench + Arguments{"--json", "True"}).out,
              HasSubstr("\"processes\": 2, \"threads\": 1,"));
}

TEST_F(Ranks, NeedSomethingToDo) {
  ExpectRefusedAtTheStart({"--batch-size", "2"}, Under(Setting(), 3), 64,
                          "3 processes for a batch of 2: some would have nothing to do");
  const Arguments lanes{"--reproducible", "True", "--lanes", "4"};
  ExpectRefusedAtTheStart(
      lanes + Arguments{"--lane-norm", "lane"}, Under(Setting(), 3), 64,
      "3 processes for a batch of 16, which runs as 2 lanes: some would have nothing to "
      "do; start fewer or raise --batch-size");
  ExpectRefusedAtTheStart(lanes, Under(Setting(), 5), 64, "start fewer or raise --lanes");
}

// A signal to any one of them is a signal to the job.
TEST_F(Ranks, TermToOneStopsAllAfterTheSameStep) {
  const std::string hash = RunWell(Reproducible("whole", {"--epochs", "3"})).WeightsHash();
  const Arguments job = With(Reproducible("job", {"--checkpoint-every", "1"}), "--epochs", "3");
  for (const int rank : {0, 1}) {
    Program program(job, Wrapped(2));
    ASSERT_TRUE(program.WaitUntil([&] { return HasCheckpoint("job", 2); }));
    ::kill(PidOf(rank), SIGTERM);
    const Outcome stopped = program.Wait();
    EXPECT_EQ(stopped.code, 0) << stopped.out << stopped.err;
    EXPECT_THAT(stopped.out, HasSubstr(rank == 0 ? "stopped by SIGTERM at iteration"
                                                 : "stopped by a signal to another process"));
    EXPECT_EQ(RunWellOn(3, job).WeightsHash(), hash);
    std::filesystem::remove_all(Dir("job"));
  }
}

// Each hears of it by itself, hardly at the same step, and only that makes a checkpoint.
class TermToAllRanks : public Ranks {
 protected:
  void ExpectOneLastStep(const Arguments& job, const ProgramSetting& setting) {
    const auto with_40_epochs = [&](const std::string& name) {
      return With(Reproducible(name, {"--checkpoint-every", "1000000"}), "--epochs", "40");
    };
    const std::string hash = RunWell(with_40_epochs("whole")).WeightsHash();
    Program program(with_40_epochs("job") + job, setting);
    ASSERT_TRUE(program.WaitUntil([&] { return Exists("jobout/log"); }));
    const std::vector<pid_t> pids = Pids(3);
    for (const pid_t pid : pids) ::kill(pid, SIGTERM);
    const Outcome stopped = program.Wait();
    EXPECT_EQ(stopped.code, 0) << stopped.out << stopped.err;
    EXPECT_EQ(stopped.err, "");
    ExpectGone(pids);
    const int64_t step = NewestOf("job");
    EXPECT_GE(step, 5);
    EXPECT_LT(step, 200);
    for (const std::string& said : {stopped.out, ReadFile(Dir("jobout/log-rank-1.txt")),
                                    ReadFile(Dir("jobout/log-rank-2.txt"))}) {
      EXPECT_THAT(said, testing::ContainsRegex("stopped by .* at iteration " +
                                               std::to_string(step) + "[;,]"));
    }
    EXPECT_EQ(RunWellOn(2, with_40_epochs("job")).WeightsHash(), hash);
  }
};

TEST_F(TermToAllRanks, StopsThemAfterTheSameStep) { ExpectOneLastStep({}, Wrapped(3)); }

TEST_F(TermToAllRanks, StopsThoseOfOurOwnLauncherToo) {
  ExpectOneLastStep({"--ranks", "3"}, OwnWrapped());
}

// `lockstep train --ranks N` starts mpirun itself.
class OwnRanks : public Ranks {
 protected:
  static Arguments On(int ranks, const Arguments& job) {
    return job + Arguments{"--ranks", std::to_string(ranks)};
  }
};

TEST_F(OwnRanks, GiveTheSameBits) {
  const std::string hash = RunWell(Reproducible()).WeightsHash();
  for (const int ranks : {1, 2, 4}) {
    const Outcome outcome = RunWell(On(ranks, Reproducible()));
    EXPECT_EQ(outcome.WeightsHash(), hash) << ranks;
  }
  // Where a launcher has started as many, these are the ones.
  EXPECT_EQ(RunWellOn(2, On(2, Reproducible())).WeightsHash(), hash);
  ExpectJobFails(RunOn(2, On(3, Reproducible())), 64, "--ranks 3, but a launcher has started 2");
}

TEST_F(OwnRanks, FailuresAreOneLineAndTheirOwnCode) {
  ExpectRefusal(Run(On(3, With(Train(), "--batch-size", "2"))), 64,
                {"3 processes for a batch of 2"});
  ExpectRefusal(Run(On(2, With(Train(), "--train", Dir("nowhere")))), 66, {"nowhere"});
  ExpectRefusal(Run(On(2, Train()), {{"PATH", "/nowhere"}}), 78, {"--ranks 2", "openmpi-bin"});
}

// The signal goes to the program that was started, which owns the grace and the exit code.
TEST_F(OwnRanks, TermSavesAndEndsWellAndTheJobGoesOnWithOtherRanks) {
  const std::string hash = RunWell(Reproducible("whole", {"--epochs", "3"})).WeightsHash();
  const Arguments job = Reproducible("job", {"--checkpoint-every", "1", "--epochs", "3"});
  for (const int signal : {SIGTERM, SIGINT}) {
    Program program(On(2, job), Setting());
    ASSERT_TRUE(program.WaitUntil([&] { return HasCheckpoint("job", 2); }));
    program.Signal(signal);
    const Outcome stopped = program.Wait();
    EXPECT_EQ(stopped.code, 0) << stopped.out << stopped.err;
    EXPECT_EQ(stopped.err, "");
    EXPECT_THAT(stopped.out, HasSubstr("stopped by mpirun, which passed on SIGUSR1 at iteration"));
    EXPECT_EQ(RunWell(On(3, job)).WeightsHash(), hash);
    std::filesystem::remove_all(Dir("job"));
  }
}

// As systemd's reach every process of a job: mpirun then passes one on that each has already, and
// its own exit code says nothing of what was saved.
TEST_F(OwnRanks, TermToTheMpirunBelowSavesAndEndsWellToo) {
  const auto with_40_epochs = [&](const std::string& name) {
    return With(Reproducible(name, {"--checkpoint-every", "1"}), "--epochs", "40");
  };
  const std::string hash = RunWell(with_40_epochs("whole")).WeightsHash();
  for (const bool all : {false, true}) {
    SCOPED_TRACE(all);
    Program program(On(2, with_40_epochs("job")), OwnWrapped());
    ASSERT_TRUE(program.WaitUntil([&] { return HasCheckpoint("job", 2); }));
    std::vector<pid_t> pids = ChildrenOf(program.pid());
    ASSERT_EQ(pids.size(), 1U);
    if (all) pids.insert(pids.end(), {PidOf(0), PidOf(1), program.pid()});
    for (const pid_t pid : pids) ::kill(pid, SIGTERM);
    const Outcome stopped = program.Wait();
    EXPECT_EQ(stopped.code, 0) << stopped.out << stopped.err;
    EXPECT_EQ(stopped.err, "");
    EXPECT_THAT(stopped.out, HasSubstr("stopped by "));
    EXPECT_EQ(RunWell(On(3, with_40_epochs("job"))).WeightsHash(), hash);
    std::filesystem::remove_all(Dir("job"));
  }
}

TEST_F(OwnRanks, EndWithTheProgramThatStartedThem) {
  Program program(On(3, With(Train({"--checkpoint-every", "1"}, "job"), "--epochs", "100000")),
                  OwnWrapped());
  ASSERT_TRUE(program.WaitUntil([&] { return HasCheckpoint("job", 2); }));
  const std::vector<pid_t> pids = Pids(3);
  program.Signal(SIGKILL);
  EXPECT_EQ(program.Wait().signal, SIGKILL);
  ExpectGone(pids, 5.0);
  // And the lock on the directory is free.
  RunWell(With(Train({}, "job"), "--epochs", "1"));
}

}  // namespace
}  // namespace lockstep::tools
