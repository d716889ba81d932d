#include "engine/train/checkpoint_table.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <limits>
#include <utility>

#include "engine/train/crc32c.h"
#include "engine/train/posix_file.h"

namespace lockstep {
namespace {

static_assert(std::endian::native == std::endian::little, "the file is little endian");

constexpr std::array<uint8_t, 8> kMagic = {0x93, 'L', 'S', 'C', 0x0d, 0x0a, 0x1a, 0x0a};
constexpr std::array<DType, 5> kDTypes = {DType::kFloat32, DType::kFloat64, DType::kInt32,
                                          DType::kInt64, DType::kUint8};

constexpr uint64_t Align(uint64_t bytes) {
  return (bytes + kCheckpointAlignment - 1) / kCheckpointAlignment * kCheckpointAlignment;
}

class Encoder {
 public:
  template <typename T>
  void Number(T value) {
    Bytes(&value, sizeof(value));
  }
  void Name(const std::string& name) {
    if (name.empty() || name.size() > std::numeric_limits<uint16_t>::max()) {
      throw FormatError("a checkpoint cannot hold a name of " + std::to_string(name.size()) +
                        " bytes: \"" + Printable(name) + "\"");
    }
    Number(static_cast<uint16_t>(name.size()));
    Bytes(name.data(), name.size());
  }
  void Value(const CheckpointValue& value) {
    Number(static_cast<uint8_t>(value.index() + 1));
    if (const auto* integer = std::get_if<int64_t>(&value)) return Number(*integer);
    if (const auto* real = std::get_if<double>(&value)) return Number(*real);
    const auto& text = std::get<std::string>(value);
    if (text.size() > std::numeric_limits<uint32_t>::max()) {
      throw FormatError("a checkpoint cannot hold a text of " + std::to_string(text.size()) +
                        " bytes");
    }
    Number(static_cast<uint32_t>(text.size()));
    Bytes(text.data(), text.size());
  }
  void Array(const CheckpointArray& array) {
    Name(array.name);
    const auto code = std::find(kDTypes.begin(), kDTypes.end(), array.type.dtype);
    Number(static_cast<uint8_t>(code - kDTypes.begin() + 1));
    Number(static_cast<uint8_t>(array.type.shape.ndim()));
    for (const int64_t extent : array.type.shape.dims()) Number(extent);
    Number(array.offset);
    Number(array.bytes);
    Number(array.crc32c);
  }
  void Bytes(const void* data, size_t bytes) {
    const auto* from = static_cast<const std::byte*>(data);
    out_.insert(out_.end(), from, from + bytes);
  }
  std::vector<std::byte>& out() { return out_; }

 private:
  std::vector<std::byte> out_;
};

// The bounded reader: no byte is taken before it is known to be there.
class Decoder {
 public:
  Decoder(std::span<const std::byte> data, const std::string& name) : data_(data), name_(name) {}

  template <typename T>
  T Number() {
    T value;
    std::memcpy(&value, Take(sizeof(value)).data(), sizeof(value));
    return value;
  }
  std::string Text(size_t bytes) {
    const auto text = Take(bytes);
    return {reinterpret_cast<const char*>(text.data()), text.size()};
  }
  // Rising names, which rules out two of the same.
  std::string Name(const std::string& previous) {
    std::string name = Text(Number<uint16_t>());
    if (name.empty() || name <= previous) Fail("name \"" + Printable(name) + "\" out of order");
    return name;
  }
  CheckpointValue Value() {
    switch (const auto type = Number<uint8_t>()) {
      case 1:
        return Number<int64_t>();
      case 2:
        return Number<double>();
      case 3:
        return Text(Number<uint32_t>());
      default:
        Fail("value of unknown type " + std::to_string(type));
    }
  }
  CheckpointArray Array(const std::string& previous) {
    CheckpointArray array;
    array.name = Name(previous);
    const auto code = Number<uint8_t>();
    if (code < 1 || code > kDTypes.size()) Fail("unknown dtype " + std::to_string(code));
    array.type.dtype = kDTypes[code - 1U];
    array.type.shape = ReadShape();
    array.offset = Number<uint64_t>();
    array.bytes = Number<uint64_t>();
    array.crc32c = Number<uint32_t>();
    const uint64_t wanted =
        static_cast<uint64_t>(array.type.shape.size()) * SizeOf(array.type.dtype);
    if (array.bytes != wanted) {
      Fail("array \"" + Printable(array.name) + "\" of " + std::to_string(array.bytes) +
           " bytes, its shape " + array.type.shape.ToString() + " wants " + std::to_string(wanted));
    }
    return array;
  }
  void Zeros() {
    for (; at_ < data_.size(); ++at_) {
      if (data_[at_] != std::byte{0}) Fail("padding is not zero");
    }
  }
  [[noreturn]] void Fail(const std::string& what) const {
    throw FormatError(Printable(name_) + ": byte " + std::to_string(at_) + ": " + what +
                      "; the checkpoint is damaged");
  }

 private:
  std::span<const std::byte> Take(size_t bytes) {
    if (bytes > data_.size() - at_) {
      Fail(std::to_string(bytes) + " bytes wanted, the header has " +
           std::to_string(data_.size() - at_) + " left");
    }
    const auto taken = data_.subspan(at_, bytes);
    at_ += bytes;
    return taken;
  }
  Shape ReadShape() {
    const auto ndim = Number<uint8_t>();
    if (ndim > Shape::kMaxDims) Fail(std::to_string(ndim) + " dimensions");
    std::array<int64_t, Shape::kMaxDims> dims{};
    for (size_t i = 0; i < ndim; ++i) dims[i] = Number<int64_t>();
    try {
      return Shape(std::span<const int64_t>(dims.data(), ndim));
    } catch (const ShapeError& error) {
      Fail(error.what());
    }
  }

  std::span<const std::byte> data_;
  const std::string& name_;
  size_t at_ = 0;
};

template <typename T>
T NumberAt(std::span<const std::byte> data, size_t offset) {
  T value;
  std::memcpy(&value, data.data() + offset, sizeof(value));
  return value;
}

// Offsets are what MakeCheckpointTable would have chosen; nothing overlaps, nothing is left over.
void CheckPlaces(const CheckpointTable& table, const std::string& name) {
  uint64_t end = table.header_bytes;
  for (const CheckpointArray& array : table.arrays) {
    // No sum overflows: `end` is at most the size of the file, which is below 2^63.
    if (array.offset != Align(end) || array.offset > table.file_bytes ||
        array.bytes > table.file_bytes - array.offset) {
      throw FormatError(Printable(name) + ": array \"" + Printable(array.name) + "\" of " +
                        std::to_string(array.bytes) + " bytes cannot lie at byte " +
                        std::to_string(array.offset) + "; the checkpoint is damaged");
    }
    end = array.offset + array.bytes;
  }
  if (end != table.file_bytes) {
    throw FormatError(Printable(name) + ": the arrays end at byte " + std::to_string(end) +
                      ", the file at " + std::to_string(table.file_bytes) +
                      "; the checkpoint is damaged");
  }
}

void CheckSumAndVersion(std::span<const std::byte> header, const std::string& name) {
  const uint32_t stored = NumberAt<uint32_t>(header, header.size() - kCheckpointSumBytes);
  CheckHeaderSum(stored, Crc32c(header.first(header.size() - kCheckpointSumBytes)), header.size(),
                 name);
  const uint32_t version = NumberAt<uint32_t>(header, kMagic.size());
  if (version > kCheckpointVersion) {
    throw NewerVersionError(Printable(name) + ": written by version " + std::to_string(version) +
                            " of the format, this program reads <= " +
                            std::to_string(kCheckpointVersion) + "; use a newer program");
  }
  if (version == 0) throw FormatError(Printable(name) + ": version 0 does not exist");
}

}  // namespace

CheckpointTable MakeCheckpointTable(const CheckpointContents& contents) {
  CheckpointTable table;
  table.values = contents.values;
  for (const auto& [name, tensor] : contents.tensors) {
    const std::span bytes(static_cast<const std::byte*>(tensor.data()), tensor.bytes());
    table.arrays.push_back(
        {name, {tensor.shape(), tensor.dtype()}, 0, tensor.bytes(), Crc32c(bytes)});
  }
  // The size of the header does not depend on the offsets in it.
  table.header_bytes = EncodeCheckpointTable(&table).size();
  table.file_bytes = table.header_bytes;
  for (CheckpointArray& array : table.arrays) {
    array.offset = Align(table.file_bytes);
    table.file_bytes = array.offset + array.bytes;
  }
  return table;
}

std::vector<std::byte> EncodeCheckpointTable(CheckpointTable* table) {
  Encoder encoder;
  encoder.Bytes(kMagic.data(), kMagic.size());
  encoder.Number(kCheckpointVersion);
  encoder.Number(uint32_t{0});
  encoder.Number(table->file_bytes);
  encoder.Number(table->header_bytes);
  encoder.Number(static_cast<uint32_t>(table->values.size()));
  encoder.Number(static_cast<uint32_t>(table->arrays.size()));
  for (const auto& [name, value] : table->values) {
    encoder.Name(name);
    encoder.Value(value);
  }
  for (const CheckpointArray& array : table->arrays) encoder.Array(array);
  encoder.out().resize(Align(encoder.out().size() + kCheckpointSumBytes) - kCheckpointSumBytes);
  table->crc32c = Crc32c(encoder.out());
  encoder.Number(table->crc32c);
  return std::move(encoder.out());
}

uint64_t CheckpointHeaderBytes(std::span<const std::byte> prefix, uint64_t file_bytes,
                               const std::string& name) {
  if (prefix.size() < kCheckpointPrefixBytes ||
      std::memcmp(prefix.data(), kMagic.data(), kMagic.size()) != 0) {
    throw FormatError(Printable(name) + ": not a checkpoint (" + std::to_string(file_bytes) +
                      " bytes without its signature)");
  }
  const auto stored = NumberAt<uint64_t>(prefix, 16);
  const auto header = NumberAt<uint64_t>(prefix, 24);
  if (stored != file_bytes) {
    throw FormatError(Printable(name) + ": " + std::to_string(file_bytes) + " bytes, " +
                      std::to_string(stored) + " were written; the checkpoint is damaged");
  }
  if (header < kCheckpointAlignment || header % kCheckpointAlignment != 0 || header > file_bytes) {
    throw FormatError(Printable(name) + ": header of " + std::to_string(header) +
                      " bytes; the checkpoint is damaged");
  }
  return header;
}

void CheckHeaderSum(uint32_t stored, uint32_t found, uint64_t header_bytes,
                    const std::string& name) {
  if (stored == found) return;
  throw FormatError(Printable(name) + ": the header does not match its checksum at byte " +
                    std::to_string(header_bytes - kCheckpointSumBytes) +
                    "; the checkpoint is damaged");
}

CheckpointTable DecodeCheckpointTable(std::span<const std::byte> header, const std::string& name) {
  CheckSumAndVersion(header, name);
  CheckpointTable table;
  table.file_bytes = NumberAt<uint64_t>(header, 16);
  table.header_bytes = header.size();
  table.crc32c = NumberAt<uint32_t>(header, header.size() - kCheckpointSumBytes);
  Decoder decoder(header.first(header.size() - kCheckpointSumBytes), name);
  decoder.Text(kMagic.size() + sizeof(uint32_t));
  if (decoder.Number<uint32_t>() != 0) decoder.Fail("reserved bytes are not zero");
  decoder.Text(2 * sizeof(uint64_t));
  const auto values = decoder.Number<uint32_t>();
  const auto arrays = decoder.Number<uint32_t>();
  std::string previous;
  for (uint32_t i = 0; i < values; ++i) {
    previous = decoder.Name(previous);
    table.values.emplace_hint(table.values.end(), previous, decoder.Value());
  }
  previous.clear();
  for (uint32_t i = 0; i < arrays; ++i) {
    table.arrays.push_back(decoder.Array(previous));
    previous = table.arrays.back().name;
  }
  decoder.Zeros();
  CheckPlaces(table, name);
  return table;
}

}  // namespace lockstep
