// One rank's part of a training job.
#ifndef LOCKSTEP_TOOLS_TRAIN_JOB_H_
#define LOCKSTEP_TOOLS_TRAIN_JOB_H_

#include <memory>

#include "tools/console.h"
#include "tools/job_ranks.h"
#include "tools/signals.h"
#include "tools/train_options.h"

namespace lockstep::tools {

// From its options to its files. Only the first rank has a store and directories to write to.
class TrainJob {
 public:
  // Ranks, console and signals must outlive it. Every rank makes one of equal options.
  TrainJob(TrainOptions options, JobRanks& ranks, Console* console, StopSignals* signals);
  ~TrainJob();
  TrainJob(const TrainJob&) = delete;
  TrainJob& operator=(const TrainJob&) = delete;

  // Trains until the end, or until a signal asks to stop, and saves. Throws the first error that
  // ends the job, when all is saved that can be.
  void Run();
  // Whether all that a stopped job is resumed from, and its model, are saved.
  bool saved() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace lockstep::tools

#endif  // LOCKSTEP_TOOLS_TRAIN_JOB_H_
