// One TCP connection that frames travel on.
#ifndef LOCKSTEP_COMM_LIVENESS_CONNECTION_INTERNAL_H_
#define LOCKSTEP_COMM_LIVENESS_CONNECTION_INTERNAL_H_

#include <array>
#include <boost/asio.hpp>
#include <cstddef>
#include <deque>
#include <functional>
#include <memory>
#include <vector>

#include "comm/liveness/frame_internal.h"
#include "comm/liveness/watch_internal.h"

namespace lockstep::liveness {

using boost::asio::ip::tcp;

// Lives as long as something is under way on it. All of it runs on the thread of its io_context.
class Connection : public std::enable_shared_from_this<Connection> {
 public:
  struct Events {
    std::function<void(Connection&, const Frame&)> frame;
    // The other side closed it, or sent what is no frame. Not after Close().
    std::function<void(Connection&)> closed;
  };

  // `events` must outlive it.
  Connection(boost::asio::io_context& io, const Events& events) : socket_(io), events_(events) {}

  tcp::socket& socket() { return socket_; }
  // When it is connected.
  void Start();
  // A beat is left out while older frames are still on their way.
  void Send(const Frame& frame);
  void Close();
  bool idle() const { return waiting_.empty(); }

  int rank = -1;            // whose it is; -1 until that is proven
  Clock::time_point began;  // for those who do not say who they are

 private:
  void ReadHead();
  void ReadBody();
  void Write();
  void Fail();

  tcp::socket socket_;
  const Events& events_;
  std::array<std::byte, kHeadBytes> head_{};
  std::vector<std::byte> body_;
  std::deque<std::vector<std::byte>> waiting_;  // the first is being written
};

}  // namespace lockstep::liveness

#endif  // LOCKSTEP_COMM_LIVENESS_CONNECTION_INTERNAL_H_
