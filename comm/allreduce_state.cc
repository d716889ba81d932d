// What AllreduceSync adds to a checkpoint.
#include <algorithm>
#include <cstring>

#include "comm/allreduce_sync.h"
#include "engine/tensor/host_array.h"
#include "engine/train/state.h"

namespace lockstep {
namespace {

constexpr const char* kRanks = "sync/residuals";
constexpr const char* kPending = "sync/pending";
constexpr const char* kPendingCount = "sync/pending_count";
constexpr int64_t kMostRanks = 1'000'000;

std::string ResidualKey(int64_t rank) { return "sync/residual/" + std::to_string(rank); }

// In the order of the ranks.
Tensor SumOf(const std::vector<Tensor>& tensors) {
  Tensor sum = tensors.front().Cast(DType::kFloat64).Clone();
  const auto values = sum.values<double>();
  for (size_t rank = 1; rank < tensors.size(); ++rank) {
    const Tensor next = tensors[rank].Cast(DType::kFloat64);
    std::transform(values.begin(), values.end(), next.values<double>().begin(), values.begin(),
                   std::plus<double>());
  }
  return sum.Cast(tensors.front().dtype());
}

bool Holds(const CheckpointContents& contents, const char* value) {
  return contents.values.contains(value);
}

}  // namespace

SyncState* AllreduceSync::state() {
  const bool residuals = options_.wire && options_.error_feedback;
  return residuals || options_.double_buffering ? this : nullptr;
}

// Sums of gradients that wait for the next step are made now: they are what they would be then.
void AllreduceSync::Collect(Variables& variables) {
  Prepare(variables);
  SubmitPending(variables);
  FinishSent();
  CollectResiduals();
  if (pending_) {
    collected_pending_ = on_device_
                             ? CopyToHost(variables.backend(), flat_, pending_.get())
                             : Tensor::Wrap(flat_.dtype, flat_.shape, pending_.get(), pending_);
  }
  collected_ = true;
}

std::optional<Tensor> AllreduceSync::Residual() const {
  if (device_narrow_ && device_narrow_->has_residual()) return device_narrow_->Residual();
  if (!narrow_ || narrow_->residual().empty()) return std::nullopt;
  return Tensor::Wrap(flat_.dtype, flat_.shape, narrow_->residual().data(), narrow_);
}

// A piece at a time: only the first rank holds those of all.
void AllreduceSync::CollectResiduals() {
  constexpr size_t kPiece = size_t{1} << 20;
  residuals_.clear();
  const std::optional<Tensor> residual = Residual();
  if (!residual) return;
  const std::span<const std::byte> mine(static_cast<const std::byte*>(residual->data()),
                                        residual->bytes());
  const auto ranks = static_cast<size_t>(group_.size());
  for (size_t rank = 0; group_.rank() == 0 && rank < ranks; ++rank) {
    residuals_.emplace_back(flat_.dtype, flat_.shape);
  }
  std::vector<std::byte> all(kPiece * ranks);
  for (size_t begin = 0; begin < mine.size(); begin += kPiece) {
    const size_t size = std::min(kPiece, mine.size() - begin);
    group_.Gather(mine.data() + begin, size, all.data());
    for (size_t rank = 0; rank < residuals_.size(); ++rank) {
      std::memcpy(static_cast<std::byte*>(residuals_[rank].data()) + begin,
                  all.data() + rank * size, size);
    }
  }
}

void AllreduceSync::Save(CheckpointContents* contents) const {
  if (!collected_) return;
  if (!residuals_.empty()) contents->values[kRanks] = static_cast<int64_t>(residuals_.size());
  for (size_t rank = 0; rank < residuals_.size(); ++rank) {
    contents->tensors[ResidualKey(static_cast<int64_t>(rank))] = residuals_[rank];
  }
  if (!options_.double_buffering) return;
  contents->values[kPendingCount] = pending_count_;
  contents->tensors[kPending] = collected_pending_;
}

void AllreduceSync::Check(const CheckpointContents& contents, const Variables& variables) const {
  const TensorType flat{Shape({variables.flat_size()}), variables.dtype()};
  if (Holds(contents, kRanks)) {
    const int64_t ranks = IntegerIn(contents, kRanks, kMostRanks);
    for (int64_t rank = 0; rank < ranks; ++rank) contents.Array(ResidualKey(rank), flat);
  }
  if (!Holds(contents, kPendingCount)) return;
  IntegerIn(contents, kPendingCount, kMostSteps);
  contents.Array(kPending, flat);
}

void AllreduceSync::Restore(const CheckpointContents& contents, const Variables& variables) {
  const TensorType flat{Shape({variables.flat_size()}), variables.dtype()};
  last_.Wait();  // what a step that failed has sent is nobody's
  narrowed_.reset();
  sent_ = fetched_ = 0;
  restored_residual_ = Tensor(flat.dtype, flat.shape);
  restored_pending_ = Tensor(flat.dtype, flat.shape);
  std::vector<Tensor> residuals;
  const int64_t ranks = Holds(contents, kRanks) ? contents.Integer(kRanks) : 0;
  for (int64_t rank = 0; rank < ranks; ++rank) {
    residuals.push_back(contents.Array(ResidualKey(rank), flat));
  }
  if (ranks == group_.size()) {
    restored_residual_ = residuals[static_cast<size_t>(group_.rank())].Clone();
  } else if (ranks > 0 && group_.rank() == 0) {
    restored_residual_ = SumOf(residuals);
  }
  pending_count_ = Holds(contents, kPendingCount) ? contents.Integer(kPendingCount) : 0;
  if (pending_count_ > 0) restored_pending_ = contents.Array(kPending, flat).Clone();
  pending_is_sum_ = true;
  collected_ = false;
  if (prepared_) TakeRestored(variables);
}

void AllreduceSync::TakeRestored(const Variables& variables) {
  if (restored_residual_ && device_narrow_ && device_narrow_->has_residual()) {
    device_narrow_->SetResidual(*restored_residual_);
  } else if (restored_residual_ && narrow_ && !narrow_->residual().empty()) {
    std::memcpy(narrow_->residual().data(), restored_residual_->data(), narrow_->residual().size());
  }
  if (restored_pending_ && pending_ && restored_pending_->bytes() > 0) {
    if (on_device_) {
      variables.backend().Upload(restored_pending_->data(), pending_.get(),
                                 restored_pending_->bytes());
    } else {
      std::memcpy(pending_.get(), restored_pending_->data(), restored_pending_->bytes());
    }
  }
  restored_residual_.reset();
  restored_pending_.reset();
}

}  // namespace lockstep
