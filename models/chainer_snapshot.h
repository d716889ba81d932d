// Snapshots that Chainer's trainer resumes: its extensions.snapshot(), "snapshot_iter_<N>".
#ifndef LOCKSTEP_MODELS_CHAINER_SNAPSHOT_H_
#define LOCKSTEP_MODELS_CHAINER_SNAPSHOT_H_

#include <cstdint>
#include <string>

#include "data/npz.h"
#include "engine/optim/updater.h"
#include "engine/plan/variables.h"

namespace lockstep {

// Where training stands right after an update.
struct ChainerProgress {
  int64_t iteration = 0;
  int64_t epoch = 0;     // passes completed
  int64_t position = 0;  // samples of the current pass already used; 0 right after a pass
  int64_t batch_size = 1;
  Tensor order;                // int64 (samples,): of the current pass
  double learning_rate = 0.0;  // of the next update
  int64_t shifts = 0;          // how often ExponentialShift has changed it
  std::string log = "[]";      // LogReport's list of objects, JSON
  double elapsed_seconds = 0.0;
};

// The arrays under the names that a StandardUpdater with a SerialIterator, LogReport, PrintReport,
// PlotReport (loss.png, accuracy.png), ExponentialShift and an Evaluator ask for; Chainer ignores
// what its trainer has no use for. It is for Chainer: Lockstep resumes from its own checkpoints.
// Frozen parameters are at update 0. FormatError when `log` is not a JSON list of objects.
NpzWriter MakeChainerSnapshot(const Variables& variables, const Updater& updater,
                              const ChainerProgress& progress);

// The same, whole under `path` or not at all.
void SaveChainerSnapshot(const std::string& path, const Variables& variables,
                         const Updater& updater, const ChainerProgress& progress);

}  // namespace lockstep

#endif  // LOCKSTEP_MODELS_CHAINER_SNAPSHOT_H_
