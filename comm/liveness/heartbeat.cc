#include "comm/liveness/heartbeat.h"

#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>

#include <atomic>
#include <exception>
#include <future>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "comm/liveness/kernel_kills_internal.h"
#include "comm/liveness/links_internal.h"
#include "comm/liveness/progress_table_internal.h"
#include "kernels/error.h"

namespace lockstep {

using liveness::Clock;
using liveness::Finding;
using liveness::Frame;
using liveness::FrameType;
using liveness::Milliseconds;

namespace {

constexpr Milliseconds kFlush{200};    // for last words to reach the system's buffers
constexpr Milliseconds kLeaving{300};  // for the others to close their side, too
constexpr Milliseconds kPoll{5};
constexpr Milliseconds kJustLost{3000};  // for a silence to be noticed, and told

Frame MakeFrame(FrameType type, int rank) {
  return {.type = type, .sender = rank, .token = {}, .states = {}, .lost = {}};
}

// Signals are for the threads of the program.
class SignalsBlocked {
 public:
  SignalsBlocked() {
    sigset_t all;
    ::sigfillset(&all);
    ::pthread_sigmask(SIG_SETMASK, &all, &before_);
  }
  ~SignalsBlocked() { ::pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  SignalsBlocked(const SignalsBlocked&) = delete;
  SignalsBlocked& operator=(const SignalsBlocked&) = delete;

 private:
  sigset_t before_{};
};

}  // namespace

class Heartbeat::Impl {
 public:
  Impl(RankGroup& group, const ProgressBoard& progress, HeartbeatOptions options,
       HeartbeatCalls calls);
  ~Impl();

  void LetFirstFinish() noexcept;
  void FirstHasFinished() noexcept;
  void Leave() noexcept;
  void GiveUp(const std::string& why) noexcept;
  void LeaveFromSignal() const noexcept;

 private:
  enum class Phase { kJoining, kJoined, kWatching, kEnding };

  void Start(RankGroup& group);
  uint16_t OwnPort() const;
  void Run();
  void WaitForAll(std::future<void> all_there);
  void Stop();

  // On the thread.
  Frame MakeBeat();
  void Beat();
  void Tick();
  void Joined(int rank);
  void Received(int rank, const Frame& frame);
  void Closed(int rank);
  void Look();
  void LookForStuck(Clock::time_point now);
  bool ShortOfMemory(int rank) const;
  void Found(Finding finding);
  void Conclude(RankLost lost);
  void SendLost(const RankLost& lost);
  void WhenFlushed(Clock::time_point deadline, std::function<void()> then);
  void SayGoodbye(std::function<void()> then);
  void WhenEmpty(Clock::time_point deadline, std::function<void()> then);
  bool MustNotEnd() const { return star_.rank == 0 && first_finishes_ && !first_has_finished_; }
  template <typename Action>
  void RunAndWait(const Action& action, Milliseconds limit) noexcept;

  const HeartbeatOptions options_;
  const HeartbeatCalls calls_;
  const ProgressBoard& progress_;
  std::vector<liveness::Peer> peers_;
  liveness::Star star_;
  std::vector<std::byte> goodbye_;
  const std::optional<int64_t> kills_before_ = liveness::KernelKills();
  std::vector<std::atomic<int>> sockets_;  // by rank; -1: none

  boost::asio::io_context io_{1};
  boost::asio::steady_timer tick_{io_};
  boost::asio::steady_timer poll_{io_};
  std::optional<liveness::Links> links_;
  std::optional<liveness::Watch> watch_;
  std::optional<liveness::ProgressTable> table_;
  Phase phase_ = Phase::kJoining;
  bool first_finishes_ = false;
  bool first_has_finished_ = false;
  std::optional<RankLost> told_meanwhile_;    // rank 0
  std::function<void()> when_all_have_left_;  // rank 0
  std::promise<void> all_there_;
  bool left_ = false;                          // of the owner's thread
  mutable std::atomic<bool> leaving_ = false;  // by a signal: it misses nobody any more
  std::thread thread_;
};

Heartbeat::Impl::Impl(RankGroup& group, const ProgressBoard& progress, HeartbeatOptions options,
                      HeartbeatCalls calls)
    : options_(std::move(options)),
      calls_(std::move(calls)),
      progress_(progress),
      peers_(liveness::ExchangePeers(group, options_.host_key)),
      star_{.rank = group.rank(), .size = group.size(), .deputy = liveness::DeputyOf(peers_)},
      goodbye_(Encode(MakeFrame(FrameType::kGoodbye, star_.rank))),
      sockets_(peers_.size()) {
  for (std::atomic<int>& socket : sockets_) socket = -1;
  links_.emplace(io_, star_, peers_,
                 liveness::Links::Events{
                     .joined = [this](int rank) { Joined(rank); },
                     .frame = [this](int rank, const Frame& frame) { Received(rank, frame); },
                     .closed = [this](int rank) { Closed(rank); }});
  watch_.emplace(
      star_,
      liveness::Watch::Limits{
          .silence = options_.silence, .patience = options_.patience, .tick = options_.interval},
      Clock::now());
  table_.emplace(star_.size);
  try {
    Start(group);
  } catch (...) {
    Stop();
    throw;
  }
}

uint16_t Heartbeat::Impl::OwnPort() const {
  if (options_.port == 0 || star_.rank == 0) return options_.port;
  return static_cast<uint16_t>(options_.port + 1);
}

// What fails on one rank fails on all, so that nobody waits for it.
void Heartbeat::Impl::Start(RankGroup& group) {
  std::exception_ptr failure;
  uint16_t port = 0;
  try {
    if (star_.IsHub(star_.rank)) port = links_->Listen(OwnPort());
  } catch (const CommError&) {
    failure = std::current_exception();
  }
  AgreeOnFailure(group, failure);
  ExchangePorts(group, port, &peers_);
  const liveness::Token token = liveness::ShareToken(group);
  try {
    std::future<void> all_there = all_there_.get_future();
    post(io_, [this, token] {
      links_->Join(token);
      Tick();
    });
    {
      const SignalsBlocked blocked;
      thread_ = std::thread([this] { Run(); });
    }
    WaitForAll(std::move(all_there));
  } catch (const std::exception&) {
    failure = std::current_exception();
  }
  AgreeOnFailure(group, failure);
  post(io_, [this] {
    if (phase_ == Phase::kJoined) phase_ = Phase::kWatching;
  });
}

void Heartbeat::Impl::WaitForAll(std::future<void> all_there) {
  if (all_there.wait_for(options_.join) == std::future_status::ready) return;
  Stop();
  throw CommError("no heartbeat from " + links_->Missing() +
                  "; let all ports be open between the hosts of a job, or give "
                  "--heartbeat-timeout 0");
}

// A rank whose heartbeat fails falls silent, and is missed by the others.
void Heartbeat::Impl::Run() {
  try {
    const auto work = boost::asio::make_work_guard(io_);
    io_.run();
  } catch (const std::exception&) {
    return;
  }
}

void Heartbeat::Impl::Stop() {
  io_.stop();
  if (thread_.joinable()) thread_.join();
}

Heartbeat::Impl::~Impl() {
  Leave();
  Stop();
}

void Heartbeat::Impl::Joined(int rank) {
  watch_->Heard(rank, Clock::now());
  sockets_[static_cast<size_t>(rank)] = links_->To(rank)->socket().native_handle();
  links_->To(rank)->Send(MakeBeat());  // which says to a hub that its hello was heard
  if (!links_->complete()) return;
  phase_ = Phase::kJoined;
  all_there_.set_value();
}

// The hubs tell of all ranks, of some at a time where these are many.
Frame Heartbeat::Impl::MakeBeat() {
  const Clock::time_point now = Clock::now();
  const liveness::RankState own = liveness::StateOf(star_.rank, progress_.Read(), now);
  table_->Update(own, now);
  Frame beat = MakeFrame(FrameType::kBeat, star_.rank);
  if (star_.IsHub(star_.rank)) beat.states = table_->NextPart(liveness::kMostStates - 1, now);
  beat.states.insert(beat.states.begin(), own);
  return beat;
}

void Heartbeat::Impl::Beat() {
  const Frame beat = MakeBeat();
  links_->ForEach([&](liveness::Connection& link) { link.Send(beat); });
}

void Heartbeat::Impl::Tick() {
  if (phase_ == Phase::kEnding) return;
  tick_.expires_after(options_.interval);
  tick_.async_wait([this](boost::system::error_code error) {
    if (!error) Tick();
  });
  links_->Sweep(Clock::now());
  Beat();
  Look();
}

void Heartbeat::Impl::Look() {
  if (phase_ != Phase::kWatching || leaving_ || MustNotEnd()) return;
  const Clock::time_point now = Clock::now();
  if (const std::optional<Finding> finding = watch_->Look(now)) return Found(*finding);
  LookForStuck(now);
}

void Heartbeat::Impl::LookForStuck(Clock::time_point now) {
  // Others wait for what rank 0 has to finish, as long as it takes.
  if (star_.rank != 0 || options_.stuck.count() == 0 || first_finishes_) return;
  const auto has_left = [this](int rank) { return watch_->HasLeft(rank); };
  if (const auto behind = table_->FindHanging(options_.stuck, now, has_left)) {
    return Found({.rank = *behind, .how = RankLost::How::kHangs, .silent = options_.stuck});
  }
  if (const auto missing = table_->FindMissing(options_.stuck, now, has_left)) {
    Found({.rank = *missing, .how = RankLost::How::kStuck, .silent = options_.stuck});
  }
}

void Heartbeat::Impl::Received(int rank, const Frame& frame) {
  const Clock::time_point now = Clock::now();
  watch_->Heard(rank, now);
  if (frame.type == FrameType::kBeat) {
    for (const liveness::RankState& state : frame.states) table_->Update(state, now);
  } else if (frame.type == FrameType::kGoodbye) {
    watch_->Left(rank);
    sockets_[static_cast<size_t>(rank)] = -1;
    links_->Close(rank);
    if (when_all_have_left_ && watch_->AllHaveLeft()) std::exchange(when_all_have_left_, {})();
  } else if (frame.type == FrameType::kLost && MustNotEnd()) {
    if (!told_meanwhile_) told_meanwhile_ = frame.lost;
  } else if (frame.type == FrameType::kLost && phase_ != Phase::kEnding) {
    Conclude(frame.lost);
  }
}

void Heartbeat::Impl::Closed(int rank) {
  sockets_[static_cast<size_t>(rank)] = -1;
  watch_->Closed(rank);
  Look();
}

// Counted before the signal is sent, and so before the connection closes.
bool Heartbeat::Impl::ShortOfMemory(int rank) const {
  const auto host = [this](int r) { return peers_[static_cast<size_t>(r)].host_key; };
  return kills_before_ && host(rank) == host(star_.rank) && liveness::KernelKills() > kills_before_;
}

void Heartbeat::Impl::Found(Finding finding) {
  const Clock::time_point now = Clock::now();
  finding.short_of_memory = finding.how == RankLost::How::kDied && ShortOfMemory(finding.rank);
  table_->Update(liveness::StateOf(star_.rank, progress_.Read(), now), now);
  const RankLost lost = Describe(finding, peers_, *table_, now);
  if (calls_.say) calls_.say(lost);
  Conclude(lost);
}

void Heartbeat::Impl::Conclude(RankLost lost) {
  phase_ = Phase::kEnding;
  SendLost(lost);
  WhenFlushed(Clock::now() + kFlush, [this, lost = std::move(lost)] {
    if (calls_.end) calls_.end(lost);
    io_.stop();
  });
}

void Heartbeat::Impl::SendLost(const RankLost& lost) {
  Frame frame = MakeFrame(FrameType::kLost, star_.rank);
  frame.lost = lost;
  links_->ForEach([&](liveness::Connection& link) { link.Send(frame); });
}

void Heartbeat::Impl::WhenFlushed(Clock::time_point deadline, std::function<void()> then) {
  if (links_->idle() || Clock::now() >= deadline) return then();
  poll_.expires_after(kPoll);
  poll_.async_wait([this, deadline, then = std::move(then)](boost::system::error_code error) {
    if (!error) WhenFlushed(deadline, then);
  });
}

void Heartbeat::Impl::WhenEmpty(Clock::time_point deadline, std::function<void()> then) {
  if (links_->empty() || Clock::now() >= deadline) return then();
  poll_.expires_after(kPoll);
  poll_.async_wait([this, deadline, then = std::move(then)](boost::system::error_code error) {
    if (!error) WhenEmpty(deadline, then);
  });
}

void Heartbeat::Impl::SayGoodbye(std::function<void()> then) {
  phase_ = Phase::kEnding;
  for (std::atomic<int>& socket : sockets_) socket = -1;
  links_->ForEach([this](liveness::Connection& link) {
    link.Send(MakeFrame(FrameType::kGoodbye, star_.rank));
  });
  WhenEmpty(Clock::now() + kLeaving, std::move(then));
}

// action(done) on the thread, until it calls done().
template <typename Action>
void Heartbeat::Impl::RunAndWait(const Action& action, Milliseconds limit) noexcept {
  try {
    const auto done = std::make_shared<std::promise<void>>();
    std::future<void> result = done->get_future();
    post(io_, [action, done] { action([done] { done->set_value(); }); });
    result.wait_for(limit);
  } catch (const std::exception&) {
    return;
  }
}

void Heartbeat::Impl::LetFirstFinish() noexcept {
  RunAndWait(
      [this](const std::function<void()>& done) {
        first_finishes_ = true;
        watch_->WatchFirstOnly(true);
        done();
      },
      kFlush);
}

void Heartbeat::Impl::FirstHasFinished() noexcept {
  RunAndWait(
      [this](const std::function<void()>& done) {
        first_has_finished_ = true;
        watch_->WatchFirstOnly(false);
        done();
        if (told_meanwhile_ && phase_ != Phase::kEnding) return Conclude(*told_meanwhile_);
        Look();
      },
      kFlush);
}

void Heartbeat::Impl::Leave() noexcept {
  if (!thread_.joinable() || io_.stopped() || std::exchange(left_, true)) return;
  RunAndWait(
      [this](const std::function<void()>& done) {
        if (!first_has_finished_ || phase_ == Phase::kEnding || watch_->AllHaveLeft()) {
          return done();
        }
        when_all_have_left_ = done;
      },
      options_.silence + kJustLost);
  RunAndWait(
      [this](const std::function<void()>& done) {
        if (phase_ == Phase::kEnding) return done();
        SayGoodbye(done);
      },
      2 * kLeaving);
}

void Heartbeat::Impl::GiveUp(const std::string& why) noexcept {
  if (!thread_.joinable() || io_.stopped() || std::exchange(left_, true)) return;
  RunAndWait(
      [this, why](const std::function<void()>& done) {
        if (phase_ == Phase::kEnding) return done();
        phase_ = Phase::kEnding;
        SendLost({.rank = star_.rank,
                  .how = RankLost::How::kGaveUp,
                  .line = "rank " + std::to_string(star_.rank) + " gave up: " + why,
                  .table = "",
                  .told = true});
        WhenFlushed(Clock::now() + kFlush, done);
      },
      2 * kFlush);
}

// Async-signal-safe calls only: send(2). Who is told first may close its side before the next one
// is told: no reason to say to that one that it has died.
void Heartbeat::Impl::LeaveFromSignal() const noexcept {
  leaving_ = true;
  for (const std::atomic<int>& socket : sockets_) {
    const int fd = socket.load();
    if (fd >= 0) ::send(fd, goodbye_.data(), goodbye_.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
  }
}

Heartbeat::Heartbeat(RankGroup& group, const ProgressBoard& progress, HeartbeatOptions options,
                     HeartbeatCalls calls)
    : impl_(std::make_unique<Impl>(group, progress, std::move(options), std::move(calls))) {}

Heartbeat::~Heartbeat() = default;

void Heartbeat::LetFirstFinish() noexcept { impl_->LetFirstFinish(); }

void Heartbeat::FirstHasFinished() noexcept { impl_->FirstHasFinished(); }

void Heartbeat::Leave() noexcept { impl_->Leave(); }

void Heartbeat::GiveUp(const std::string& why) noexcept { impl_->GiveUp(why); }

void Heartbeat::LeaveFromSignal() const noexcept { impl_->LeaveFromSignal(); }

}  // namespace lockstep
