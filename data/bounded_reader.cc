#include "data/bounded_reader.h"

#include "data/bytes.h"

namespace lockstep {

std::span<const uint8_t> BoundedReader::Take(uint64_t count, std::string_view what) {
  if (count > remaining()) {
    Fail("ends inside " + std::string(what) + ": " + std::to_string(count) + " bytes wanted, " +
         std::to_string(remaining()) + " left");
  }
  const auto taken = bytes_.subspan(position_, static_cast<size_t>(count));
  position_ += static_cast<size_t>(count);
  return taken;
}

std::string_view BoundedReader::TakeText(uint64_t count, std::string_view what) {
  const std::span<const uint8_t> bytes = Take(count, what);
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

void BoundedReader::Expect(std::string_view wanted, std::string_view what) {
  const size_t begin = position_;
  const std::string_view found = TakeText(wanted.size(), what);
  if (found == wanted) return;
  position_ = begin;
  Fail("no " + std::string(what) + ": found '" + Printable(found) + "', wanted '" +
       Printable(wanted) + "'");
}

void BoundedReader::ExpectEnd(std::string_view behind_what) const {
  if (remaining() == 0) return;
  Fail(std::to_string(remaining()) + " unexpected bytes behind " + std::string(behind_what));
}

void BoundedReader::Fail(const std::string& message, const std::string& advice) const {
  throw FormatError(name_ + ": " + message + ", at byte " + std::to_string(offset()) + "; " +
                    advice);
}

}  // namespace lockstep
