#include "comm/liveness/heartbeat.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <string>
#include <thread>

#include "comm/thread/thread_communicator.h"
#include "kernels/error.h"
#include "tests/comm/liveness/star_ranks.h"

namespace lockstep::liveness {
namespace {

using std::chrono::milliseconds;
using testing::HasSubstr;

// Keeps puppets alive from a thread.
class Pulse {
 public:
  explicit Pulse(std::vector<const Puppet*> puppets)
      : thread_([this, all = std::move(puppets)] {
          while (!stop_) {
            for (const Puppet* puppet : all) puppet->Beat();
            std::this_thread::sleep_for(milliseconds(20));
          }
        }) {}
  ~Pulse() {
    stop_ = true;
    thread_.join();
  }
  Pulse(const Pulse&) = delete;
  Pulse& operator=(const Pulse&) = delete;

 private:
  std::atomic<bool> stop_ = false;
  std::thread thread_;
};

std::string HelloBytes(int sender, const Token& token) {
  Frame frame;
  frame.type = FrameType::kHello;
  frame.sender = sender;
  frame.token = token;
  const std::vector<std::byte> bytes = Encode(frame);
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

void ExpectLost(RealRank& rank, int lost, RankLost::How how, bool told) {
  const auto end = rank.WaitForEnd(kSoon);
  ASSERT_TRUE(end);
  EXPECT_EQ(end->rank, lost) << end->line;
  EXPECT_EQ(end->how, how) << end->line;
  EXPECT_EQ(end->told, told) << end->line;
  EXPECT_EQ(rank.said(), told ? 0 : 1);
}

TEST(Heartbeat, RanksThatLeaveMissNobody) {
  StarRanks ranks(4, {}, {.options = Quick()});
  for (auto& [rank, real] : ranks.real) {
    real->heartbeat().Leave();
    real->heartbeat().Leave();
    std::this_thread::sleep_for(milliseconds(50));
  }
  for (auto& [rank, real] : ranks.real) {
    EXPECT_FALSE(real->WaitForEnd(milliseconds(1)));
    EXPECT_EQ(real->said(), 0);
  }
}

TEST(Heartbeat, WhoHasLeftIsNotMissedHoweverLongOthersStay) {
  StarRanks ranks(3, {}, {.options = Quick()});
  ranks.real[2]->heartbeat().Leave();
  EXPECT_FALSE(ranks.real[0]->WaitForEnd(2 * Quick().silence));
  EXPECT_FALSE(ranks.real[1]->WaitForEnd(milliseconds(1)));
}

// Of this process, that have SIGTERM blocked (proc(5), SigBlk).
int ThreadsWithoutSignals() {
  int blocked = 0;
  for (const auto& task : std::filesystem::directory_iterator("/proc/self/task")) {
    std::ifstream status(task.path() / "status");
    for (std::string line; std::getline(status, line);) {
      if (!line.starts_with("SigBlk:")) continue;
      if ((std::stoull(line.substr(7), nullptr, 16) >> (SIGTERM - 1)) % 2 != 0) ++blocked;
    }
  }
  return blocked;
}

// A handler that runs on a heartbeat's thread would keep it from what others wait for.
TEST(Heartbeat, SignalsAreForOtherThreads) {
  const int before = ThreadsWithoutSignals();
  const StarRanks ranks(2, {}, {.options = Quick()});
  EXPECT_EQ(ThreadsWithoutSignals(), before + 2);
}

TEST(Heartbeat, WhoDiesIsNamedByRankZeroAndTheOthersAreTold) {
  StarRanks ranks(4, {2}, {.options = Quick()});
  ranks.puppet[2]->Beat();
  std::this_thread::sleep_for(milliseconds(100));
  ranks.puppet[2]->CloseAll();
  ExpectLost(*ranks.real[0], 2, RankLost::How::kDied, false);
  ExpectLost(*ranks.real[1], 2, RankLost::How::kDied, true);
  ExpectLost(*ranks.real[3], 2, RankLost::How::kDied, true);
  const auto end = ranks.real[0]->WaitForEnd(kSoon);
  EXPECT_THAT(end->line, HasSubstr("rank 2 (process "));
  EXPECT_THAT(end->line, HasSubstr("rank 2 behind puppet's work (no. 7)"));
  // Everybody has taken part in the same collectives of the start.
  EXPECT_THAT(end->line, HasSubstr("ranks 0-1, 3 behind gather (no. "));
  EXPECT_THAT(end->table, HasSubstr("  rank 3, process "));
}

// Whoever dies, and whatever others say.
TEST(Heartbeat, TheFirstFinishesAloneAndThenMissesWhoIsLost) {
  for (const bool told : {false, true}) {
    StarRanks ranks(3, {2}, {.options = Quick()});
    ranks.puppet[2]->Beat();
    for (auto& [rank, real] : ranks.real) real->heartbeat().LetFirstFinish();
    if (told) {
      Frame lost;
      lost.type = FrameType::kLost;
      lost.sender = 2;
      lost.lost = {.rank = 1,
                   .how = RankLost::How::kSilent,
                   .line = "rank 1 is lost",
                   .table = "",
                   .told = true};
      ranks.puppet[2]->Send(0, lost);
    } else {
      ranks.puppet[2]->CloseAll();
    }
    const Pulse pulse(told ? std::vector<const Puppet*>{ranks.puppet[2].get()}
                           : std::vector<const Puppet*>{});
    EXPECT_FALSE(ranks.real[0]->WaitForEnd(2 * Quick().silence)) << told;
    EXPECT_FALSE(ranks.real[1]->WaitForEnd(milliseconds(1))) << told;
    ranks.real[0]->heartbeat().FirstHasFinished();
    ExpectLost(*ranks.real[0], told ? 1 : 2, told ? RankLost::How::kSilent : RankLost::How::kDied,
               told);
    EXPECT_TRUE(ranks.real[1]->WaitForEnd(kSoon));
  }
}

TEST(Heartbeat, TheFirstThatHasFinishedStaysUntilAllHaveLeft) {
  StarRanks ranks(3, {2}, {.options = Quick()});
  for (auto& [rank, real] : ranks.real) real->heartbeat().LetFirstFinish();
  ranks.real[0]->heartbeat().FirstHasFinished();
  std::atomic<bool> has_left = false;
  std::thread leaves([&] {
    ranks.real[0]->heartbeat().Leave();
    has_left = true;
  });
  {
    const Pulse pulse({ranks.puppet[2].get()});
    std::this_thread::sleep_for(milliseconds(100));
    ranks.real[1]->heartbeat().Leave();
    std::this_thread::sleep_for(milliseconds(400));
    EXPECT_FALSE(has_left);
  }
  Frame goodbye;
  goodbye.type = FrameType::kGoodbye;
  goodbye.sender = 2;
  ranks.puppet[2]->Send(0, goodbye);
  leaves.join();
  EXPECT_FALSE(ranks.real[0]->WaitForEnd(2 * Quick().silence));
}

TEST(Heartbeat, TheFirstThatHasFinishedMissesWhoDoesNotLeave) {
  StarRanks ranks(2, {1}, {.options = Quick()});
  ranks.puppet[1]->Beat();
  ranks.real[0]->heartbeat().LetFirstFinish();
  ranks.real[0]->heartbeat().FirstHasFinished();
  ranks.real[0]->heartbeat().Leave();
  ExpectLost(*ranks.real[0], 1, RankLost::How::kSilent, false);
}

TEST(Heartbeat, TheFirstIsMissedWhileItFinishesAlone) {
  StarRanks ranks(3, {0}, {.options = Quick()});
  ranks.puppet[0]->Beat();
  for (auto& [rank, real] : ranks.real) real->heartbeat().LetFirstFinish();
  ExpectLost(*ranks.real[1], 0, RankLost::How::kSilent, false);
  ExpectLost(*ranks.real[2], 0, RankLost::How::kSilent, true);
}

TEST(Heartbeat, WhoFallsSilentIsNamed) {
  StarRanks ranks(3, {2}, {.options = Quick()});
  const auto start = std::chrono::steady_clock::now();
  ExpectLost(*ranks.real[0], 2, RankLost::How::kSilent, false);
  EXPECT_GE(std::chrono::steady_clock::now() - start, Quick().silence - milliseconds(100));
  ExpectLost(*ranks.real[1], 2, RankLost::How::kSilent, true);
  // It finds out, should it still be there.
  for (;;) {
    const Frame frame = ranks.puppet[2]->Receive(0);
    if (frame.type != FrameType::kLost) continue;
    EXPECT_EQ(frame.lost.rank, 2);
    break;
  }
}

TEST(Heartbeat, TheDeputySpeaksWhenRankZeroDies) {
  StarRanks ranks(3, {0}, {.options = Quick()});
  ranks.puppet[0]->CloseAll();
  ExpectLost(*ranks.real[1], 0, RankLost::How::kDied, false);
  ExpectLost(*ranks.real[2], 0, RankLost::How::kDied, true);
}

TEST(Heartbeat, TheDeputySpeaksForARankZeroThatIsSilent) {
  StarRanks ranks(3, {0}, {.options = Quick()});
  ExpectLost(*ranks.real[1], 0, RankLost::How::kSilent, false);
  ExpectLost(*ranks.real[2], 0, RankLost::How::kSilent, true);
}

TEST(Heartbeat, TheDeputySpeaksWhereRankZeroDoesNot) {
  StarRanks ranks(4, {0, 2}, {.options = Quick()});
  const Pulse pulse({ranks.puppet[0].get()});
  ranks.puppet[2]->CloseAll();
  ExpectLost(*ranks.real[1], 2, RankLost::How::kDied, false);
  ExpectLost(*ranks.real[3], 2, RankLost::How::kDied, true);
}

TEST(Heartbeat, ALostDeputyIsNamedByRankZero) {
  StarRanks ranks(3, {1}, {.options = Quick()});
  ranks.puppet[1]->CloseAll();
  ExpectLost(*ranks.real[0], 1, RankLost::How::kDied, false);
  ExpectLost(*ranks.real[2], 1, RankLost::How::kDied, true);
}

TEST(Heartbeat, WhenBothHubsDieEachRankSaysItself) {
  StarRanks ranks(4, {0, 1}, {.options = Quick()});
  ranks.puppet[0]->Beat();
  std::this_thread::sleep_for(milliseconds(100));
  for (auto& [rank, puppet] : ranks.puppet) puppet->CloseAll();
  for (const int rank : {2, 3}) ExpectLost(*ranks.real[rank], 0, RankLost::How::kDied, false);
  EXPECT_THAT(ranks.real[3]->WaitForEnd(kSoon)->line, HasSubstr("rank 0 behind puppet's work"));
}

TEST(Heartbeat, WhoGivesUpIsNoCauseForOthersToSpeak) {
  StarRanks ranks(3, {}, {.options = Quick()});
  ranks.real[2]->heartbeat().GiveUp("the disk is full");
  ranks.real[2].reset();
  for (const int rank : {0, 1}) {
    ExpectLost(*ranks.real[rank], 2, RankLost::How::kGaveUp, true);
    EXPECT_EQ(ranks.real[rank]->WaitForEnd(kSoon)->line, "rank 2 gave up: the disk is full");
  }
}

// Its heartbeat goes on, but it does not come to where the others wait.
TEST(Heartbeat, WhoDoesNotComeToACollectiveIsNamed) {
  HeartbeatOptions options = Quick();
  options.stuck = milliseconds(500);
  std::atomic<bool> ended = false;
  StarRanks ranks(3, {1}, {.options = options});
  const Pulse pulse({ranks.puppet[1].get()});
  EXPECT_FALSE(ranks.real[0]->WaitForEnd(2 * options.stuck));  // nobody waits yet
  for (const int rank : {0, 2}) {
    ranks.real[rank]->group().Submit("gradients 0", [&](Communicator&) {
      while (!ended) std::this_thread::sleep_for(milliseconds(1));
    });
  }
  ExpectLost(*ranks.real[0], 1, RankLost::How::kStuck, false);
  ExpectLost(*ranks.real[2], 1, RankLost::How::kStuck, true);
  ended = true;
  EXPECT_THAT(ranks.real[0]->WaitForEnd(kSoon)->line,
              HasSubstr("does not come to a collective that others have waited in for 0.5 s; it is "
                        "behind puppet's work (no. 7)"));
}

// All of them are in it, so that nobody is missing.
TEST(Heartbeat, ACollectiveThatNobodyGetsOutOfEndsTheJob) {
  HeartbeatOptions options = Quick();
  options.stuck = milliseconds(500);
  std::atomic<bool> ended = false;
  StarRanks ranks(3, {}, {.options = options});
  EXPECT_FALSE(ranks.real[0]->WaitForEnd(2 * options.stuck));
  for (const int rank : {2, 1, 0}) {
    ranks.real[rank]->group().Submit("gradients 0", [&](Communicator&) {
      while (!ended) std::this_thread::sleep_for(milliseconds(1));
    });
  }
  ExpectLost(*ranks.real[0], 0, RankLost::How::kHangs, false);
  ExpectLost(*ranks.real[1], 0, RankLost::How::kHangs, true);
  ExpectLost(*ranks.real[2], 0, RankLost::How::kHangs, true);
  ended = true;
  EXPECT_THAT(ranks.real[0]->WaitForEnd(kSoon)->line,
              HasSubstr("; last collectives: ranks 0-2 in gradients 0 (no. "));
}

TEST(Heartbeat, AGoodbyeMayComeFromASignalHandler) {
  StarRanks ranks(3, {}, {.options = Quick()});
  ranks.real[1]->heartbeat().LeaveFromSignal();
  std::this_thread::sleep_for(milliseconds(300));
  for (const int rank : {0, 1, 2}) EXPECT_FALSE(ranks.real[rank]->WaitForEnd(milliseconds(1)));
}

TEST(Heartbeat, WhoSendsGarbageIsLost) {
  StarRanks ranks(3, {2}, {.options = Quick()});
  ranks.puppet[2]->SendBytes(0, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  ExpectLost(*ranks.real[0], 2, RankLost::How::kDied, false);
}

TEST(Heartbeat, NobodySaysGoodbyeForAnother) {
  StarRanks ranks(3, {2}, {.options = Quick()});
  Frame goodbye;
  goodbye.type = FrameType::kGoodbye;
  goodbye.sender = 1;
  ranks.puppet[2]->Send(0, goodbye);
  ranks.puppet[2]->CloseAll();
  ExpectLost(*ranks.real[0], 2, RankLost::How::kDied, false);
}

// On the port, before the ranks have met: none of them is let in or keeps them from meeting.
TEST(Heartbeat, StrangersAreTurnedAway) {
  std::vector<FileDescriptor> silent;
  const auto strangers = [&](const Puppet& puppet) {
    const uint16_t port = puppet.peers()[0].port;
    const auto answer_to = [&](const std::string& bytes, size_t hub = 0) {
      const FileDescriptor socket = ConnectTo(puppet.peers()[hub].port);
      ::send(socket.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
      return ReadToEnd(socket);
    };
    EXPECT_EQ(answer_to("GET / HTTP/1.1\r\nHost: somewhere\r\n\r\n"), "");
    EXPECT_EQ(answer_to(HelloBytes(2, Token{})), "");
    EXPECT_EQ(answer_to(HelloBytes(0, puppet.token())), "");
    EXPECT_EQ(answer_to(HelloBytes(700, puppet.token())), "");
    // Rank 0 is called by the deputy, it does not call.
    EXPECT_EQ(answer_to(HelloBytes(0, puppet.token()), 1), "");
    Frame lost;
    lost.type = FrameType::kLost;
    lost.sender = 2;
    lost.lost.rank = 1;
    const std::vector<std::byte> bytes = Encode(lost);
    EXPECT_EQ(answer_to({reinterpret_cast<const char*>(bytes.data()), bytes.size()}), "");
    // More than are kept waiting, and one that is dropped after its time.
    for (int i = 0; i < 100; ++i) silent.push_back(ConnectTo(port));
    const auto start = std::chrono::steady_clock::now();
    EXPECT_EQ(ReadToEnd(silent.front()), "");
    EXPECT_LT(std::chrono::steady_clock::now() - start, milliseconds(2000));
    EXPECT_EQ(ReadToEnd(silent.back()), "");
    silent.push_back(ConnectTo(port));  // is there when all others are
  };
  StarRanks ranks(3, {2}, {.options = Quick(), .before = strangers});
  const Pulse pulse({ranks.puppet[2].get()});
  EXPECT_EQ(ReadToEnd(silent.back()), "");
  EXPECT_FALSE(ranks.real[0]->WaitForEnd(2 * Quick().silence));
  EXPECT_THROW(ConnectTo(ranks.puppet[2]->peers()[0].port), std::runtime_error);
}

// One that was not answered in time has closed its connection, or will, and calls again.
TEST(Heartbeat, WhoLostPatienceIsLetInAgain) {
  const auto impatient = [](const Puppet& puppet) {
    const std::string hello = HelloBytes(puppet.rank(), puppet.token());
    std::vector<FileDescriptor> calls;
    for (int call = 0; call < 3; ++call) {
      calls.push_back(ConnectTo(puppet.peers()[0].port));
      ::send(calls.back().get(), hello.data(), hello.size(), MSG_NOSIGNAL);
      std::string answer(hello.size(), '\0');
      ::recv(calls.back().get(), answer.data(), answer.size(), MSG_WAITALL);
      EXPECT_EQ(answer, HelloBytes(0, puppet.token()));
    }
    for (const int older : {0, 1}) EXPECT_EQ(ReadToEnd(calls[static_cast<size_t>(older)]), "");
  };
  StarRanks ranks(3, {2}, {.options = Quick(), .before = impatient});
  const Pulse pulse({ranks.puppet[2].get()});
  EXPECT_FALSE(ranks.real[0]->WaitForEnd(2 * Quick().silence));
}

// Without a descriptor for it a call is not answered; when there is one again, it is.
TEST(Heartbeat, CallsWaitForDescriptors) {
  const auto scarce = [](const Puppet& puppet) {
    const FileDescriptor socket(::socket(AF_INET, SOCK_STREAM, 0));  // at the lowest free number
    rlimit before{};
    ::getrlimit(RLIMIT_NOFILE, &before);
    const rlimit none{static_cast<rlim_t>(socket.get()) + 1, before.rlim_max};
    ::setrlimit(RLIMIT_NOFILE, &none);
    const bool connected = Connect(socket, puppet.peers()[0].port);
    std::this_thread::sleep_for(milliseconds(200));
    ::setrlimit(RLIMIT_NOFILE, &before);
    ASSERT_TRUE(connected);
    const std::string junk(16, 'x');
    ::send(socket.get(), junk.data(), junk.size(), MSG_NOSIGNAL);
    EXPECT_EQ(ReadToEnd(socket), "");
  };
  StarRanks ranks(3, {2}, {.options = Quick(), .before = scarce});
  EXPECT_TRUE(ranks.real[0]);
}

// Who answers at the port of a hub is not it: a port that another program has by now, or a network
// in which the address is another host's.
TEST(Heartbeat, AHubThatDoesNotShowTheTokenIsCalledAgain) {
  const auto others = [](const Puppet& puppet) {
    for (const std::string& answer : {HelloBytes(0, Token{}), HelloBytes(1, puppet.token()),
                                      std::string("220 mail ready\r\n")}) {
      const FileDescriptor caller(::accept(puppet.listener().get(), nullptr, nullptr));
      ::send(caller.get(), answer.data(), answer.size(), MSG_NOSIGNAL);
      EXPECT_EQ(ReadToEnd(caller), HelloBytes(1, puppet.token()));
    }
  };
  StarRanks ranks(2, {0}, {.options = Quick(), .before = others});
  const Pulse pulse({ranks.puppet[0].get()});
  EXPECT_FALSE(ranks.real[1]->WaitForEnd(2 * Quick().silence));
}

// A socket that listens at 127.0.0.1, at a port of the system's choice.
FileDescriptor Listener(uint16_t* port) {
  FileDescriptor socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  auto* const name = reinterpret_cast<sockaddr*>(&address);
  EXPECT_EQ(::bind(socket.get(), name, size), 0);
  EXPECT_EQ(::listen(socket.get(), 1), 0);
  EXPECT_EQ(::getsockname(socket.get(), name, &size), 0);
  *port = ntohs(address.sin_port);
  return socket;
}

TEST(Heartbeat, F8APortThatIsInUseNamesItsOwner) {
  HeartbeatOptions options = Quick();
  const FileDescriptor taken = Listener(&options.port);
  auto ranks = MakeThreadCommunicators(2);
  const auto expect_refused = [&](int rank) {
    try {
      const RealRank met(std::move(ranks[static_cast<size_t>(rank)]), options);
      ADD_FAILURE() << "it listens at a port that is in use";
    } catch (const AgreedError& error) {
      EXPECT_EQ(error.code(), ExitCode::kBadCluster);
      EXPECT_THAT(error.what(), HasSubstr("rank 0: port " + std::to_string(options.port) +
                                          " for the heartbeat is in use by process " +
                                          std::to_string(::getpid()) + " (comm_liveness_"));
    }
  };
  std::thread other([&] { expect_refused(1); });
  expect_refused(0);
  other.join();
}

TEST(Heartbeat, ListensWhereItIsTold) {
  HeartbeatOptions options = Quick();
  Listener(&options.port).Close();
  for (int job = 0; job < 2; ++job) {  // the second at once behind the first
    StarRanks ranks(3, {}, {.options = options});
    EXPECT_FALSE(ranks.real[0]->WaitForEnd(milliseconds(100)));
    ranks.real[2]->heartbeat().GiveUp("so");
    ExpectLost(*ranks.real[0], 2, RankLost::How::kGaveUp, true);
  }
  StarRanks ranks(3, {2}, {.options = options});
  EXPECT_EQ(ranks.puppet[2]->peers()[0].port, options.port);
  EXPECT_EQ(ranks.puppet[2]->peers()[1].port, options.port + 1);
}

// Ranks of several hosts meet at the addresses of their interfaces, and have a deputy elsewhere.
TEST(Heartbeat, RanksOfSeveralHostsMeet) {
  if (OwnAddresses().empty()) GTEST_SKIP() << "no network interface but loopback";
  StarRanks ranks(4, {}, {.options = Quick(), .hosts = {"a", "a", "b", "b"}});
  ranks.real[3]->heartbeat().GiveUp("so");
  for (const int rank : {0, 1, 2}) {
    ExpectLost(*ranks.real[rank], 3, RankLost::How::kGaveUp, true);
  }
}

TEST(Heartbeat, AMissingRankIsNamedAtTheStart) {
  auto ranks = MakeThreadCommunicators(2);
  HeartbeatOptions options = Quick();
  options.join = milliseconds(300);
  std::thread absent([&ranks, &options] {
    CommGroup group(*ranks[1]);
    std::vector<Peer> peers = ExchangePeers(group, options.host_key);
    AgreeOnFailure(group, nullptr);
    ExchangePorts(group, 0, &peers);
    ShareToken(group);
    EXPECT_THROW(AgreeOnFailure(group, nullptr), AgreedError);
  });
  try {
    const RealRank present(std::move(ranks[0]), options);
    ADD_FAILURE() << "it has met nobody";
  } catch (const AgreedError& error) {
    EXPECT_EQ(error.code(), ExitCode::kPeerLost);
    EXPECT_THAT(error.what(), HasSubstr("no heartbeat from rank 1 (process "));
  }
  absent.join();
}

}  // namespace
}  // namespace lockstep::liveness
