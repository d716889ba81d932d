#include "engine/plan/run_memory.h"

#include <cstring>
#include <utility>

namespace lockstep {

RunMemory::RunMemory(Backend& backend, int64_t rows, std::vector<int64_t> input_bytes)
    : backend_(backend),
      rows_(rows),
      input_bytes_(std::move(input_bytes)),
      epoch_(&head_.epoch),
      sums_(&head_.sums) {
  if (backend.shares_host_memory()) return;
  constexpr int64_t kHead = Padded<int64_t>(sizeof(Head));
  const int64_t begin = kHead + rows * static_cast<int64_t>(sizeof(int64_t));
  begin_.resize(static_cast<size_t>(begin));
  int64_t bytes = Padded(begin);
  for (const int64_t size : input_bytes_) {
    input_offset_.push_back(bytes);
    bytes += Padded(size);
  }
  block_ = AllocateOn(backend, static_cast<size_t>(bytes), "a batch");
  auto* const base = static_cast<char*>(block_.get());
  Head* const head = reinterpret_cast<Head*>(base);
  epoch_ = &head->epoch;
  sums_ = &head->sums;
  ids_ = reinterpret_cast<const int64_t*>(base + kHead);
}

void RunMemory::Begin(uint32_t epoch, const int64_t* ids) {
  head_ = {.sums = {}, .epoch = epoch};
  if (!block_) {
    ids_ = ids;
    return;
  }
  const size_t id_bytes = static_cast<size_t>(rows_) * sizeof(int64_t);
  std::memcpy(begin_.data(), &head_, sizeof head_);
  std::memcpy(begin_.data() + begin_.size() - id_bytes, ids, id_bytes);
  backend_.Upload(begin_.data(), block_.get(), begin_.size());
}

const void* RunMemory::PlaceOf(size_t input, const void* host) const {
  return block_ ? static_cast<char*>(block_.get()) + input_offset_[input] : host;
}

void RunMemory::Feed(size_t input, const void* host) {
  if (!block_) return;
  backend_.Upload(host, static_cast<char*>(block_.get()) + input_offset_[input],
                  static_cast<size_t>(input_bytes_[input]));
}

LossSums RunMemory::TakeSums() const {
  if (!block_) return head_.sums;
  LossSums sums;
  backend_.Download(sums_, &sums, sizeof sums);
  return sums;
}

}  // namespace lockstep
