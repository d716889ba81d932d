// The training log: one entry an interval, kept as Chainer's LogReport keeps it.
#ifndef LOCKSTEP_TOOLS_LOG_REPORT_H_
#define LOCKSTEP_TOOLS_LOG_REPORT_H_

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace lockstep::tools {

// Whole numbers (epoch, iteration) print without a point. A float32 goes in as its double, which
// is how Chainer prints numpy.float32. Text is for what is compared, not drawn.
using LogValue = std::variant<int64_t, double, std::string>;

// Named numbers in the order they are written: main/loss, main/accuracy, validation/main/loss,
// validation/main/accuracy, lr where reported, then epoch, iteration, elapsed_time (seconds); of
// jobs of several ranks also the ledger of the epoch's samples and the times of its steps.
struct LogEntry {
  std::vector<std::pair<std::string, LogValue>> values;

  void Add(std::string name, LogValue value) {
    values.emplace_back(std::move(name), std::move(value));
  }
  // Null where the entry does not have it.
  const LogValue* Find(std::string_view name) const;
};

// NaN of text.
double AsDouble(const LogValue& value);

// Python's json.dump(entries, indent=4): floats as repr() prints them, NaN, Infinity.
std::string LogJson(std::span<const LogEntry> entries);
// The inverse; throws ConfigError naming `where`. Used for logs kept in checkpoints.
std::vector<LogEntry> ParseLog(std::string_view json, const std::string& where);

// Owns the log file, which after each Append() is whole and current (Publish()).
class LogReport {
 public:
  // `path` is usually <output-data-dir>/log. Nothing is written before the first Append().
  explicit LogReport(std::string path) : path_(std::move(path)) {}

  void Append(LogEntry entry);
  // On resume: the entries up to the checkpoint, so that the log goes on where it stood.
  void Restore(std::vector<LogEntry> entries) { entries_ = std::move(entries); }
  const std::vector<LogEntry>& entries() const { return entries_; }

 private:
  std::string path_;
  std::vector<LogEntry> entries_;
};

}  // namespace lockstep::tools

#endif  // LOCKSTEP_TOOLS_LOG_REPORT_H_
