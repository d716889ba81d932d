#include "tests/comm/liveness/star_ranks.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <exception>
#include <stdexcept>
#include <thread>

#include "comm/liveness/watch_internal.h"
#include "comm/thread/thread_communicator.h"

namespace lockstep::liveness {
namespace {

sockaddr_in Loopback(uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

void Check(bool good, const char* what) {
  if (!good) throw std::runtime_error(what);
}

std::vector<std::byte> ReadBytes(const FileDescriptor& socket, size_t size) {
  std::vector<std::byte> bytes(size);
  for (size_t have = 0; have < size;) {
    const ssize_t got = ::recv(socket.get(), bytes.data() + have, size - have, 0);
    Check(got > 0, "the connection has ended");
    have += static_cast<size_t>(got);
  }
  return bytes;
}

void WriteBytes(const FileDescriptor& socket, std::span<const std::byte> bytes) {
  ::send(socket.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
}

Frame ReadFrame(const FileDescriptor& socket) {
  const std::vector<std::byte> head = ReadBytes(socket, kHeadBytes);
  const auto fixed = std::span<const std::byte>(head).first<kHeadBytes>();
  return ParseBody(fixed, ReadBytes(socket, ParseHead(fixed).body_bytes));
}

Frame MakeHello(int rank, const Token& token) {
  Frame frame;
  frame.type = FrameType::kHello;
  frame.sender = rank;
  frame.token = token;
  return frame;
}

}  // namespace

RealRank::RealRank(std::unique_ptr<Communicator> ranks, const HeartbeatOptions& options)
    : ranks_(std::move(ranks)), group_(*ranks_) {
  const HeartbeatCalls calls{.say =
                                 [this](const RankLost&) {
                                   const std::lock_guard<std::mutex> lock(mutex_);
                                   ++said_;
                                 },
                             .end =
                                 [this](const RankLost& lost) {
                                   const std::lock_guard<std::mutex> lock(mutex_);
                                   ended_ = std::make_unique<RankLost>(lost);
                                   changed_.notify_all();
                                 }};
  heartbeat_ = std::make_unique<Heartbeat>(group_, group_.progress(), options, calls);
}

std::unique_ptr<RankLost> RealRank::WaitForEnd(std::chrono::milliseconds limit) {
  std::unique_lock<std::mutex> lock(mutex_);
  changed_.wait_for(lock, limit, [this] { return ended_ != nullptr; });
  return ended_ ? std::make_unique<RankLost>(*ended_) : nullptr;
}

int RealRank::said() {
  const std::lock_guard<std::mutex> lock(mutex_);
  return said_;
}

// The exchange of Heartbeat's constructor, step by step.
Puppet::Puppet(std::unique_ptr<Communicator> ranks, const HeartbeatOptions& options,
               const Visit& before)
    : ranks_(std::move(ranks)), group_(*ranks_) {
  peers_ = ExchangePeers(group_, options.host_key);
  star_ = {.rank = group_.rank(), .size = group_.size(), .deputy = DeputyOf(peers_)};
  if (star_.IsHub(star_.rank)) Listen();
  AgreeOnFailure(group_, nullptr);
  ExchangePorts(group_, port_, &peers_);
  token_ = ShareToken(group_);
  if (before) before(*this);
  Connect();
  AgreeOnFailure(group_, nullptr);
}

void Puppet::Listen() {
  listener_ = FileDescriptor(::socket(AF_INET, SOCK_STREAM, 0));
  sockaddr_in address = Loopback(0);
  socklen_t size = sizeof address;
  Check(::bind(listener_.get(), reinterpret_cast<sockaddr*>(&address), size) == 0, "bind");
  Check(::listen(listener_.get(), 16) == 0, "listen");
  Check(::getsockname(listener_.get(), reinterpret_cast<sockaddr*>(&address), &size) == 0, "name");
  port_ = ntohs(address.sin_port);
}

void Puppet::Connect() {
  for (int rank = 0; rank < star_.size; ++rank) {
    if (!star_.Calls(rank)) continue;
    FileDescriptor socket = ConnectTo(peers_[static_cast<size_t>(rank)].port);
    WriteBytes(socket, Encode(MakeHello(star_.rank, token_)));
    Check(ReadFrame(socket).type == FrameType::kHello, "no greeting");
    sockets_[rank] = std::move(socket);
  }
  Beat();
  for (int rank = 0; rank < star_.size; ++rank) {
    if (!star_.Watches(rank) || star_.Calls(rank)) continue;
    FileDescriptor socket(::accept(listener_.get(), nullptr, nullptr));
    const Frame hello = ReadFrame(socket);
    WriteBytes(socket, Encode(MakeHello(star_.rank, token_)));
    sockets_[hello.sender] = std::move(socket);
  }
}

void Puppet::Send(int to, const Frame& frame) const { WriteBytes(sockets_.at(to), Encode(frame)); }

void Puppet::SendBytes(int to, const std::string& bytes) const {
  WriteBytes(sockets_.at(to), std::as_bytes(std::span(bytes)));
}

void Puppet::Beat() const {
  Frame beat;
  beat.sender = star_.rank;
  beat.states.emplace_back();
  beat.states.back().rank = star_.rank;
  beat.states.back().number = 7;
  beat.states.back().state = CommProgress::State::kFinished;
  beat.states.back().name = "puppet's work";
  for (const auto& [rank, socket] : sockets_) Send(rank, beat);
}

Frame Puppet::Receive(int from) const { return ReadFrame(sockets_.at(from)); }

bool Connect(const FileDescriptor& socket, uint16_t port) {
  const sockaddr_in address = Loopback(port);
  return ::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
}

FileDescriptor ConnectTo(uint16_t port) {
  FileDescriptor socket(::socket(AF_INET, SOCK_STREAM, 0));
  Check(Connect(socket, port), "connect");
  return socket;
}

std::string ReadToEnd(const FileDescriptor& socket) {
  std::string all;
  for (;;) {
    pollfd entry{.fd = socket.get(), .events = POLLIN, .revents = 0};
    if (::poll(&entry, 1, 10000) <= 0) throw std::runtime_error("the connection stays open");
    char byte = 0;
    if (::recv(socket.get(), &byte, 1, 0) <= 0) return all;
    all += byte;
  }
}

StarRanks::StarRanks(int size, const std::set<int>& puppets, const StarSetting& setting) {
  std::vector<std::unique_ptr<Communicator>> ranks = MakeThreadCommunicators(size);
  std::vector<std::thread> threads;
  std::vector<std::exception_ptr> failures(static_cast<size_t>(size));
  for (int rank = 0; rank < size; ++rank) {
    std::unique_ptr<RealRank>* as_real = puppets.contains(rank) ? nullptr : &real[rank];
    std::unique_ptr<Puppet>* as_puppet = puppets.contains(rank) ? &puppet[rank] : nullptr;
    HeartbeatOptions own = setting.options;
    if (!setting.hosts.empty()) own.host_key = setting.hosts[static_cast<size_t>(rank)];
    threads.emplace_back([=, &setting, &failure = failures[static_cast<size_t>(rank)],
                          mine = std::move(ranks[static_cast<size_t>(rank)])]() mutable {
      try {
        if (setting.on_thread_of) setting.on_thread_of(rank);
        if (as_real != nullptr) *as_real = std::make_unique<RealRank>(std::move(mine), own);
        if (as_puppet != nullptr)
          *as_puppet = std::make_unique<Puppet>(std::move(mine), own, setting.before);
      } catch (const std::exception&) {
        failure = std::current_exception();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const std::exception_ptr& failure : failures) {
    if (failure) std::rethrow_exception(failure);
  }
}

}  // namespace lockstep::liveness
