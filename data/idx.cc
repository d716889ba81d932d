// An IDX file (http://yann.lecun.com/exdb/mnist):
//   byte 0  0, 0
//   byte 2  type: 08 uint8, 09 int8, 0B int16, 0C int32, 0D float32, 0E float64
//   byte 3  number of dimensions d
//   byte 4  d extents as u32, then the elements row major; everything big endian
#include "data/idx.h"

#include <algorithm>
#include <optional>
#include <vector>

#include "data/bounded_reader.h"
#include "data/damage.h"
#include "data/deflate.h"
#include "data/input_file.h"
#include "data/items.h"
#include "kernels/error.h"

namespace lockstep {
namespace {

constexpr uint64_t kLongestHeader = 4 + 4 * 255;
constexpr uint64_t kStartBytes = 4096;

std::optional<ItemType> TypeOf(uint8_t code) {
  switch (code) {
    case 0x08:
      return ItemType{'u', 1, true};
    case 0x09:
      return ItemType{'i', 1, true};
    case 0x0B:
      return ItemType{'i', 2, true};
    case 0x0C:
      return ItemType{'i', 4, true};
    case 0x0D:
      return ItemType{'f', 4, true};
    case 0x0E:
      return ItemType{'f', 8, true};
    default:
      return std::nullopt;
  }
}

Shape ParseExtents(BoundedReader* reader) {
  const auto count = reader->Little<uint8_t>("IDX number of dimensions");
  std::vector<int64_t> extents;
  extents.reserve(count);
  for (int i = 0; i < count; ++i) extents.push_back(reader->Big<uint32_t>("IDX extents"));
  try {
    return Shape(extents);
  } catch (const ShapeError& error) {
    reader->Fail(std::string("IDX header: ") + error.what());
  }
}

// What comes before the elements.
struct Header {
  ItemType type;
  Shape shape;

  uint64_t item_bytes() const { return static_cast<uint64_t>(shape.size()) * type.size; }
};

Header ParseHeader(BoundedReader* reader) {
  reader->Expect(std::string_view("\0\0", 2), "IDX magic");
  const auto code = reader->Little<uint8_t>("IDX type");
  const std::optional<ItemType> type = TypeOf(code);
  if (!type) {
    reader->Fail("IDX element type " + std::to_string(code) +
                 " is unknown, wanted 8, 9, 11, 12, 13 or 14");
  }
  return {*type, ParseExtents(reader)};
}

// The bytes of the whole file by its header, of which `start` holds all.
uint64_t ImpliedBytes(std::span<const uint8_t> start, const std::string& name) {
  BoundedReader reader(start, name);
  const Header header = ParseHeader(&reader);
  return reader.offset() + header.item_bytes();
}

Bytes GunzipIdx(const Bytes& packed, const std::string& name) {
  Bytes start(kStartBytes);
  const size_t size = GunzipStart(packed.span(), {start.data(), start.size()});
  // Members too short for a header are either damage or all of a tiny file.
  if (size < kLongestHeader) return Gunzip(packed.span(), kStartBytes, name);
  return Gunzip(packed.span(), ImpliedBytes(start.span(), name), name);
}

}  // namespace

Tensor ParseIdx(const Bytes& bytes, const std::string& name) {
  BoundedReader reader(bytes.span(), name);
  const Header header = ParseHeader(&reader);
  const std::span<const uint8_t> items =
      reader.Take(header.item_bytes(), "the elements of shape " + header.shape.ToString());
  reader.ExpectEnd("the last element");
  return ItemsToTensor(header.type, header.shape, items, bytes, reader);
}

Tensor ReadIdx(const std::string& path) {
  const InputFile file = InputFile::Open(path);
  const Bytes start = file.Read(0, std::min<uint64_t>(file.size(), kLongestHeader));
  if (start.size() >= 2 && start.data()[0] == 0x1F && start.data()[1] == 0x8B) {
    return ParseIdx(GunzipIdx(file.ReadAll(), path), path);
  }
  const uint64_t wanted = ImpliedBytes(start.span(), path);
  if (file.size() != wanted) {
    throw DamagedFile(path + ": the IDX header is of a file of " + std::to_string(wanted) +
                      " bytes, this one has " + std::to_string(file.size()));
  }
  return ParseIdx(file.ReadAll(), path);
}

}  // namespace lockstep
