// The header of an npy file (https://numpy.org/neps/nep-0001-npy-format.html):
//   byte 0   "\x93NUMPY"
//   byte 6   u8 major, u8 minor: 1.0, 2.0 or 3.0
//   byte 8   u16 (1.0) or u32 (2.0, 3.0) length of the text, little endian
//   then     a Python dict literal with exactly the keys descr, fortran_order and shape, padded
//            with spaces and a newline to a multiple of 64 (16 in old files)
#include <optional>
#include <string>
#include <vector>

#include "data/npy.h"
#include "kernels/error.h"

namespace lockstep {
namespace {

constexpr uint32_t kMaxHeaderText = 1 << 20;  // NumPy writes some hundred bytes

// The subset of Python that these dictionaries are written in.
class DictParser {
 public:
  DictParser(std::string_view text, const BoundedReader& where, bool old_python)
      : text_(text), where_(where), old_python_(old_python) {}

  void Parse(NpyHeader* header);

 private:
  void ParseEntry(NpyHeader* header);
  void ParseShape(NpyHeader* header);
  int64_t ParseExtent();
  std::string ParseString(const char* what);
  bool ParseBool();
  void SetOnce(bool* seen, const char* key);

  void SkipSpace() {
    while (i_ < text_.size() && std::string_view(" \t\r\n").find(text_[i_]) != text_.npos) ++i_;
  }
  // The next character that is not a space, 0 at the end; not consumed.
  char Peek() {
    SkipSpace();
    return i_ < text_.size() ? text_[i_] : '\0';
  }
  bool Accept(char c) {
    if (Peek() != c) return false;
    ++i_;
    return true;
  }
  void Want(char c) {
    if (!Accept(c)) Fail(std::string("'") + c + "' expected");
  }
  [[noreturn]] void Fail(const std::string& message) const {
    where_.Fail("npy header: " + message + " at character " + std::to_string(i_) + " of '" +
                Printable(text_) + "'");
  }

  std::string_view text_;
  const BoundedReader& where_;
  bool old_python_;
  size_t i_ = 0;
  bool has_descr_ = false, has_order_ = false, has_shape_ = false;
};

void DictParser::Parse(NpyHeader* header) {
  Want('{');
  while (Peek() != '}') {
    ParseEntry(header);
    if (!Accept(',') && Peek() != '}') Fail("',' or '}' expected");
  }
  Want('}');
  if (Peek() != '\0' || i_ < text_.size()) Fail("more text behind the dictionary");
  if (!has_descr_ || !has_order_ || !has_shape_) {
    Fail("the keys descr, fortran_order and shape are needed");
  }
}

void DictParser::ParseEntry(NpyHeader* header) {
  const std::string key = ParseString("a key");
  Want(':');
  if (key == "descr") {
    SetOnce(&has_descr_, "descr");
    if (Peek() == '[') {
      where_.Fail("structured dtype " + Printable(text_.substr(i_)) + " is not supported",
                  "save each field as an array of its own");
    }
    header->descr = ParseString("a dtype");
  } else if (key == "fortran_order") {
    SetOnce(&has_order_, "fortran_order");
    header->fortran_order = ParseBool();
  } else if (key == "shape") {
    SetOnce(&has_shape_, "shape");
    ParseShape(header);
  } else {
    Fail("unknown key '" + Printable(key) + "'");
  }
}

void DictParser::SetOnce(bool* seen, const char* key) {
  if (*seen) Fail(std::string("key ") + key + " twice");
  *seen = true;
}

std::string DictParser::ParseString(const char* what) {
  const char quote = Peek();
  if (quote != '\'' && quote != '"') Fail(std::string(what) + " in quotes expected");
  const size_t begin = ++i_;
  while (i_ < text_.size() && text_[i_] != quote) {
    if (text_[i_] == '\\' || text_[i_] == '\n') Fail("character not understood in a string");
    ++i_;
  }
  if (i_ == text_.size()) Fail("string without end");
  return std::string(text_.substr(begin, i_++ - begin));
}

bool DictParser::ParseBool() {
  SkipSpace();
  const std::string_view rest = text_.substr(i_);
  if (rest.starts_with("True")) {
    i_ += 4;
    return true;
  }
  if (!rest.starts_with("False")) Fail("True or False expected");
  i_ += 5;
  return false;
}

int64_t DictParser::ParseExtent() {
  if (Peek() == '-') Fail("negative extent");
  const size_t begin = i_;
  int64_t value = 0;
  for (; i_ < text_.size() && text_[i_] >= '0' && text_[i_] <= '9'; ++i_) {
    if (__builtin_mul_overflow(value, 10, &value) ||
        __builtin_add_overflow(value, text_[i_] - '0', &value)) {
      Fail("extent above 2^63");
    }
  }
  if (i_ == begin) Fail("an extent expected");
  if (text_[begin] == '0' && i_ > begin + 1) Fail("extent with a leading zero");
  if (old_python_ && i_ < text_.size() && text_[i_] == 'L') ++i_;
  return value;
}

void DictParser::ParseShape(NpyHeader* header) {
  std::vector<int64_t> extents;
  Want('(');
  while (Peek() != ')') {
    extents.push_back(ParseExtent());
    const bool comma = Accept(',');
    if (!comma && extents.size() == 1) Fail("a tuple of one extent needs a comma");
    if (!comma && Peek() != ')') Fail("',' or ')' expected");
  }
  Want(')');
  try {
    header->shape = Shape(extents);
  } catch (const ShapeError& error) {
    where_.Fail(std::string("npy header: ") + error.what());
  }
}

std::optional<size_t> ParseSize(std::string_view digits) {
  if (digits.empty() || digits.size() > 7) return std::nullopt;
  size_t value = 0;
  for (const char c : digits) {
    if (c < '0' || c > '9') return std::nullopt;
    value = value * 10 + static_cast<size_t>(c - '0');
  }
  return value;
}

// Splits "<f4" into byte order, kind and size; false when this is no dtype we read.
bool SplitDescr(NpyHeader* header) {
  std::string_view text = header->descr;
  if (text == "O" || text == "|O") {
    header->kind = 'O';
    header->item_size = 8;
    return true;
  }
  if (text.size() < 3 || std::string_view("<>|=").find(text[0]) == text.npos) return false;
  header->big_endian = text[0] == '>';
  header->kind = text[1];
  const std::optional<size_t> size = ParseSize(text.substr(2));
  if (!size) return false;
  header->item_size = *size;
  switch (header->kind) {
    case 'f':
      return *size == 2 || *size == 4 || *size == 8;
    case 'i':
    case 'u':
      return *size == 1 || *size == 2 || *size == 4 || *size == 8;
    case 'b':
      return *size == 1;
    case 'U':
      header->item_size = *size * 4;
      return true;
    default:
      return false;
  }
}

}  // namespace

NpyHeader ParseNpyHeader(BoundedReader* reader) {
  reader->Expect("\x93NUMPY", "npy magic");
  const auto major = reader->Little<uint8_t>("npy version");
  const auto minor = reader->Little<uint8_t>("npy version");
  if (major < 1 || major > 3 || minor != 0) {
    reader->Fail("npy version " + std::to_string(major) + "." + std::to_string(minor) +
                 " is unknown, wanted 1.0, 2.0 or 3.0");
  }
  const uint32_t length = major == 1 ? reader->Little<uint16_t>("npy header length")
                                     : reader->Little<uint32_t>("npy header length");
  if (length > kMaxHeaderText) {
    reader->Fail("npy header of " + std::to_string(length) + " bytes, wanted at most " +
                 std::to_string(kMaxHeaderText));
  }
  const uint64_t begin = reader->offset();
  const std::string_view text = reader->TakeText(length, "npy header");
  NpyHeader header;
  DictParser(text, *reader, major < 3).Parse(&header);
  if (!SplitDescr(&header)) {
    reader->Fail("dtype '" + Printable(header.descr) + "' is not supported",
                 "save float16/32/64, (u)int8 to 64 or bool");
  }
  header.data_offset = static_cast<size_t>(begin + length);
  return header;
}

}  // namespace lockstep
