#include "data/input_file.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include "data/channel.h"
#include "data/run_threads.h"
#include "tests/data/expect_error.h"
#include "tests/temporary_directory.h"

namespace lockstep {
namespace {

TEST(InputFile, OnlyOrdinaryFilesAreRead) {
  TemporaryDirectory dir;
  const std::string pipe = dir / "pipe";
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  const auto refuse = [](const std::string& path, const std::string& why) {
    ExpectError(ExitCode::kNoInput, {path, why}, [&] { InputFile::Open(path); });
  };
  refuse(dir.path(), "a directory, not an ordinary file");
  refuse(pipe, "a named pipe");
  refuse("/dev/zero", "a device");
  refuse("/proc/self/mem", "a file of the kernel");
  refuse("/proc/self/maps", "a file of the kernel");
  refuse(dir / "missing", "No such file or directory; name one that exists");
  ExpectError(ExitCode::kNoInput, {"a named pipe"},
              [&] { LoadChannel(dir.path(), {.file = "pipe"}); });
}

TEST(InputFile, ReadsOutsideAreFormatErrors) {
  TemporaryDirectory dir;
  const InputFile file = InputFile::Open(dir.Write("f", std::string_view("abcdef")));
  EXPECT_EQ(file.Read(2, 3).data()[0], 'c');
  EXPECT_EQ(file.Read(6, 0).size(), 0U);
  for (const auto& [offset, size] : {std::pair<uint64_t, uint64_t>{0, 7},
                                     {7, 0},
                                     {6, 1},
                                     {1, ~uint64_t{0}},
                                     {~uint64_t{0}, 2}}) {
    ExpectError(ExitCode::kBadData, {"the file has 6; fetch or write the file again"},
                [&, offset = offset, size = size] { file.Read(offset, size); });
  }
}

TEST(InputFile, ShrinkingIsAnIoErrorAndNotASignal) {
  TemporaryDirectory dir;
  const std::string path = dir.Write("f", std::string(100000, 'x'));
  const InputFile file = InputFile::Open(path);
  std::filesystem::resize_file(path, 10);
  ExpectError(ExitCode::kIo, {path, "became shorter", "; start again when it is whole"},
              [&] { file.ReadAll(); });
}

TEST(RunThreads, LowestFailureIsThrownWhateverTheThreads) {
  for (const int threads : {0, 1, 2, 5}) {
    std::vector<int> done(20);
    try {
      RunThreads(20, threads, [&](size_t i) {
        if (i == 7 || i == 13) throw std::runtime_error(std::to_string(i));
        done[i] = 1;
      });
      ADD_FAILURE();
    } catch (const std::runtime_error& error) {
      EXPECT_STREQ(error.what(), "7");
    }
    EXPECT_EQ(std::count(done.begin(), done.begin() + 7, 1), 7);
  }
  RunThreads(0, 2, [](size_t) { FAIL(); });
}

TEST(Printable, HidesNothingAndBreaksNoLine) {
  EXPECT_EQ(Printable("a\n\x1B\xFF"), "a\\x0a\\x1b\\xff");
  EXPECT_EQ(Printable(std::string(1000, 'a') + "z", 10), "aaaaa...aaaaz");
}

}  // namespace
}  // namespace lockstep
