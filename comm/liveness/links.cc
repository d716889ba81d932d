#include <algorithm>

#include "comm/liveness/links_internal.h"
#include "comm/liveness/port_owner_internal.h"
#include "kernels/error.h"

namespace lockstep::liveness {
namespace {

namespace asio = boost::asio;
using boost::system::error_code;

constexpr size_t kMostStrangers = 64;
constexpr Milliseconds kGreeting{3000};  // for a stranger to say who it is
constexpr Milliseconds kAttempt{2000};   // for one address, from the call to the other's greeting
constexpr Milliseconds kPause{100};

// Takes as long for any difference.
bool Equal(const Token& a, const Token& b) {
  unsigned difference = 0;
  for (size_t i = 0; i < a.size(); ++i) difference |= unsigned{a[i]} ^ unsigned { b[i] };
  return difference == 0;
}

void Open(tcp::acceptor* acceptor, const tcp::endpoint& at, error_code* error) {
  acceptor->open(at.protocol(), *error);
  if (!*error && at.protocol() == tcp::v6()) {
    acceptor->set_option(asio::ip::v6_only(false), *error);
  }
  // Connections of a job before this one may still be waiting for late packets.
  if (!*error && at.port() != 0) acceptor->set_option(tcp::acceptor::reuse_address(true), *error);
  if (!*error) acceptor->bind(at, *error);
  if (!*error) acceptor->listen(tcp::acceptor::max_listen_connections, *error);
  if (*error) {
    error_code ignored;
    acceptor->close(ignored);
  }
}

}  // namespace

Links::Links(asio::io_context& io, const Star& star, const std::vector<Peer>& peers, Events events)
    : io_(io),
      star_(star),
      peers_(peers),
      events_(std::move(events)),
      connection_events_{.frame = [this](Connection& from, const Frame& f) { Received(from, f); },
                         .closed = [this](Connection& connection) { Closed(connection); }},
      links_(peers.size()),
      has_joined_(peers.size()),
      greeted_(peers.size()) {
  for (int rank = 0; rank < star_.size; ++rank) missing_ += star_.Watches(rank) ? 1 : 0;
}

uint16_t Links::Listen(uint16_t port) {
  acceptor_.emplace(io_);
  error_code error;
  if (OneHost(peers_)) {
    Open(&*acceptor_, {asio::ip::address_v4::loopback(), port}, &error);
  } else {
    Open(&*acceptor_, {tcp::v6(), port}, &error);  // takes IPv4 as well
    if (error) Open(&*acceptor_, {tcp::v4(), port}, &error);
  }
  if (error && port != 0) {
    const bool used = error == asio::error::address_in_use;
    throw CommError(
        "port " + std::to_string(port) + " for the heartbeat " +
            (used ? "is in use by " + PortOwner(port) : "is refused: " + error.message()) +
            "; give another --heartbeat-port, or none for one of the system's choice",
        ExitCode::kBadCluster);
  }
  if (error) {
    throw CommError("no port for the heartbeat: " + error.message(), ExitCode::kNoResources);
  }
  return acceptor_->local_endpoint().port();
}

void Links::Join(const Token& token) {
  token_ = token;
  if (acceptor_) Accept();
  const std::vector<std::string> own = OwnAddresses();
  for (int rank = 0; rank < star_.size; ++rank) {
    if (!star_.Calls(rank)) continue;
    const Peer& hub = peers_[Index(rank)];
    calls_.push_back({.hub = rank,
                      .addresses = AddressesTo(hub, peers_[Index(star_.rank)], own),
                      .timer = asio::steady_timer(io_)});
    Try(calls_.back());
  }
}

void Links::Accept() {
  auto connection = std::make_shared<Connection>(io_, connection_events_);
  accepting_ = true;
  acceptor_->async_accept(connection->socket(), [this, connection](error_code error) {
    accepting_ = false;
    if (!acceptor_ || error) return;
    connection->began = Clock::now();
    strangers_.push_back(connection);
    if (strangers_.size() > kMostStrangers) {
      strangers_.front()->Close();
      strangers_.pop_front();
    }
    connection->Start();
    Accept();
  });
}

void Links::Try(Call& call) {
  if (has_joined_[Index(call.hub)] || call.addresses.empty()) return;
  const std::string& address = call.addresses[call.next++ % call.addresses.size()];
  call.connection = std::make_shared<Connection>(io_, connection_events_);
  call.timer.expires_after(kAttempt);
  call.timer.async_wait([this, &call](error_code error) {
    if (!error) TryAgain(call);
  });
  error_code error;
  const tcp::endpoint to(asio::ip::make_address(address, error), peers_[Index(call.hub)].port);
  if (error) return TryAgain(call);
  call.connection->socket().async_connect(
      to, [this, &call, connection = call.connection](error_code failed) {
        if (connection != call.connection) return;
        if (failed) return TryAgain(call);
        connection->Start();
        connection->Send(Hello());
      });
}

void Links::TryAgain(Call& call) {
  if (has_joined_[Index(call.hub)]) return;
  if (call.connection) call.connection->Close();
  call.connection = nullptr;
  call.timer.expires_after(kPause);
  call.timer.async_wait([this, &call](error_code error) {
    if (!error) Try(call);
  });
}

Frame Links::Hello() const {
  return {
      .type = FrameType::kHello, .sender = star_.rank, .token = token_, .states = {}, .lost = {}};
}

Links::Call* Links::CallOn(const Connection& connection) {
  for (Call& call : calls_) {
    if (call.connection.get() == &connection) return &call;
  }
  return nullptr;
}

std::shared_ptr<Connection>* Links::GreetedOn(const Connection& connection) {
  for (auto& greeted : greeted_) {
    if (greeted.get() == &connection) return &greeted;
  }
  return nullptr;
}

bool Links::ShowsToken(const Frame& frame) const {
  return frame.type == FrameType::kHello && Equal(frame.token, token_);
}

bool Links::MayJoin(int rank) const {
  return rank >= 0 && rank < star_.size && star_.Watches(rank) && !has_joined_[Index(rank)];
}

// The first frame on a connection. Both sides show the token, the caller first.
void Links::Greeted(Connection& from, const Frame& frame) {
  if (Call* const call = CallOn(from)) return AnsweredBy(*call, frame);
  const auto self = from.shared_from_this();
  strangers_.remove(self);
  if (!ShowsToken(frame) || !MayJoin(frame.sender) || star_.Calls(frame.sender)) {
    return from.Close();
  }
  auto& greeted = greeted_[Index(frame.sender)];
  if (greeted) greeted->Close();
  greeted = self;
  from.Send(Hello());
}

void Links::AnsweredBy(Call& call, const Frame& frame) {
  if (!ShowsToken(frame) || frame.sender != call.hub) return TryAgain(call);
  call.timer.cancel();
  JoinedBy(call.hub, std::exchange(call.connection, nullptr));
}

void Links::JoinedBy(int rank, std::shared_ptr<Connection> connection) {
  connection->rank = rank;
  links_[Index(rank)] = std::move(connection);
  has_joined_[Index(rank)] = true;
  --missing_;
  if (complete()) {
    acceptor_.reset();
    for (const auto& stranger : strangers_) stranger->Close();
    strangers_.clear();
  }
  events_.joined(rank);
}

void Links::Received(Connection& from, const Frame& frame) {
  if (from.rank < 0) {
    auto* const greeted = GreetedOn(from);
    if (greeted == nullptr) return Greeted(from, frame);
    JoinedBy(static_cast<int>(greeted - greeted_.data()), std::exchange(*greeted, nullptr));
  }
  if (frame.sender != from.rank) return;
  events_.frame(from.rank, frame);
}

void Links::Closed(Connection& connection) {
  if (Call* const call = CallOn(connection)) return TryAgain(*call);
  if (connection.rank < 0) {
    if (auto* const greeted = GreetedOn(connection)) return greeted->reset();
    return strangers_.remove(connection.shared_from_this()), void();
  }
  links_[Index(connection.rank)] = nullptr;
  events_.closed(connection.rank);
}

void Links::Close(int rank) {
  auto& link = links_[Index(rank)];
  if (link) link->Close();
  link = nullptr;
}

void Links::Sweep(Clock::time_point now) {
  while (!strangers_.empty() && now - strangers_.front()->began >= kGreeting) {
    strangers_.front()->Close();
    strangers_.pop_front();
  }
  if (acceptor_ && !accepting_) Accept();
}

std::string Links::Missing() const {
  std::string text;
  for (int rank = 0; rank < star_.size; ++rank) {
    if (!star_.Watches(rank) || has_joined_[Index(rank)]) continue;
    text += (text.empty() ? "rank " : ", rank ") + std::to_string(rank) + " (" +
            peers_[Index(rank)].Where() + ")";
    if (!star_.Calls(rank)) continue;
    for (const Call& call : calls_) {
      if (call.hub != rank) continue;
      for (const std::string& address : call.addresses) text += " " + address;
    }
    text += " port " + std::to_string(peers_[Index(rank)].port);
  }
  return text;
}

bool Links::idle() const {
  return std::all_of(links_.begin(), links_.end(),
                     [](const auto& link) { return !link || link->idle(); });
}

bool Links::empty() const {
  return std::all_of(links_.begin(), links_.end(), [](const auto& link) { return !link; });
}

}  // namespace lockstep::liveness
