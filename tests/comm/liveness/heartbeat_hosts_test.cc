// Heartbeats between hosts.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <unistd.h>

#include <cstdlib>
#include <stdexcept>
#include <string>
#include <vector>

#include "tests/comm/liveness/star_ranks.h"

namespace lockstep::liveness {
namespace {

// Two network namespaces with a link between them, as two hosts; removed with the object.
class TwoHosts {
 public:
  TwoHosts() {
    Run("ip netns add " + Name(0) + " && ip netns add " + Name(1));
    Run("ip -n " + Name(0) + " link add eth0 type veth peer name eth0 netns " + Name(1));
    for (int host = 0; host < 2; ++host) {
      Run("ip -n " + Name(host) + " addr add 10.199.7." + std::to_string(host + 1) +
          "/24 dev eth0 && ip -n " + Name(host) + " link set eth0 up && ip -n " + Name(host) +
          " link set lo up");
    }
  }
  ~TwoHosts() {
    for (int host = 0; host < 2; ++host) Run("ip netns del " + Name(host));
  }
  TwoHosts(const TwoHosts&) = delete;
  TwoHosts& operator=(const TwoHosts&) = delete;

  bool there() const { return there_; }
  void Cut() { Run("ip -n " + Name(1) + " link set eth0 down"); }
  // Moves the calling thread.
  static void Enter(int host) {
    const FileDescriptor space(::open(("/run/netns/" + Name(host)).c_str(), O_RDONLY));
    if (::setns(space.get(), CLONE_NEWNET) != 0) throw std::runtime_error("setns");
  }

 private:
  static std::string Name(int host) {
    return "lockstep-" + std::to_string(::getpid()) + "-" + std::to_string(host);
  }
  void Run(const std::string& command) {
    there_ = std::system(("(" + command + ") >/dev/null 2>&1").c_str()) == 0 && there_;
  }

  bool there_ = true;
};

TEST(Heartbeat, BothSidesOfACutLinkSaySo) {
  TwoHosts hosts;
  if (!hosts.there()) GTEST_SKIP() << "network namespaces cannot be made here";
  StarRanks ranks(4, {},
                  {.options = Quick(), .hosts = {"a", "a", "b", "b"}, .on_thread_of = [](int rank) {
                     TwoHosts::Enter(rank / 2);
                   }});
  EXPECT_FALSE(ranks.real[0]->WaitForEnd(2 * Quick().silence));
  hosts.Cut();
  // Each side has a hub, which misses the ranks of the other and tells its own.
  for (const int rank : {0, 1, 2, 3}) {
    const auto end = ranks.real[rank]->WaitForEnd(kSoon);
    ASSERT_TRUE(end);
    EXPECT_EQ(end->rank / 2, 1 - rank / 2) << end->line;
    EXPECT_EQ(end->how, RankLost::How::kSilent) << end->line;
    EXPECT_EQ(end->told, rank % 2 == 1) << end->line;
  }
}

TEST(Heartbeat, TheDeputyIsOfAnotherHost) {
  const auto deputy = [](const std::vector<std::string>& hosts) {
    std::vector<Peer> peers;
    for (const std::string& host : hosts) peers.push_back({.host_key = host, .host_name = ""});
    return DeputyOf(peers);
  };
  EXPECT_EQ(deputy({"a", "a"}), 1);
  EXPECT_EQ(deputy({"a", "a", "b"}), 2);
  EXPECT_EQ(deputy({"a", "b", "a", "b"}), 1);
}

TEST(Heartbeat, AddressesThatBothHaveComeLast) {
  Peer to{.host_key = "a", .host_name = "", .addresses = {"172.17.0.1", "10.0.0.1", "::2"}};
  const Peer from{.host_key = "b", .host_name = ""};
  EXPECT_THAT(AddressesTo(to, from, {"172.17.0.1", "10.0.0.2"}),
              testing::ElementsAre("10.0.0.1", "::2", "172.17.0.1"));
  to.host_key = "b";
  EXPECT_THAT(AddressesTo(to, from, {}), testing::ElementsAre("127.0.0.1"));
}

}  // namespace
}  // namespace lockstep::liveness
