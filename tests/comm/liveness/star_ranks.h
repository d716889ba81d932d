// Ranks of a star: real ones, and puppets that speak the heartbeat's bytes as a test wants.
#ifndef LOCKSTEP_TESTS_COMM_LIVENESS_STAR_RANKS_H_
#define LOCKSTEP_TESTS_COMM_LIVENESS_STAR_RANKS_H_

#include <chrono>
#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "comm/comm_group.h"
#include "comm/liveness/frame_internal.h"
#include "comm/liveness/heartbeat.h"
#include "comm/liveness/peers_internal.h"
#include "comm/liveness/watch_internal.h"
#include "engine/train/posix_file.h"

namespace lockstep::liveness {

// Generous to a machine that does other things as well.
inline constexpr std::chrono::milliseconds kSoon{5000};

inline HeartbeatOptions Quick() {
  using std::chrono::milliseconds;
  return {
      .interval = milliseconds(20), .silence = milliseconds(1500), .patience = milliseconds(200)};
}

class RealRank {
 public:
  // Meets the others of its group.
  RealRank(std::unique_ptr<Communicator> ranks, const HeartbeatOptions& options);

  Heartbeat& heartbeat() { return *heartbeat_; }
  CommGroup& group() { return group_; }
  // What it has said or was told in the end; none where nothing comes within `limit`.
  std::unique_ptr<RankLost> WaitForEnd(std::chrono::milliseconds limit);
  // How often it spoke itself.
  int said();

 private:
  const std::unique_ptr<Communicator> ranks_;
  CommGroup group_;
  std::mutex mutex_;
  std::condition_variable changed_;
  int said_ = 0;
  std::unique_ptr<RankLost> ended_;
  std::unique_ptr<Heartbeat> heartbeat_;
};

// A rank without a thread: it says and hears only what it is asked to.
class Puppet {
 public:
  using Visit = std::function<void(const Puppet&)>;

  // `before` runs when all is known, and before it connects to anybody.
  Puppet(std::unique_ptr<Communicator> ranks, const HeartbeatOptions& options,
         const Visit& before = {});

  void Send(int to, const Frame& frame) const;
  void SendBytes(int to, const std::string& bytes) const;
  // Beats all that it is connected to.
  void Beat() const;
  void Close(int to) { sockets_.erase(to); }
  void CloseAll() { sockets_.clear(); }
  // The next frame from there; throws at the end of the connection.
  Frame Receive(int from) const;
  int rank() const { return star_.rank; }
  const Token& token() const { return token_; }
  const FileDescriptor& listener() const { return listener_; }
  const std::vector<Peer>& peers() const { return peers_; }

 private:
  void Listen();
  void Connect();

  const std::unique_ptr<Communicator> ranks_;
  CommGroup group_;
  Star star_;
  std::vector<Peer> peers_;
  Token token_{};
  FileDescriptor listener_;
  uint16_t port_ = 0;
  std::map<int, FileDescriptor> sockets_;
};

// To 127.0.0.1; false where nobody listens.
bool Connect(const FileDescriptor& socket, uint16_t port);
// A socket to there; throws std::runtime_error.
FileDescriptor ConnectTo(uint16_t port);
// What comes on it until it closes, for 10 seconds at most.
std::string ReadToEnd(const FileDescriptor& socket);

struct StarSetting {
  HeartbeatOptions options = {};
  std::vector<std::string> hosts = {};              // by rank; none: the same for all
  Puppet::Visit before = {};                        // for puppets
  std::function<void(int rank)> on_thread_of = {};  // where a rank is made
};

// All ranks of one job, puppets those of `puppets`.
struct StarRanks {
  StarRanks(int size, const std::set<int>& puppets, const StarSetting& setting);

  std::map<int, std::unique_ptr<RealRank>> real;
  std::map<int, std::unique_ptr<Puppet>> puppet;
};

}  // namespace lockstep::liveness

#endif  // LOCKSTEP_TESTS_COMM_LIVENESS_STAR_RANKS_H_
