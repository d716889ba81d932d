// Batches of a data set in memory.
#ifndef LOCKSTEP_DATA_BATCH_ITERATOR_H_
#define LOCKSTEP_DATA_BATCH_ITERATOR_H_

#include <memory>
#include <string>

#include "data/dataset.h"
#include "data/row_transform.h"
#include "data/shards.h"
#include "engine/train/batch_cut.h"
#include "engine/train/batch_source.h"

namespace lockstep {

struct SourceOptions {
  int64_t batch_size = 64;  // of all ranks together
  uint64_t seed = 0;
  bool shuffle = true;     // else every epoch is in the order of the ids: evaluation
  bool drop_last = false;  // leaves out the smaller batch at the end of an epoch
  bool repeat = true;      // else Next() may not be called behind the last batch of an epoch
  // This rank's contiguous slice of each global batch (RowsOfRank). May be empty in the last batch
  // of an epoch.
  int rank = 0;
  int ranks = 1;
  BatchCut cut = {};
  // Where the data set is this rank's part only; the cut is not used then, and there is no
  // drop_last.
  Shards shards = {};
  // Background threads and batches they prepare ahead. Batches that take a few microseconds are
  // put together in Next() instead: handing them over would cost more.
  int threads = 1;
  int prefetch = 2;
  TransformOptions transform = {};
  // Rows of bytes of which the transform makes numbers are handed out as they are stored, with what
  // is to be made of them (Batch::preparation), unless they are larger so, as cut pictures may be.
  // For devices with memory of their own: fewer bytes travel there, a quarter of float32, and the
  // same numbers are trained on.
  bool as_stored = false;
};

// Used from one thread; prepares batches on its own ones. Positions count global samples; the
// position behind the last batch of epoch e is (e + 1, 0). ConfigError (64) for options that do not
// fit each other or the data set, FormatError (65) when drop_last leaves no batch.
class DatasetSource : public BatchSource {
 public:
  DatasetSource(Dataset dataset, SourceOptions options);
  ~DatasetSource() override;

  TensorType sample_type() const override;
  TensorType label_type() const override;
  int64_t size() const override;
  int64_t epoch_samples() const override;
  int64_t batch_size() const override;
  uint64_t fingerprint() const override;
  int64_t max_rows() const override;
  int64_t tail_rows() const override;
  const Batch& Next() override;
  SourcePosition position() const override;
  void Seek(SourcePosition position) override;
  std::string Describe(int64_t id) const override;

  const Dataset& dataset() const;
  int64_t batches_per_epoch() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace lockstep

#endif  // LOCKSTEP_DATA_BATCH_ITERATOR_H_
