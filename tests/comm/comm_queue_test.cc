#include "comm/comm_queue.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <pthread.h>
#include <signal.h>
#include <time.h>

#include <atomic>
#include <chrono>
#include <string>
#include <thread>
#include <vector>

#include "comm/self_communicator.h"
#include "comm/thread/thread_communicator.h"
#include "kernels/error.h"

namespace lockstep {
namespace {

TEST(CommQueue, RunsJobsInOrderOnAThreadOfItsOwn) {
  const auto self = MakeSelfCommunicator();
  CommQueue queue(*self);
  std::vector<int> order;
  std::thread::id thread;
  for (int i = 0; i < 100; ++i) {
    queue.Submit("a job", [&, i](Communicator& c) {
      EXPECT_EQ(&c, self.get());
      order.push_back(i);
    });
  }
  queue.Submit("a job", [&](Communicator&) { thread = std::this_thread::get_id(); }).Wait();
  EXPECT_NE(thread, std::this_thread::get_id());
  ASSERT_EQ(order.size(), 100U);
  EXPECT_TRUE(std::is_sorted(order.begin(), order.end()));
}

TEST(CommQueue, SubmitDoesNotWaitForTheJob) {
  const auto self = MakeSelfCommunicator();
  CommQueue queue(*self);
  std::atomic<bool> go = false;
  CommQueue::Handle handle = queue.Submit("a job", [&](Communicator&) {
    while (!go) std::this_thread::yield();
  });
  EXPECT_FALSE(handle.done());
  go = true;
  handle.Wait();
  EXPECT_TRUE(handle.done());
  handle.Wait();  // again does nothing
}

TEST(CommQueue, LaterJobsAreNotRunAfterOneThrew) {
  const auto self = MakeSelfCommunicator();
  CommQueue queue(*self);
  bool ran = false;
  CommQueue::Handle first =
      queue.Submit("a job", [](Communicator&) { throw CommError("rank 1 has died"); });
  CommQueue::Handle second = queue.Submit("a job", [&](Communicator&) { ran = true; });
  for (CommQueue::Handle* handle : {&first, &second}) {
    try {
      handle->Wait();
      ADD_FAILURE() << "nothing was thrown";
    } catch (const CommError& error) {
      EXPECT_STREQ(error.what(), "rank 1 has died");
    }
  }
  EXPECT_FALSE(ran);
}

TEST(CommQueue, WaitsForWhatIsSubmittedWhenItEnds) {
  const auto self = MakeSelfCommunicator();
  int ran = 0;
  CommQueue::Handle handle;
  handle.Wait();  // of no job
  {
    CommQueue queue(*self);
    for (int i = 0; i < 10; ++i) {
      handle = queue.Submit("a job", [&](Communicator&) {
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
        ++ran;
      });
    }
  }
  EXPECT_EQ(ran, 10);
  EXPECT_TRUE(handle.done());
}

TEST(CommQueue, WaitMayBeCalledFromAnyThread) {
  const auto self = MakeSelfCommunicator();
  CommQueue queue(*self);
  CommQueue::Handle handle = queue.Submit(
      "a job", [](Communicator&) { std::this_thread::sleep_for(std::chrono::milliseconds(10)); });
  std::vector<std::thread> waiters;
  waiters.reserve(4);
  for (int i = 0; i < 4; ++i) waiters.emplace_back([handle]() mutable { handle.Wait(); });
  for (std::thread& waiter : waiters) waiter.join();
  EXPECT_TRUE(handle.done());
}

// Each rank computes while its queue sums what it has handed over.
void SumBesideComputation(Communicator& c) {
  std::vector<std::vector<float>> buckets(8, std::vector<float>(30000));
  CommQueue queue(c);
  std::vector<CommQueue::Handle> handles;
  for (size_t b = 0; b < buckets.size(); ++b) {
    for (float& value : buckets[b])
      value = static_cast<float>(c.rank() + 1) * static_cast<float>(b);
    handles.push_back(queue.Submit("a job", [&, b](Communicator& communicator) {
      communicator.Allreduce(buckets[b].data(), 30000, WireType::kFloat32, ReduceOp::kSum);
    }));
  }
  for (size_t b = 0; b < buckets.size(); ++b) {
    handles[b].Wait();
    EXPECT_THAT(buckets[b], ::testing::Each(6.0F * static_cast<float>(b)));
  }
}

TEST(CommQueue, QueuesOfSeveralRanksSumTheirBuckets) {
  std::vector<std::thread> ranks;
  for (auto& communicator : MakeThreadCommunicators(3)) {
    ranks.emplace_back([c = std::move(communicator)] { SumBesideComputation(*c); });
  }
  for (std::thread& rank : ranks) rank.join();
}

TEST(CommQueue, SaysWhichJobItIsIn) {
  const auto self = MakeSelfCommunicator();
  CommQueue queue(*self);
  EXPECT_EQ(queue.progress().Read().state, CommProgress::State::kNone);
  EXPECT_EQ(queue.progress().Read().number, 0U);
  std::atomic<bool> go = false;
  queue.Submit("gather", [](Communicator&) {}).Wait();
  const auto before = std::chrono::steady_clock::now();
  CommQueue::Handle handle = queue.Submit("gradients 3", [&](Communicator&) {
    while (!go) std::this_thread::yield();
  });
  while (queue.progress().Read().number != 2) std::this_thread::yield();
  const CommProgress inside = queue.progress().Read();
  EXPECT_EQ(inside.name, "gradients 3");
  EXPECT_EQ(inside.state, CommProgress::State::kInside);
  EXPECT_GE(inside.since, before);
  const auto released = std::chrono::steady_clock::now();
  go = true;
  handle.Wait();
  const CommProgress finished = queue.progress().Read();
  EXPECT_EQ(finished.state, CommProgress::State::kFinished);
  EXPECT_EQ(finished.number, 2U);
  EXPECT_GE(finished.since, released);
  EXPECT_THROW(queue.Submit("barrier", [](Communicator&) { throw CommError("no"); }).Wait(),
               CommError);
  EXPECT_EQ(queue.progress().Read().name, "barrier");
  EXPECT_EQ(queue.progress().Read().state, CommProgress::State::kInside);
}

// What is read belongs together, however the reader and the writer meet.
TEST(ProgressBoard, IsReadWhole) {
  ProgressBoard board;
  std::atomic<bool> stop = false;
  std::atomic<int> reads = 0;
  std::thread reader([&] {
    uint64_t newest = 0;
    for (; !stop; ++reads) {
      const CommProgress seen = board.Read();
      ASSERT_GE(seen.number, newest);
      newest = seen.number;
      if (newest == 0) continue;
      const std::string digits = std::to_string(seen.number);
      ASSERT_EQ(seen.name, digits + std::string(CommProgress::kNameBytes - digits.size(), 'x'));
    }
  });
  uint64_t written = 0;
  while (reads < 200000 && !::testing::Test::HasFailure()) {
    board.Enter(std::to_string(++written) + std::string(CommProgress::kNameBytes, 'x'));
    board.Finish();
  }
  stop = true;
  reader.join();
  EXPECT_EQ(board.Read().number, written);
}

// A writer that is held up in the middle of a write, as by the system's scheduler, is waited for:
// else the next collective is there already and still "finished", as the one before.
TEST(ProgressBoard, IsNotReadInTheMiddleOfAWrite) {
  static std::atomic<int> holds = 0;
  struct sigaction hold {
  }, before{};
  hold.sa_handler = [](int) {
    ++holds;
    const timespec pause{.tv_sec = 0, .tv_nsec = 200'000};
    ::nanosleep(&pause, nullptr);
  };
  ASSERT_EQ(::sigaction(SIGUSR2, &hold, &before), 0);
  ProgressBoard board;
  std::atomic<bool> stop = false;
  std::atomic<uint64_t> finishing = 0;
  std::thread writer([&] {
    for (uint64_t number = 1; !stop; ++number) {
      board.Enter("a job");
      finishing = number;
      board.Finish();
    }
  });
  const int before_all = holds;
  for (int i = 0; i < 20; ++i) {
    ::pthread_kill(writer.native_handle(), SIGUSR2);
    while (holds <= before_all + i) std::this_thread::yield();
    for (int read = 0; read < 3; ++read) {
      const CommProgress seen = board.Read();
      if (seen.state != CommProgress::State::kFinished) continue;
      EXPECT_LE(seen.number, finishing);
    }
    // Another signal is to meet the writer at another place.
    for (const uint64_t held_at = finishing; finishing < held_at + 2;) std::this_thread::yield();
  }
  stop = true;
  writer.join();
  ::sigaction(SIGUSR2, &before, nullptr);
}

TEST(CommQueue, AbortEndsTheWaitOfAJob) {
  auto ranks = MakeThreadCommunicators(2);
  CommQueue queue(*ranks[0]);
  CommQueue::Handle handle = queue.Submit("a job", [](Communicator& c) { c.Barrier(); });
  ranks[1]->Abort("stopped by SIGTERM");
  EXPECT_THROW(handle.Wait(), CommError);
}

}  // namespace
}  // namespace lockstep
