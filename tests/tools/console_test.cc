#include "tools/console.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <pty.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <thread>

#include "tests/tools/terminal.h"
#include "tools/signals.h"

namespace lockstep::tools {
namespace {

TEST(ConsoleTest, TextArrivesAtOnce) {
  Pipe pipe;
  Console console(pipe.writer());
  console.Write("a line\n");
  EXPECT_EQ(pipe.Read(), "a line\n");
  EXPECT_FALSE(console.is_terminal());
  EXPECT_EQ(console.columns(), 80);
}

TEST(ConsoleTest, ABoundIsKeptAndSaidOnce) {
  Pipe pipe;
  Console console(pipe.writer(), Console::Kind::kNoTerminal, 10);
  for (const char* text : {"12345\n", "too long\n", "7\n"}) console.Write(text);
  EXPECT_EQ(pipe.Read(), "12345\n# what follows is left out\n");
}

TEST(ConsoleTest, AGoneReaderEndsOutputAndNothingElse) {
  const StopSignals signals;
  Pipe pipe;
  Console console(pipe.writer());
  console.Write("first\n");
  EXPECT_FALSE(console.broken());
  pipe.CloseReader();
  console.Write("second\n");
  EXPECT_TRUE(console.broken());
  console.Write("third\n");
  EXPECT_FALSE(signals.requested());
}

TEST(ConsoleTest, AFullDiskEndsOutputAndNothingElse) {
  const int full = ::open("/dev/full", O_WRONLY);
  ASSERT_GE(full, 0);
  Console console(full);
  console.Write("text\n");
  EXPECT_TRUE(console.broken());
  ::close(full);
}

TEST(ConsoleTest, AClosedDescriptorEndsOutputAndNothingElse) {
  Console console(-1);
  console.Write("text\n");
  EXPECT_TRUE(console.broken());
}

TEST(ConsoleTest, ANonBlockingPipeLosesNothing) {
  Pipe pipe;
  ::fcntl(pipe.writer(), F_SETFL, O_NONBLOCK);
  const std::string text(1'000'000, 'x');
  std::string got;
  std::thread reader([&] {
    while (got.size() < text.size()) got += pipe.Read();
  });
  Console console(pipe.writer());
  console.Write(text);
  reader.join();
  EXPECT_EQ(got, text);
  EXPECT_FALSE(console.broken());
}

TEST(ConsoleTest, AStatusLineIsForTerminalsOnly) {
  Pipe pipe;
  Console console(pipe.writer());
  console.Status("status");
  console.Write("line\n");
  EXPECT_EQ(pipe.Read(), "line\n");
}

TEST(ConsoleTest, TextTakesTheStatusLinesPlace) {
  Terminal terminal(40);
  Console console(terminal.fd());
  EXPECT_TRUE(console.is_terminal());
  EXPECT_EQ(console.columns(), 40);
  console.Status("working");
  console.Write("row\n");
  console.Status("more");
  console.Status("");
  console.Status("");
  EXPECT_EQ(terminal.Read(), "\r\033[Jworking\r\033[Jrow\r\n\r\033[Jmore\r\033[J");
}

TEST(ConsoleTest, TheStatusLineNeverWraps) {
  Terminal terminal(10);
  Console console(terminal.fd());
  console.Status("0123456789");
  EXPECT_EQ(terminal.Read(), "\r\033[J012345678");
  console.Status(
      "\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc");
  EXPECT_EQ(terminal.Read(),
            "\r\033[J\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc");
}

TEST(EnsureStandardDescriptorsTest, AModelNeverBecomesStandardOutput) {
  const pid_t child = ::fork();
  if (child == 0) {
    ::close(0);
    ::close(1);
    ::close(2);
    EnsureStandardDescriptors();
    ::_exit(::open("/dev/null", O_RDONLY) > 2 ? 0 : 1);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  EXPECT_EQ(status, 0);
}

}  // namespace
}  // namespace lockstep::tools
