// The real `lockstep` as a child process.
#ifndef LOCKSTEP_TESTS_TOOLS_PROGRAM_PROGRAM_H_
#define LOCKSTEP_TESTS_TOOLS_PROGRAM_PROGRAM_H_

#include <sys/types.h>

#include <functional>
#include <map>
#include <string>
#include <vector>

namespace lockstep::tools {

struct Outcome {
  int code = -1;   // exit code; -1 when a signal ended it
  int signal = 0;  // that signal
  std::string out, err;

  // What --model-dir's weights hash to, as the last line of a training run says.
  std::string WeightsHash() const;
};

struct ProgramSetting {
  std::map<std::string, std::string> variables = {};  // the child's whole environment
  std::string directory = {};                         // for its two outputs; must exist
  long file_bytes = 0;                                // RLIMIT_FSIZE; 0: none
  std::vector<std::string> launcher = {};             // a program that starts it, with arguments
  bool closed_stdout = false;                         // stdout is a pipe whose reader is gone
  int terminal = -1;                                  // stdout is this, if given
};

// Started by the constructor; killed and waited for by the destructor. Signals have their default
// meaning in the child, whatever the test program was started with.
class Program {
 public:
  Program(const std::vector<std::string>& arguments, const ProgramSetting& setting);
  ~Program();
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;

  void Signal(int signal) const;
  pid_t pid() const { return pid_; }
  // Until the child has no signal pending that was sent to it.
  void WaitForDelivery() const;
  // Until `reached` or the child's end; says whether it was reached.
  bool WaitUntil(const std::function<bool()>& reached);
  // Standard output so far.
  std::string Output() const;
  Outcome Wait();

 private:
  bool Ended();

  std::string out_path_, err_path_;
  pid_t pid_ = -1;
  int status_ = 0;
  bool ended_ = false;
};

// From start to end.
Outcome RunProgram(const std::vector<std::string>& arguments, const ProgramSetting& setting);

}  // namespace lockstep::tools

#endif  // LOCKSTEP_TESTS_TOOLS_PROGRAM_PROGRAM_H_
