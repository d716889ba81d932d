// Batches of another source, passed on or changed on the way.
#ifndef LOCKSTEP_TESTS_COMM_WRAPPED_SOURCE_H_
#define LOCKSTEP_TESTS_COMM_WRAPPED_SOURCE_H_

#include <functional>
#include <string>
#include <vector>

#include "engine/train/batch_source.h"

namespace lockstep::testing {

class WrappedSource : public BatchSource {
 public:
  // May change the batch and its ids; called before each batch is handed out.
  using Change = std::function<void(Batch* batch, std::vector<int64_t>* ids)>;

  WrappedSource(BatchSource& source, Change change) : source_(source), change_(std::move(change)) {}

  TensorType sample_type() const override { return source_.sample_type(); }
  TensorType label_type() const override { return source_.label_type(); }
  int64_t size() const override { return source_.size(); }
  int64_t epoch_samples() const override { return source_.epoch_samples(); }
  int64_t batch_size() const override { return source_.batch_size(); }
  uint64_t fingerprint() const override { return source_.fingerprint(); }
  int64_t max_rows() const override { return source_.max_rows(); }
  int64_t tail_rows() const override { return source_.tail_rows(); }
  const Batch& Next() override;
  SourcePosition position() const override { return source_.position(); }
  void Seek(SourcePosition position) override { source_.Seek(position); }
  std::string Describe(int64_t id) const override { return source_.Describe(id); }

 private:
  BatchSource& source_;
  Change change_;
  Batch batch_;
  std::vector<int64_t> ids_;
};

}  // namespace lockstep::testing

#endif  // LOCKSTEP_TESTS_COMM_WRAPPED_SOURCE_H_
