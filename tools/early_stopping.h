// The end of a training that no longer gets better.
#ifndef LOCKSTEP_TOOLS_EARLY_STOPPING_H_
#define LOCKSTEP_TOOLS_EARLY_STOPPING_H_

#include <cstdint>
#include <string>
#include <vector>

#include "engine/train/extension.h"
#include "tools/log_report.h"

namespace lockstep::tools {

struct EarlyStoppingOptions {
  std::string monitor = "main/loss";  // a key of the log
  std::string mode = "auto";          // min, max, or by the name: accuracy is to grow
  int64_t patience = 3;               // epochs
};

// Keras's names (val_loss, accuracy) as keys of the log; others as they are.
std::string MonitorKey(const std::string& name);

// Chainer's EarlyStoppingTrigger: says to stop when `patience` entries of the log in a row were no
// better than the best before. Runs behind what writes the log, and behind it is restored: a job
// that goes on reads there how long it has waited, for whatever it monitors now. All ranks see the
// same values and so decide alike.
class EarlyStopping : public Extension {
 public:
  // `log` must outlive it.
  EarlyStopping(EarlyStoppingOptions options, const std::vector<LogEntry>* log);

  std::string name() const override { return "early_stopping"; }
  Trigger trigger() const override { return Trigger::Epochs(1); }
  void Invoke(Trainer& trainer) override;
  void Restore(const CheckpointContents&) override { ReadLog(); }
  // Starts anew from the entries that there are.
  void ReadLog();

  bool wants_to_stop() const { return waited_ >= options_.patience; }
  // "validation/main/loss was no better than 0.5 of epoch 7 for 3 epochs".
  std::string Reason() const;

 private:
  void Take(const LogEntry& entry);
  bool Better(double value) const;

  EarlyStoppingOptions options_;
  const std::vector<LogEntry>* log_;
  bool grows_;
  double best_ = 0.0;
  int64_t best_epoch_ = 0;  // 0: none yet
  int64_t waited_ = 0;
};

}  // namespace lockstep::tools

#endif  // LOCKSTEP_TOOLS_EARLY_STOPPING_H_
