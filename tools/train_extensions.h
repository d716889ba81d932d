// What `lockstep train` does beside the updates, as extensions of the trainer.
#ifndef LOCKSTEP_TOOLS_TRAIN_EXTENSIONS_H_
#define LOCKSTEP_TOOLS_TRAIN_EXTENSIONS_H_

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "engine/train/trainer.h"
#include "tools/console.h"
#include "tools/failure.h"
#include "tools/log_report.h"
#include "tools/train_options.h"

namespace lockstep::tools {

// Every epoch, on every validation sample: validation/main/loss and validation/main/accuracy (for
// regressions the root mean squared error, validation/main/rmse). Given up between two batches
// when should_stop says so. `test` and all pointers below must outlive the extension.
std::unique_ptr<Extension> MakeEvaluation(BatchSource* test, bool classifier,
                                          std::function<bool()> should_stop);

// Every epoch a row of the table, an entry of `log` and of <output_dir>/log; an empty output_dir:
// no file, one that cannot be written: a warning. Invoked again at the same iteration, it completes
// that entry with the validation values found by then. Entries name a `gradient_delay` above 0: by
// how many steps gradients are used late.
std::unique_ptr<Extension> MakeReport(Console* console, std::vector<LogEntry>* log,
                                      const std::string& output_dir, bool classifier,
                                      int64_t gradient_delay);

// The network's graph, in a job's output directory.
inline constexpr const char* kGraphFile = "cg.dot";

// The log and its plots, accuracy.png (or rmse.png) and loss.png; nothing of an empty log. For the
// end, when what matters more is saved.
void WriteResults(const std::vector<LogEntry>& log, const std::string& directory,
                  const std::string& title, bool classifier);
// Names of those files.
std::vector<std::string> ResultFiles(bool classifier);

// A progress bar on a terminal, now and then a line elsewhere.
std::unique_ptr<Extension> MakeProgress(Console* console, std::string unit);

// Where snapshots are written, and how their names begin.
std::string SnapshotDirectory(const TrainOptions& options);
inline constexpr const char* kSnapshotPrefix = "snapshot_iter_";

// <directory>/snapshot_iter_<iteration>, which Chainer's trainer resumes from, every
// `options.snapshot_every` epochs. One that cannot be written is a warning, and a failure that the
// job ends with.
std::unique_ptr<Extension> MakeSnapshots(const TrainOptions& options,
                                         const std::vector<LogEntry>* log, Console* console,
                                         FirstFailure* failure);

}  // namespace lockstep::tools

#endif  // LOCKSTEP_TOOLS_TRAIN_EXTENSIONS_H_
