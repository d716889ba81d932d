// The connections of a star of ranks: who listens, who calls, and who is let in.
#ifndef LOCKSTEP_COMM_LIVENESS_LINKS_INTERNAL_H_
#define LOCKSTEP_COMM_LIVENESS_LINKS_INTERNAL_H_

#include <boost/asio.hpp>
#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "comm/liveness/connection_internal.h"
#include "comm/liveness/peers_internal.h"
#include "comm/liveness/watch_internal.h"

namespace lockstep::liveness {

// But for the constructor and Listen(), all of it runs on the thread of its io_context.
class Links {
 public:
  struct Events {
    std::function<void(int rank)> joined;
    std::function<void(int rank, const Frame&)> frame;  // of a rank that has joined
    std::function<void(int rank)> closed;               // the same
  };

  // `star` and `peers` must outlive it.
  Links(boost::asio::io_context& io, const Star& star, const std::vector<Peer>& peers,
        Events events);

  // Opens that port, or for 0 one of the system's choice, at 127.0.0.1 only where all ranks share
  // this host. Throws CommError, for a port that is in use 78 with the name of its owner.
  uint16_t Listen(uint16_t port);
  // Calls the hubs, and waits for those who call this one.
  void Join(const Token& token);
  // Whether everybody is connected; nobody else is let in then.
  bool complete() const { return missing_ == 0; }
  // The ranks that are not there yet, and where they were looked for: "rank 0 at 10.0.0.1:4711".
  std::string Missing() const;
  // To be called now and then: strangers that say nothing are dropped, and where there were no
  // descriptors for a new connection it is tried again.
  void Sweep(Clock::time_point now);

  // Null where there is none any more.
  const std::shared_ptr<Connection>& To(int rank) const { return links_[Index(rank)]; }
  void Close(int rank);
  bool idle() const;
  bool empty() const;

  template <typename Action>
  void ForEach(const Action& action) const {
    for (const auto& link : links_) {
      if (link) action(*link);
    }
  }

 private:
  // An attempt to reach a hub at one address after the other, round and round.
  struct Call {
    int hub;
    std::vector<std::string> addresses;
    size_t next = 0;
    std::shared_ptr<Connection> connection{};
    boost::asio::steady_timer timer;
  };
  static size_t Index(int rank) { return static_cast<size_t>(rank); }

  void Accept();
  void Try(Call& call);
  void TryAgain(Call& call);
  void Received(Connection& from, const Frame& frame);
  void Closed(Connection& connection);
  void Greeted(Connection& from, const Frame& frame);
  void AnsweredBy(Call& call, const Frame& frame);
  void JoinedBy(int rank, std::shared_ptr<Connection> connection);
  bool MayJoin(int rank) const;
  Call* CallOn(const Connection& connection);
  std::shared_ptr<Connection>* GreetedOn(const Connection& connection);
  bool ShowsToken(const Frame& frame) const;
  Frame Hello() const;

  boost::asio::io_context& io_;
  const Star& star_;
  const std::vector<Peer>& peers_;
  const Events events_;
  const Connection::Events connection_events_;
  std::optional<tcp::acceptor> acceptor_;
  bool accepting_ = false;
  Token token_{};
  std::vector<std::shared_ptr<Connection>> links_;  // by rank
  std::vector<bool> has_joined_;
  int missing_ = 0;
  std::list<std::shared_ptr<Connection>> strangers_;  // the oldest first
  // By rank, who has shown the token. One that lost patience with us meanwhile has closed it and
  // calls again; one that speaks on has heard our hello, and has joined.
  std::vector<std::shared_ptr<Connection>> greeted_;
  std::list<Call> calls_;
};

}  // namespace lockstep::liveness

#endif  // LOCKSTEP_COMM_LIVENESS_LINKS_INTERNAL_H_
