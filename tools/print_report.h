// The table of results on the console, as Chainer's PrintReport prints it.
#ifndef LOCKSTEP_TOOLS_PRINT_REPORT_H_
#define LOCKSTEP_TOOLS_PRINT_REPORT_H_

#include <string>
#include <vector>

#include "tools/console.h"
#include "tools/log_report.h"

namespace lockstep::tools {

// The columns of the examples: epoch, losses, accuracies, elapsed_time.
std::vector<std::string> DefaultColumns();

// Prints a header before the first row, and each row behind "\033[J" whether or not there is a
// terminal: hyperparameter tuners read rows with the expression "\[J1\s+...".
class PrintReport {
 public:
  explicit PrintReport(Console* console, std::vector<std::string> columns = DefaultColumns());

  void Print(const LogEntry& entry);

 private:
  Console* console_;  // not owned
  std::vector<std::string> columns_;
  bool header_printed_ = false;
};

}  // namespace lockstep::tools

#endif  // LOCKSTEP_TOOLS_PRINT_REPORT_H_
