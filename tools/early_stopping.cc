#include "tools/early_stopping.h"

#include <cmath>
#include <map>
#include <utility>

#include "engine/train/checkpoint_contents.h"
#include "engine/train/trainer.h"
#include "tools/text.h"

namespace lockstep::tools {

std::string MonitorKey(const std::string& name) {
  static const std::map<std::string, std::string> kKeras = {
      {"loss", "main/loss"},
      {"accuracy", "main/accuracy"},
      {"acc", "main/accuracy"},
      {"val_loss", "validation/main/loss"},
      {"val_accuracy", "validation/main/accuracy"},
      {"val_acc", "validation/main/accuracy"}};
  const auto found = kKeras.find(name);
  return found == kKeras.end() ? name : found->second;
}

EarlyStopping::EarlyStopping(EarlyStoppingOptions options, const std::vector<LogEntry>* log)
    : options_(std::move(options)),
      log_(log),
      grows_(options_.mode == "max" ||
             (options_.mode == "auto" && options_.monitor.ends_with("accuracy"))) {}

bool EarlyStopping::Better(double value) const {
  if (best_epoch_ == 0) return !std::isnan(value);
  return grows_ ? value > best_ : value < best_;
}

void EarlyStopping::Invoke(Trainer& trainer) {
  const LogValue* const found = log_->empty() ? nullptr : log_->back().Find(options_.monitor);
  if (found == nullptr) return;  // an evaluation that was given up
  const double value = AsDouble(*found);
  if (!Better(value)) {
    ++waited_;
    return;
  }
  best_ = value;
  best_epoch_ = trainer.clock().epoch;
  waited_ = 0;
}

void EarlyStopping::Save(CheckpointContents* contents) const {
  contents->values["early_stopping/best"] = best_;
  contents->values["early_stopping/best_epoch"] = best_epoch_;
  contents->values["early_stopping/waited"] = waited_;
}

void EarlyStopping::Restore(const CheckpointContents& contents) {
  if (!contents.values.contains("early_stopping/best")) return;  // asked for from here on
  best_ = contents.Real("early_stopping/best");
  best_epoch_ = contents.Integer("early_stopping/best_epoch");
  waited_ = contents.Integer("early_stopping/waited");
}

std::string EarlyStopping::Reason() const {
  return options_.monitor + " was no better than " + FormatG(best_) + " of epoch " +
         std::to_string(best_epoch_) + " for " + std::to_string(waited_) + " epochs";
}

}  // namespace lockstep::tools
