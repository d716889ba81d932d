// A block of bytes shared by what is parsed out of it.
#ifndef LOCKSTEP_DATA_BYTES_H_
#define LOCKSTEP_DATA_BYTES_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace lockstep {

// 64-byte aligned and not initialised; copies share the memory. A tensor may be wrapped around a
// part of it (Tensor::Wrap with owner()).
class Bytes {
 public:
  Bytes() = default;
  // Throws DeviceError naming the size when memory is short.
  explicit Bytes(size_t size);
  static Bytes Copy(std::span<const uint8_t> bytes);

  uint8_t* data() { return static_cast<uint8_t*>(owner_.get()); }
  const uint8_t* data() const { return static_cast<const uint8_t*>(owner_.get()); }
  size_t size() const { return size_; }
  std::span<const uint8_t> span() const { return {data(), size_}; }
  const std::shared_ptr<void>& owner() const { return owner_; }
  // Forgets the bytes behind `size`.
  void Shrink(size_t size) { size_ = size < size_ ? size : size_; }

 private:
  std::shared_ptr<void> owner_;
  size_t size_ = 0;
};

// Names out of files as they may be shown: other bytes than printable ASCII as \xNN, the middle of
// a long one left out.
std::string Printable(std::string_view untrusted, size_t limit = 120);

}  // namespace lockstep

#endif  // LOCKSTEP_DATA_BYTES_H_
