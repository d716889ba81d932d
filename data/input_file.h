// An ordinary file read by position.
#ifndef LOCKSTEP_DATA_INPUT_FILE_H_
#define LOCKSTEP_DATA_INPUT_FILE_H_

#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "data/bytes.h"

namespace lockstep {

// "; ..." of what to do where a file or directory cannot be opened with this errno, or "".
std::string OpenAdvice(int error);

// Reads with pread, never by mapping: a file that shrinks underneath is an IoError, not a signal.
// May be used by several threads at once. Copies share the descriptor.
class InputFile {
 public:
  // Throws IoError: 66 when missing or not an ordinary file (directory, pipe, device, /proc), 77
  // without permission, 71 without descriptors.
  static InputFile Open(const std::string& path);
  // Bytes that are in memory already; `name` is what messages call them.
  static InputFile FromMemory(Bytes bytes, std::string name);

  const std::string& name() const { return name_; }
  uint64_t size() const { return size_; }
  // Fills `to` from `offset`; throws IoError (74) when the file has become shorter since Open.
  void Read(uint64_t offset, std::span<uint8_t> to) const;
  Bytes Read(uint64_t offset, uint64_t size) const;
  Bytes ReadAll() const { return Read(0, size_); }

 private:
  InputFile(std::string name, uint64_t size) : name_(std::move(name)), size_(size) {}
  void CheckRange(uint64_t offset, uint64_t size) const;

  std::string name_;
  uint64_t size_;
  std::shared_ptr<const int> descriptor_;  // null when in memory
  Bytes memory_;
};

}  // namespace lockstep

#endif  // LOCKSTEP_DATA_INPUT_FILE_H_
