// The one way bytes of a file are looked at: never behind the end, never without saying where.
#ifndef LOCKSTEP_DATA_BOUNDED_READER_H_
#define LOCKSTEP_DATA_BOUNDED_READER_H_

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>

#include "data/damage.h"

namespace lockstep {

// Walks over bytes it does not own. Every failure is a FormatError "name: ..., at byte N;
// advice", N counted from the beginning of the file (or member) the bytes are from.
class BoundedReader {
 public:
  // `base` is the offset of the first byte within what `name` names.
  BoundedReader(std::span<const uint8_t> bytes, std::string name, uint64_t base = 0)
      : bytes_(bytes), name_(std::move(name)), base_(base) {}

  const std::string& name() const { return name_; }
  uint64_t offset() const { return base_ + position_; }
  size_t remaining() const { return bytes_.size() - position_; }

  // The next `count` bytes; `what` says in the message what they would have been.
  std::span<const uint8_t> Take(uint64_t count, std::string_view what);
  std::string_view TakeText(uint64_t count, std::string_view what);

  template <typename T>
  T Little(std::string_view what);
  template <typename T>
  T Big(std::string_view what);

  // Throws unless the next bytes are `wanted`.
  void Expect(std::string_view wanted, std::string_view what);
  // Throws when bytes are left.
  void ExpectEnd(std::string_view behind_what) const;
  // `advice` says what to do.
  [[noreturn]] void Fail(const std::string& message, const std::string& advice = kWriteAgain) const;

 private:
  std::span<const uint8_t> bytes_;
  std::string name_;
  uint64_t base_;
  size_t position_ = 0;
};

template <typename T>
T BoundedReader::Little(std::string_view what) {
  static_assert(std::is_unsigned_v<T>);
  const std::span<const uint8_t> bytes = Take(sizeof(T), what);
  uint64_t value = 0;
  for (size_t i = sizeof(T); i-- > 0;) value = value << 8 | bytes[i];
  return static_cast<T>(value);
}

template <typename T>
T BoundedReader::Big(std::string_view what) {
  static_assert(std::is_unsigned_v<T>);
  uint64_t value = 0;
  for (const uint8_t byte : Take(sizeof(T), what)) value = value << 8 | byte;
  return static_cast<T>(value);
}

}  // namespace lockstep

#endif  // LOCKSTEP_DATA_BOUNDED_READER_H_
