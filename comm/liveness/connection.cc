#include <netinet/tcp.h>
#include <sys/socket.h>

#include "comm/liveness/connection_internal.h"
#include "kernels/error.h"

namespace lockstep::liveness {

namespace asio = boost::asio;
using boost::system::error_code;

// Lost packets of so thin a stream are sent again at an even pace (tcp(7)): a link that was cut for
// some seconds is not found whole only many seconds later.
void Connection::Start() {
  error_code ignored;
  socket_.set_option(tcp::no_delay(true), ignored);
  const int on = 1;
  ::setsockopt(socket_.native_handle(), IPPROTO_TCP, TCP_THIN_LINEAR_TIMEOUTS, &on, sizeof on);
  ReadHead();
}

void Connection::ReadHead() {
  asio::async_read(socket_, asio::buffer(head_),
                   [self = shared_from_this()](error_code error, size_t) {
                     if (error) return self->Fail();
                     self->ReadBody();
                   });
}

void Connection::ReadBody() {
  try {
    body_.resize(ParseHead(head_).body_bytes);
  } catch (const FormatError&) {
    return Fail();
  }
  asio::async_read(socket_, asio::buffer(body_),
                   [self = shared_from_this()](error_code error, size_t) {
                     if (error) return self->Fail();
                     try {
                       const Frame frame = ParseBody(self->head_, self->body_);
                       self->events_.frame(*self, frame);
                     } catch (const FormatError&) {
                       return self->Fail();
                     }
                     if (self->socket_.is_open()) self->ReadHead();
                   });
}

void Connection::Send(const Frame& frame) {
  if (!socket_.is_open()) return;
  if (frame.type == FrameType::kBeat && !idle()) return;
  waiting_.push_back(Encode(frame));
  if (waiting_.size() == 1) Write();
}

void Connection::Write() {
  asio::async_write(socket_, asio::buffer(waiting_.front()),
                    [self = shared_from_this()](error_code error, size_t) {
                      // What closed it is found by the reading side, behind what still can be read.
                      if (error) return self->waiting_.clear();
                      if (self->waiting_.empty()) return;
                      self->waiting_.pop_front();
                      if (!self->waiting_.empty()) self->Write();
                    });
}

void Connection::Fail() {
  if (!socket_.is_open()) return;
  const auto self = shared_from_this();
  events_.closed(*this);
  Close();
}

void Connection::Close() {
  error_code ignored;
  socket_.close(ignored);
}

}  // namespace lockstep::liveness
