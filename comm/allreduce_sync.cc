#include "comm/allreduce_sync.h"

#include <algorithm>
#include <string>
#include <utility>

#include "comm/reduce.h"
#include "engine/plan/buckets.h"
#include "engine/train/seconds.h"
#include "kernels/error.h"

namespace lockstep {
namespace {

constexpr int64_t kNarrowBytes = 2;  // of an element on a narrow wire

WireType WireOf(DType dtype) {
  return dtype == DType::kFloat64 ? WireType::kFloat64 : WireType::kFloat32;
}

bool IsAveraged(const Variables::Entry& entry) {
  return entry.role == Role::kState && IsFloating(entry.type.dtype);
}

// Of all running statistics together.
int64_t SizeOfStates(const Variables& variables) {
  int64_t size = 0;
  for (const Variables::Entry& entry : variables.entries()) {
    if (IsAveraged(entry)) size += entry.type.shape.size();
  }
  return size;
}

}  // namespace

std::string AllreduceSync::settings() const {
  std::string text = options_.bucket_bytes == 0
                         ? "in one piece"
                         : "in pieces of " + std::to_string(options_.bucket_bytes) + " bytes";
  if (options_.wire) {
    text += options_.wire == WireType::kFloat16 ? ", as float16" : ", as bfloat16";
    text += options_.error_feedback ? " with error feedback" : " without error feedback";
  }
  if (options_.double_buffering) text += ", one step late";
  text += ", in parts from " + std::to_string(options_.least_bytes_in_parts) + " bytes on";
  return text + (options_.average_states ? "" : ", statistics each rank's own");
}

void AllreduceSync::Prepare(Variables& variables) {
  if (std::exchange(prepared_, true)) return;
  if (options_.double_buffering && variables.loss_scale() != nullptr) {
    throw ConfigError(
        "double buffering uses gradients a step late, by when the loss scale of float16 may be "
        "another; compute in bfloat16 or float32");
  }
  if (options_.wire && options_.error_feedback && variables.loss_scale() != nullptr) {
    throw ConfigError(
        "error feedback adds to a gradient what rounding took from the one before, by when the "
        "loss scale of float16 may be another; go without it, or compute in bfloat16 or float32");
  }
  const auto size = static_cast<size_t>(variables.flat_size());
  const size_t element = SizeOf(variables.dtype());
  flat_ = {Shape({variables.flat_size()}), variables.dtype()};
  on_device_ = !variables.backend().shares_host_memory() && group_.Reaches(variables.backend()) &&
               (!options_.wire || CanNarrowOnDevice(variables));
  if (options_.average_states) {
    states_ = group_.Allocate(static_cast<size_t>(SizeOfStates(variables)) * element);
  }
  if (options_.wire && on_device_) {
    device_narrow_ = std::make_shared<DeviceNarrowSums>(
        variables.backend(), options_.error_feedback, variables.flat_size());
  } else if (options_.wire) {
    narrow_ = std::make_shared<NarrowSums>(*options_.wire, options_.error_feedback,
                                           variables.dtype(), variables.flat_size(),
                                           group_.Allocate(size * SizeOf(*options_.wire)));
  }
  if (options_.double_buffering) {
    pending_ = AllocateFlat(variables, "gradients of the step before");
    if (on_device_) spare_ = AllocateFlat(variables, "gradients that change places");
  }
  TakeRestored(variables);
}

bool AllreduceSync::CanNarrowOnDevice(const Variables& variables) const {
  return DeviceNarrowSums::CanSend(*options_.wire) && variables.dtype() == DType::kFloat32 &&
         group_.size() > 1;
}

bool AllreduceSync::CanBeInParts(const Variables& variables) const {
  return !options_.wire && !options_.double_buffering &&
         static_cast<size_t>(flat_.bytes()) >= options_.least_bytes_in_parts &&
         variables.backend().shares_host_memory();
}

void AllreduceSync::ShareGradients(Variables& variables, bool wanted) {
  if (group_.size() == 1) return;
  int64_t wanting = wanted ? 1 : 0;
  group_.Sum(&wanting, 1);
  if (wanting < group_.size()) return;
  shared_ = group_.Share(variables.host_gradients(), static_cast<size_t>(flat_.bytes()));
  if (shared_.empty()) return;
  const auto element = static_cast<int64_t>(SizeOf(variables.dtype()));
  const int64_t all = variables.flat_size(), bucket = BucketOf(variables);
  for (int64_t begin = 0; begin < all; begin += bucket) {
    for (int r = 0; r < group_.size(); ++r) {
      const Part part = PartOf(std::min(bucket, all - begin), r, group_.size());
      const auto* const of_rank =
          static_cast<const std::byte*>(shared_[static_cast<size_t>(r)].get());
      parts_.push_back(
          {begin + part.begin, begin + part.end, of_rank + (begin + part.begin) * element});
    }
  }
}

int64_t AllreduceSync::BucketOf(const Variables& variables) const {
  return ElementsOfBucket(options_.bucket_bytes, SizeOf(variables.dtype()), variables.flat_size());
}

std::shared_ptr<void> AllreduceSync::AllocateFlat(const Variables& variables, const char* purpose) {
  const auto bytes = static_cast<size_t>(flat_.bytes());
  if (!on_device_) return group_.Allocate(bytes);
  DeviceMemory memory = AllocateOn(variables.backend(), bytes, purpose);
  variables.backend().Clear(memory.get(), bytes);
  return memory;
}

void AllreduceSync::BeginStep(Variables& variables, bool in_parts) {
  Prepare(variables);
  collected_ = false;
  // Ranks that are still updating read what others would overwrite.
  if (in_parts_) group_.Barrier("parts of gradients are read");
  if (!std::exchange(asked_to_share_, true)) {
    ShareGradients(variables, in_parts && CanBeInParts(variables));
  }
  in_parts_ = in_parts && !parts_.empty();
  finite_->store(true);
  SubmitPending(variables);
}

void AllreduceSync::SubmitPending(const Variables& variables) {
  if (!pending_ || std::exchange(pending_is_sum_, true) || pending_count_ == 0) return;
  Submit(pending_, variables, variables.flat_size());
  sent_ = 0;
}

void AllreduceSync::Ready(Variables& variables, int64_t end) {
  if (!on_device_) variables.FetchGradients(fetched_, end);
  fetched_ = end;
  if (!options_.double_buffering) Submit(Summed(variables), variables, end);
}

// Buckets are the same in every step: whole ones when all of their elements are there, the rest
// at the end of the pass.
void AllreduceSync::Submit(const std::shared_ptr<void>& gradients, const Variables& variables,
                           int64_t end) {
  const auto element = static_cast<int64_t>(SizeOf(variables.dtype()));
  const int64_t all = variables.flat_size(), bucket = BucketOf(variables);
  const WireType wire = WireOf(variables.dtype());
  const int64_t sent_element = options_.wire ? kNarrowBytes : element;
  const int64_t until = end == all ? all : end / bucket * bucket;
  if (sent_ >= until) return;
  if (device_narrow_) {
    device_narrow_->Pack(gradients.get(), sent_, until - sent_);
    narrowed_ = gradients;
  }
  const std::shared_ptr<DeviceMoment> finished = on_device_ ? variables.backend().Mark() : nullptr;
  while (sent_ < until) {
    const int64_t begin = sent_, count = std::min(bucket, all - sent_);
    const std::string name = "gradients " + std::to_string(begin / bucket);
    last_ =
        group_.Submit(name, [=, narrow = narrow_, device_narrow = device_narrow_, times = times_,
                             in_parts = in_parts_, finite = finite_](Communicator& ranks) {
          if (finished) finished->Wait();
          const double start = Seconds();
          auto* const data = static_cast<std::byte*>(gradients.get()) + begin * element;
          if (narrow) {
            narrow->Sum(ranks, gradients.get(), begin, count);
          } else if (device_narrow) {
            device_narrow->Sum(ranks, begin, count);
          } else if (!in_parts) {
            ranks.Allreduce(data, count, wire, ReduceOp::kSum);
          } else if (!ranks.ReduceScatter(data, count, wire, ReduceOp::kSum)) {
            finite->store(false);
          }
          times->Add({.begin = start, .end = Seconds(), .bytes = count * sent_element});
        });
    sent_ += count;
  }
}

void AllreduceSync::FinishSent() {
  last_.Wait();
  if (narrowed_) device_narrow_->Unpack(std::exchange(narrowed_, nullptr).get());
}

std::span<const GradientPart> AllreduceSync::FinishGradients(Variables& variables) {
  Ready(variables, variables.flat_size());
  sent_ = fetched_ = 0;
  if (in_parts_) {
    // A rank's sum may return before other ranks have finished their parts.
    last_ =
        group_.Submit("parts of gradients are sums", [](Communicator& ranks) { ranks.Barrier(); });
  }
  FinishSent();
  if (pending_) ExchangePending(variables);
  if (!on_device_) variables.StoreGradients();
  return in_parts_ ? std::span<const GradientPart>(parts_) : std::span<const GradientPart>();
}

bool AllreduceSync::ShareOfSumsIsFinite(const Variables& variables) const {
  if (in_parts_) return finite_->load();
  // Whole sums are the same on every rank: all ranks together look at each of them once.
  const Part mine = PartOf(variables.flat_size(), group_.rank(), group_.size());
  const auto* const gradients = static_cast<const std::byte*>(variables.gradients());
  const auto element = static_cast<int64_t>(SizeOf(variables.dtype()));
  return variables.backend().reduce().FirstNonFinite(variables.dtype(), mine.size(),
                                                     gradients + mine.begin * element) < 0;
}

// Those of lanes, which are made for them, are among them.
std::vector<SumTime> AllreduceSync::TakeTimes() {
  std::vector<SumTime> times = times_->Take(), of_lanes = group_.TakeTimes();
  times.insert(times.end(), of_lanes.begin(), of_lanes.end());
  return times;
}

void AllreduceSync::LetGoOfDevice() noexcept {
  if (!on_device_) return;
  for (std::shared_ptr<void>* memory : {&narrowed_, &pending_, &spare_}) memory->reset();
  device_narrow_.reset();
}

void AllreduceSync::ExchangePending(Variables& variables) {
  pending_is_sum_ = false;
  if (!on_device_) {
    auto* const mine = static_cast<std::byte*>(variables.host_gradients().get());
    std::swap_ranges(mine, mine + flat_.bytes(), static_cast<std::byte*>(pending_.get()));
    return;
  }
  const auto bytes = static_cast<size_t>(flat_.bytes());
  variables.backend().Copy(variables.gradients(), spare_.get(), bytes);
  variables.backend().Copy(pending_.get(), variables.gradients(), bytes);
  std::swap(pending_, spare_);
}

int64_t AllreduceSync::CountOf(int64_t count) {
  return options_.double_buffering ? std::exchange(pending_count_, count) : count;
}

void AllreduceSync::AverageStates(Variables& variables, int64_t mine, int64_t all) {
  if (!options_.average_states || all == 0) return;
  Prepare(variables);
  if (variables.dtype() == DType::kFloat64) {
    AverageStatesOf<double>(variables, mine, all);
  } else {
    AverageStatesOf<float>(variables, mine, all);
  }
}

template <typename T>
void AllreduceSync::AverageStatesOf(Variables& variables, int64_t mine, int64_t all) {
  const int64_t size = SizeOfStates(variables);
  if (size == 0) return;
  T* const packed = reinterpret_cast<T*>(states_.get());

  const T weight = static_cast<T>(static_cast<double>(mine) / static_cast<double>(all));
  T* at = packed;
  for (const Variables::Entry& entry : variables.entries()) {
    if (!IsAveraged(entry)) continue;
    const Tensor view = variables.View(entry);
    const auto values = view.values<T>();
    at = std::transform(values.begin(), values.end(), at,
                        [weight](T value) { return value * weight; });
  }
  group_
      .Submit("running statistics",
              [=](Communicator& ranks) {
                ranks.Allreduce(packed, size,
                                WireOf(sizeof(T) == 8 ? DType::kFloat64 : DType::kFloat32),
                                ReduceOp::kSum);
              })
      .Wait();
  T* from = packed;
  for (const Variables::Entry& entry : variables.entries()) {
    if (!IsAveraged(entry)) continue;
    variables.Set(entry, Tensor::Wrap(entry.type.dtype, entry.type.shape, from, nullptr));
    from += entry.type.shape.size();
  }
}

}  // namespace lockstep
