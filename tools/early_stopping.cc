#include "tools/early_stopping.h"

#include <cmath>
#include <map>
#include <utility>

#include "engine/text.h"
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
  if (!std::isfinite(value)) return false;  // of which a log that was read has only null
  if (best_epoch_ == 0) return true;
  return grows_ ? value > best_ : value < best_;
}

void EarlyStopping::Invoke(Trainer&) {
  if (!log_->empty()) Take(log_->back());
}

void EarlyStopping::ReadLog() {
  best_epoch_ = waited_ = 0;
  for (const LogEntry& entry : *log_) Take(entry);
}

void EarlyStopping::Take(const LogEntry& entry) {
  const LogValue* const found = entry.Find(options_.monitor);
  const auto* const epoch = std::get_if<int64_t>(entry.Find("epoch"));
  if (found == nullptr || epoch == nullptr) return;  // an evaluation that was given up
  const double value = AsDouble(*found);
  if (!Better(value)) {
    ++waited_;
    return;
  }
  best_ = value;
  best_epoch_ = *epoch;
  waited_ = 0;
}

std::string EarlyStopping::Reason() const {
  if (best_epoch_ == 0) {
    return options_.monitor + " was no number in " + Counted(waited_, "epoch");
  }
  return options_.monitor + " was no better than " + FormatG(best_) + " of epoch " +
         std::to_string(best_epoch_) + " for " + Counted(waited_, "epoch");
}

}  // namespace lockstep::tools
