#include "comm/comm_group.h"

namespace lockstep {

void CommGroup::Gather(const void* mine, size_t bytes, void* all) {
  Submit("gather", [=](Communicator& ranks) { ranks.Allgather(mine, bytes, all); }).Wait();
}

void CommGroup::Broadcast(void* data, size_t bytes, int root) {
  Submit("broadcast", [=](Communicator& ranks) { ranks.Broadcast(data, bytes, root); }).Wait();
}

void CommGroup::Sum(int64_t* values, int64_t count) {
  Submit("sum", [=](Communicator& ranks) {
    ranks.Allreduce(values, count, WireType::kInt64, ReduceOp::kSum);
  }).Wait();
}

std::shared_ptr<std::byte> CommGroup::Allocate(size_t bytes) {
  std::shared_ptr<std::byte> memory;
  Submit("allocate", [&](Communicator& ranks) { memory = ranks.Allocate(bytes); }).Wait();
  return memory;
}

}  // namespace lockstep
