// What a training job trains on and validates with.
#ifndef LOCKSTEP_TOOLS_JOB_DATA_H_
#define LOCKSTEP_TOOLS_JOB_DATA_H_

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "data/batch_iterator.h"
#include "engine/train/lanes.h"
#include "engine/train/rank_facts.h"
#include "tools/job_ranks.h"
#include "tools/train_options.h"

namespace lockstep::tools {

LaneNorm LaneNormOf(const TrainOptions& options);
// Of data, parameters and what is saved.
DType DTypeOf(const TrainOptions& options);

// This rank's parts of the batches of both channels.
class JobData {
 public:
  using Warn = std::function<void(const std::string& line)>;

  // Collective. `backend` is what will be trained on: where it has memory of its own, bytes go
  // there as they are stored. Throws, or where there are several ranks has all of them throw,
  // ConfigError (64) for more ranks than a batch has parts, FormatError, ShapeError (65) or IoError
  // (66) for data that cannot be trained on.
  JobData(const TrainOptions& options, const JobRanks& ranks, const Backend& backend,
          const Warn& warn);

  DatasetSource& train() const { return *train_; }
  DatasetSource* test() const { return test_.get(); }  // null without validation
  // Throws FormatError (65) naming the first row with a label outside the classes.
  void CheckLabels(int32_t classes) const;

  // Which part of the training data each rank has, for checkpoints: "replicated", or for instance
  // "sharded 35+105".
  std::string Split() const;

  // What must be the same on every rank.
  RankFacts Facts() const;
  // Lines for the head of the job's log; warnings of what is probably meant otherwise among them.
  std::vector<std::string> Description(const TrainOptions& options) const;

 private:
  void Load(const TrainOptions& options, const Warn& warn, std::optional<Dataset>* train,
            std::optional<Dataset>* test) const;

  Shards shards_;  // of the training data
  std::unique_ptr<DatasetSource> train_, test_;
};

}  // namespace lockstep::tools

#endif  // LOCKSTEP_TOOLS_JOB_DATA_H_
