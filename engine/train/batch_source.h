// The seam between training and data: engine declares it, data implements it.
#ifndef LOCKSTEP_ENGINE_TRAIN_BATCH_SOURCE_H_
#define LOCKSTEP_ENGINE_TRAIN_BATCH_SOURCE_H_

#include <algorithm>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "engine/plan/picture_preparation.h"
#include "engine/tensor/tensor.h"

namespace lockstep {

// One batch, ready to be fed. The memory belongs to the source and lives until the next Next().
struct Batch {
  const void* x = nullptr;  // (rows,) + sample shape, plain, dtype of sample_type();
  // or, where this is there, rows of bytes as stored, of which the device makes that.
  std::shared_ptr<const PicturePreparation> preparation = nullptr;
  const void* labels = nullptr;  // (rows,) + label shape, dtype of label_type()
  std::span<const int64_t> ids;  // global sample ids, one a row
  int64_t rows = 0;              // at most max_rows(); fewer, perhaps 0, at the end of an epoch
  int64_t of_rows = 0;           // of the whole job's batch, where this is a part of one
  int64_t epoch = 0;             // which pass over the data this batch belongs to, from 0
  bool last_of_epoch = false;

  int64_t job_rows() const { return std::max(rows, of_rows); }
};

// Where a source stands: all there is to save, since the order is a function of (seed, epoch).
struct SourcePosition {
  int64_t epoch = 0;
  int64_t offset = 0;  // samples of that epoch already handed out

  friend bool operator==(const SourcePosition&, const SourcePosition&) = default;
};

// Batches of a data set, each sample exactly once an epoch, in the order given by (seed, epoch).
// Used from one thread; may prepare batches ahead on its own.
class BatchSource {
 public:
  virtual ~BatchSource() = default;
  // One sample's shape and dtype as fed, whatever it is stored as.
  virtual TensorType sample_type() const = 0;
  // int32 () classes, or targets, floating as the samples are.
  virtual TensorType label_type() const = 0;
  virtual int64_t size() const = 0;
  // Samples of the whole job that an epoch hands out: all, or those of whole batches.
  virtual int64_t epoch_samples() const = 0;
  // Samples in a batch of the whole job, whatever part of it is handed out here.
  virtual int64_t batch_size() const = 0;
  // Of all samples and labels of the whole job as stored, in their order: the same on any rank and
  // number of threads and for other names of files, another one for other data. Taken when it is
  // first asked for.
  virtual uint64_t fingerprint() const = 0;
  // The most rows that Next() hands out here.
  virtual int64_t max_rows() const = 0;
  // How many rows the batch at the end of an epoch has here; 0 for none.
  virtual int64_t tail_rows() const = 0;
  // The next batch; the pointer stays valid until the next call. Errors of a background reader
  // are thrown here.
  virtual const Batch& Next() = 0;
  // The position behind the last batch handed out.
  virtual SourcePosition position() const = 0;
  virtual void Seek(SourcePosition position) = 0;
  // One line about a row for messages: "train.npz row 17".
  virtual std::string Describe(int64_t id) const = 0;
};

}  // namespace lockstep

#endif  // LOCKSTEP_ENGINE_TRAIN_BATCH_SOURCE_H_
