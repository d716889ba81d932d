#include "comm/comm_queue.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
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
    queue.Submit([&, i](Communicator& c) {
      EXPECT_EQ(&c, self.get());
      order.push_back(i);
    });
  }
  queue.Submit([&](Communicator&) { thread = std::this_thread::get_id(); }).Wait();
  EXPECT_NE(thread, std::this_thread::get_id());
  ASSERT_EQ(order.size(), 100U);
  EXPECT_TRUE(std::is_sorted(order.begin(), order.end()));
}

TEST(CommQueue, SubmitDoesNotWaitForTheJob) {
  const auto self = MakeSelfCommunicator();
  CommQueue queue(*self);
  std::atomic<bool> go = false;
  CommQueue::Handle handle = queue.Submit([&](Communicator&) {
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
  CommQueue::Handle first = queue.Submit([](Communicator&) { throw CommError("rank 1 has died"); });
  CommQueue::Handle second = queue.Submit([&](Communicator&) { ran = true; });
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
      handle = queue.Submit([&](Communicator&) {
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
      [](Communicator&) { std::this_thread::sleep_for(std::chrono::milliseconds(10)); });
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
    handles.push_back(queue.Submit([&, b](Communicator& communicator) {
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

TEST(CommQueue, AbortEndsTheWaitOfAJob) {
  auto ranks = MakeThreadCommunicators(2);
  CommQueue queue(*ranks[0]);
  CommQueue::Handle handle = queue.Submit([](Communicator& c) { c.Barrier(); });
  ranks[1]->Abort("stopped by SIGTERM");
  EXPECT_THROW(handle.Wait(), CommError);
}

}  // namespace
}  // namespace lockstep
