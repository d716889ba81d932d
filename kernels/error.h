// The one exception hierarchy. A message is one line: what failed, where (file:record/byte or
// rank@host), found against wanted, what to do.
#ifndef LOCKSTEP_KERNELS_ERROR_H_
#define LOCKSTEP_KERNELS_ERROR_H_

#include <stdexcept>
#include <string>

namespace lockstep {

// The sysexits numbers this project promises; the same through every launcher.
enum class ExitCode : int {
  kOk = 0,
  kUsage = 64,        // bad option or hyperparameter
  kBadData = 65,      // malformed or impossible input
  kNoInput = 66,      // input missing
  kPeerLost = 69,     // another rank or server died or fell silent
  kBug = 70,          // ours
  kNoResources = 71,  // memory or file descriptors
  kCannotCreate = 73,
  kIo = 74,        // read or write failed
  kNotSaved = 75,  // stopped before the state could be saved; run again
  kDisagree = 76,  // ranks, or a checkpoint and a job, do not fit together
  kNoPermission = 77,
  kBadCluster = 78,
};

class Error : public std::runtime_error {
 public:
  Error(ExitCode code, const std::string& message) : std::runtime_error(message), code_(code) {}
  ExitCode code() const { return code_; }

 private:
  ExitCode code_;
};

// Shapes that do not fit together, in a network or between a file and a network.
class ShapeError : public Error {
 public:
  explicit ShapeError(const std::string& message, ExitCode code = ExitCode::kDisagree)
      : Error(code, message) {}
};

// A device, its memory or its libraries.
class DeviceError : public Error {
 public:
  explicit DeviceError(const std::string& message, ExitCode code = ExitCode::kNoResources)
      : Error(code, message) {}
};

// Bytes that are not what their format says.
class FormatError : public Error {
 public:
  explicit FormatError(const std::string& message, ExitCode code = ExitCode::kBadData)
      : Error(code, message) {}
};

// A file or directory that cannot be opened, read, written or made.
class IoError : public Error {
 public:
  explicit IoError(const std::string& message, ExitCode code = ExitCode::kIo)
      : Error(code, message) {}
};

// Another process.
class CommError : public Error {
 public:
  explicit CommError(const std::string& message, ExitCode code = ExitCode::kPeerLost)
      : Error(code, message) {}
};

// An option, a hyperparameter or a combination of them.
class ConfigError : public Error {
 public:
  explicit ConfigError(const std::string& message, ExitCode code = ExitCode::kUsage)
      : Error(code, message) {}
};

}  // namespace lockstep

#endif  // LOCKSTEP_KERNELS_ERROR_H_
