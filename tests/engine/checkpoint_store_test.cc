#include "engine/train/checkpoint_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "engine/train/checkpoint_file.h"
#include "engine/train/crc32c.h"
#include "engine/train/publish.h"
#include "kernels/error.h"
#include "tests/temporary_directory.h"

namespace lockstep {
namespace {

namespace fs = std::filesystem;

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

CheckpointContents StateOf(int64_t iteration) {
  CheckpointContents state;
  state.tensors["W"] = Tensor(DType::kFloat32, {3, 7});
  for (float& value : state.tensors["W"].values<float>()) value = static_cast<float>(iteration);
  state.values["epoch"] = iteration / 10;
  return state;
}

CheckpointTag TagOf(int64_t iteration, bool pinned = false) {
  return {iteration, 2, "config-1", "build 7", pinned};
}

class CheckpointStoreTest : public ::testing::Test {
 protected:
  CheckpointStore Open(int keep = 2) { return CheckpointStore(dir_.path(), {keep, warn()}); }
  WarnFunction warn() {
    return [this](const std::string& line) { warnings_.push_back(line); };
  }
  void Save(std::initializer_list<int64_t> iterations, int keep = 2) {
    CheckpointStore store = Open(keep);
    for (const int64_t i : iterations) store.Save(StateOf(i), TagOf(i));
  }
  // The iteration that loads, checked against what was saved under it; -1 for none.
  int64_t Newest() {
    const auto loaded = LoadNewestCheckpoint(dir_.path(), warn());
    if (!loaded) return -1;
    const int64_t iteration = loaded->tag.iteration;
    EXPECT_EQ(loaded->tag, TagOf(iteration, loaded->tag.pinned));
    EXPECT_EQ(loaded->contents.values, StateOf(iteration).values);
    EXPECT_EQ(loaded->contents.tensors.at("W").values<float>()[20], static_cast<float>(iteration));
    return iteration;
  }
  void Damage(const std::string& name) {
    std::string text = ReadFile(dir_ / name);
    text[text.size() / 2] = static_cast<char>(text[text.size() / 2] ^ 4);
    std::ofstream(dir_ / name, std::ios::binary) << text;
  }
  std::string FailureOfLoad() {
    try {
      LoadNewestCheckpoint(dir_.path(), warn());
    } catch (const FormatError& error) {
      EXPECT_EQ(error.code(), ExitCode::kBadData);
      EXPECT_LT(std::strlen(error.what()), 1024U);
      return error.what();
    }
    return "";
  }

  TemporaryDirectory dir_;
  std::vector<std::string> warnings_;
};

TEST_F(CheckpointStoreTest, NothingSavedIsNothingLoaded) {
  EXPECT_EQ(Newest(), -1);
  EXPECT_FALSE(LoadNewestCheckpoint(dir_ / "absent", warn()));
  EXPECT_FALSE(Open().LoadNewest());
  EXPECT_THAT(warnings_, IsEmpty());
}

TEST_F(CheckpointStoreTest, LoadsTheNewestAndKeepsItsPredecessor) {
  Save({10, 20, 30});
  EXPECT_EQ(Newest(), 30);
  EXPECT_THAT(dir_.Names(),
              ElementsAre("LOCK", "MANIFEST", "checkpoint_20.lsc", "checkpoint_30.lsc"));
  EXPECT_THAT(warnings_, IsEmpty());
}

TEST_F(CheckpointStoreTest, OrderIsByIterationNotByNameOrTime) {
  Save({9, 100}, 0);
  fs::last_write_time(dir_ / "checkpoint_9.lsc",
                      fs::file_time_type::clock::now() + std::chrono::hours(24));
  EXPECT_EQ(Newest(), 100);
}

TEST_F(CheckpointStoreTest, KeepsNOrAllAndThePinned) {
  Save({1, 2, 3, 4, 5}, 0);
  EXPECT_EQ(Open().entries().size(), 5U);
  {
    CheckpointStore store = Open(3);
    store.Save(StateOf(6), TagOf(6, true));
    for (int64_t i = 7; i < 12; ++i) store.Save(StateOf(i), TagOf(i));
  }
  EXPECT_THAT(dir_.Names(),
              ElementsAre("LOCK", "MANIFEST", "checkpoint_10.lsc", "checkpoint_11.lsc",
                          "checkpoint_6.lsc", "checkpoint_9.lsc"));
  EXPECT_TRUE(Open().entries().front().tag.pinned);
  Save({12}, 1);
  EXPECT_EQ(Open(1).entries().size(), 2U);
  EXPECT_THROW(Open(-1), ConfigError);
}

TEST_F(CheckpointStoreTest, ForeignFilesAreLeftAlone) {
  const std::vector<std::string> foreign = {"snapshot_iter_10",   "log",
                                            "checkpoint_x.lsc",   "checkpoint_1.lsc.bak",
                                            "checkpoint_-1.lsc",  "checkpoint_.lsc",
                                            "checkpoint_1-1.lsc", "checkpoint"};
  for (const std::string& name : foreign) std::ofstream(dir_ / name) << "mine";
  Save({1, 2, 3});
  for (const std::string& name : foreign) EXPECT_EQ(ReadFile(dir_ / name), "mine") << name;
  EXPECT_EQ(Newest(), 3);
}

TEST_F(CheckpointStoreTest, ADamagedNewestFallsBackAndSaysSoInOneLine) {
  Save({10, 20});
  Damage("checkpoint_20.lsc");
  EXPECT_EQ(Newest(), 10);
  ASSERT_EQ(warnings_.size(), 1U);
  EXPECT_THAT(warnings_[0], HasSubstr("checkpoint_20.lsc"));
  EXPECT_THAT(warnings_[0], HasSubstr("falling back to"));
  EXPECT_THAT(warnings_[0], HasSubstr("checkpoint_10.lsc (iteration 10)"));
  EXPECT_EQ(warnings_[0].find('\n'), std::string::npos);
}

TEST_F(CheckpointStoreTest, EveryCutAndFlippedByteOfTheNewestFallsBack) {
  Save({10, 20});
  const std::string good = ReadFile(dir_ / "checkpoint_20.lsc");
  for (size_t i = 0; i < good.size(); ++i) {
    std::ofstream(dir_ / "checkpoint_20.lsc", std::ios::binary) << good.substr(0, i);
    ASSERT_EQ(Newest(), 10) << i;
    std::string flipped = good;
    flipped[i] = static_cast<char>(flipped[i] ^ (1 << (i % 8)));
    std::ofstream(dir_ / "checkpoint_20.lsc", std::ios::binary) << flipped;
    ASSERT_EQ(Newest(), 10) << i;
  }
  EXPECT_EQ(warnings_.size(), 2 * good.size());
}

TEST_F(CheckpointStoreTest, AWholeFileThatTheManifestDoesNotMeanIsNotTaken) {
  Save({10, 20});
  WriteCheckpoint(dir_ / "checkpoint_20.lsc", StateOf(5));
  EXPECT_EQ(Newest(), 10);
}

TEST_F(CheckpointStoreTest, AStateOfAnotherIterationThanItsTagIsDamage) {
  CheckpointContents state = StateOf(20);
  state.values["trainer/iteration"] = int64_t{21};
  Open().Save(state, TagOf(20));
  EXPECT_THAT(FailureOfLoad(),
              HasSubstr("\"checkpoint/iteration\" is 20, but \"trainer/iteration\" is 21"));
}

TEST_F(CheckpointStoreTest, AllDamagedIs65AndNeverAFreshStart) {
  Save({10, 20});
  Damage("checkpoint_20.lsc");
  Damage("checkpoint_10.lsc");
  const std::string message = FailureOfLoad();
  EXPECT_THAT(message, HasSubstr("no checkpoint in"));
  EXPECT_THAT(message, HasSubstr("checkpoint_10.lsc"));
  EXPECT_THAT(message, HasSubstr("checkpoint_20.lsc"));
  fs::remove(dir_ / "MANIFEST");
  EXPECT_NE(FailureOfLoad(), "");
}

TEST_F(CheckpointStoreTest, ManyDamagedFilesStillMakeAShortMessage) {
  Save({1, 2, 3, 4, 5, 6, 7, 8, 9}, 0);
  for (int i = 1; i < 10; ++i) Damage("checkpoint_" + std::to_string(i) + ".lsc");
  EXPECT_THAT(FailureOfLoad(), HasSubstr("more"));
}

TEST_F(CheckpointStoreTest, TrainingGoesOnBehindADamagedNewest) {
  Save({10, 20});
  Damage("checkpoint_20.lsc");
  {
    CheckpointStore store = Open();
    EXPECT_EQ(store.LoadNewest()->tag.iteration, 10);
    store.Save(StateOf(15), TagOf(15));
    EXPECT_EQ(store.entries().size(), 2U);
  }
  EXPECT_EQ(Newest(), 15);
  {
    CheckpointStore store = Open();
    store.Save(StateOf(20), TagOf(20));
  }
  EXPECT_EQ(Newest(), 20);
}

TEST_F(CheckpointStoreTest, SavingAnIterationAgainNeverLosesIt) {
  Save({10, 20});
  {
    CheckpointStore store = Open();
    store.Save(StateOf(20), TagOf(20));
    EXPECT_EQ(store.entries().back().file, "checkpoint_20-2.lsc");
    EXPECT_EQ(store.entries().size(), 2U);
  }
  EXPECT_EQ(Newest(), 20);
}

TEST_F(CheckpointStoreTest, StatesAheadOfTheOneSavedGiveWay) {
  Save({10, 20, 30}, 0);
  Save({15}, 0);
  EXPECT_EQ(Newest(), 15);
  EXPECT_EQ(warnings_.size(), 2U);
  EXPECT_THAT(warnings_.front(), HasSubstr("checkpoint_20.lsc is ahead"));
}

TEST_F(CheckpointStoreTest, ALostOrDamagedManifestIsMadeAnewFromTheFiles) {
  Save({10, 20});
  Damage("MANIFEST");
  EXPECT_EQ(Newest(), 20);
  EXPECT_THAT(warnings_, ElementsAre(HasSubstr("MANIFEST")));
  fs::remove(dir_ / "MANIFEST");
  warnings_.clear();
  EXPECT_EQ(Newest(), 20);
  EXPECT_THAT(warnings_, IsEmpty());
  Save({30});
  EXPECT_EQ(Newest(), 30);
  EXPECT_THAT(dir_.Names(),
              ElementsAre("LOCK", "MANIFEST", "checkpoint_20.lsc", "checkpoint_30.lsc"));
}

TEST_F(CheckpointStoreTest, AListedCheckpointThatIsGoneIsNotAFreshStart) {
  Save({10});
  fs::remove(dir_ / "checkpoint_10.lsc");
  EXPECT_THAT(FailureOfLoad(), HasSubstr("checkpoint_10.lsc"));
}

TEST_F(CheckpointStoreTest, AFileThatWasNeverListedIsTheLastResort) {
  Save({10, 20});
  WriteCheckpoint(dir_ / "checkpoint_30.lsc", WithTag(StateOf(30), TagOf(30)));
  EXPECT_EQ(Newest(), 20);
  Damage("checkpoint_10.lsc");
  Damage("checkpoint_20.lsc");
  EXPECT_EQ(Newest(), 30);
  EXPECT_EQ(warnings_.size(), 1U);
}

TEST_F(CheckpointStoreTest, ANewerFormatIsRefusedInsteadOfPassedOver) {
  Save({10, 20});
  std::string text = ReadFile(dir_ / "checkpoint_20.lsc");
  uint64_t header = 0;
  std::memcpy(&header, text.data() + 24, sizeof(header));
  text[8] = 9;
  const uint32_t sum = Crc32c(std::as_bytes(std::span(text).first(header - 4)));
  std::memcpy(text.data() + header - 4, &sum, sizeof(sum));
  std::ofstream(dir_ / "checkpoint_20.lsc", std::ios::binary) << text;
  EXPECT_THAT(FailureOfLoad(), HasSubstr("written by version 9"));
}

// It may list the checkpoint: what cannot be read is no reason to remove anything.
TEST_F(CheckpointStoreTest, AManifestThatCannotBeReadCostsNoCheckpoint) {
  CheckpointStore store = Open();
  store.Save(StateOf(1), TagOf(1));
  fs::remove(dir_ / "MANIFEST");
  fs::create_directory(dir_ / "MANIFEST");
  EXPECT_THROW(store.Save(StateOf(2), TagOf(2)), IoError);
  EXPECT_TRUE(fs::exists(dir_ / "checkpoint_2.lsc"));
  EXPECT_TRUE(fs::exists(dir_ / "checkpoint_1.lsc"));
  fs::remove(dir_ / "MANIFEST");
  EXPECT_EQ(Newest(), 2);
}

TEST_F(CheckpointStoreTest, ACheckpointDeletedWhileRunningIsAWarning) {
  CheckpointStore store = Open();
  store.Save(StateOf(10), TagOf(10));
  store.Save(StateOf(20), TagOf(20));
  fs::remove(dir_ / "checkpoint_20.lsc");
  store.Save(StateOf(30), TagOf(30));
  EXPECT_THAT(warnings_, ElementsAre(HasSubstr("checkpoint_20.lsc is gone")));
  EXPECT_EQ(store.entries().size(), 2U);
  EXPECT_EQ(Newest(), 30);
}

TEST_F(CheckpointStoreTest, TheDirectoryDeletedWhileRunningIsAWarning) {
  const std::string path = dir_ / "a/b";
  CheckpointStore store(path, {2, warn()});
  store.Save(StateOf(10), TagOf(10));
  fs::remove_all(dir_ / "a");
  store.Save(StateOf(20), TagOf(20));
  EXPECT_EQ(warnings_.size(), 2U);
  EXPECT_EQ(LoadNewestCheckpoint(path, warn())->tag.iteration, 20);
  EXPECT_THROW(CheckpointStore(path, {2, warn()}), IoError);
}

TEST_F(CheckpointStoreTest, ASecondJobIsRefusedNamingTheFirst) {
  CheckpointStore store = Open();
  store.Save(StateOf(10), TagOf(10));
  std::array<int, 2> ends{};
  ASSERT_EQ(::pipe(ends.data()), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    try {
      CheckpointStore second(dir_.path(), {2, [](const std::string&) {}});
      ::_exit(0);
    } catch (const Error& error) {
      const std::string message = error.what();
      const ssize_t written = ::write(ends[1], message.data(), message.size());
      ::_exit(written < 0 ? 1 : static_cast<int>(error.code()));
    }
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  ASSERT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 73);
  std::array<char, 2000> text{};
  ASSERT_GT(::read(ends[0], text.data(), text.size() - 1), 0);
  std::array<char, 256> host{};
  ::gethostname(host.data(), host.size() - 1);
  EXPECT_THAT(std::string(text.data()),
              HasSubstr("in use by process " + std::to_string(::getpid()) + "@" + host.data()));
  ::close(ends[0]);
  ::close(ends[1]);
  EXPECT_EQ(Newest(), 10);  // reading needs no lock
}

TEST_F(CheckpointStoreTest, TheLockEndsWithItsHolder) {
  const pid_t child = ::fork();
  if (child == 0) {
    CheckpointStore store(dir_.path(), {2, [](const std::string&) {}});
    store.Save(StateOf(10), TagOf(10));
    ::kill(::getpid(), SIGKILL);
  }
  ::waitpid(child, nullptr, 0);
  EXPECT_EQ(Open().LoadNewest()->tag.iteration, 10);
}

TEST_F(CheckpointStoreTest, StaleTemporariesAreSweptAtStart) {
  const pid_t child = ::fork();
  if (child == 0) ::_exit(0);
  ::waitpid(child, nullptr, 0);
  for (int i = 0; i < 100; ++i) {
    std::ofstream(dir_ / (std::to_string(i) + ".tmp-" + std::to_string(child))) << "x";
  }
  Open();
  EXPECT_THAT(dir_.Names(), ElementsAre("LOCK"));
}

}  // namespace
}  // namespace lockstep
