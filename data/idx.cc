// An IDX file (http://yann.lecun.com/exdb/mnist):
//   byte 0  0, 0
//   byte 2  type: 08 uint8, 09 int8, 0B int16, 0C int32, 0D float32, 0E float64
//   byte 3  number of dimensions d
//   byte 4  d extents as u32, then the elements row major; everything big endian
#include "data/idx.h"

#include <limits>
#include <optional>
#include <vector>

#include "data/bounded_reader.h"
#include "data/deflate.h"
#include "data/input_file.h"
#include "data/items.h"
#include "kernels/error.h"

namespace lockstep {
namespace {

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

}  // namespace

Tensor ParseIdx(const Bytes& bytes, const std::string& name) {
  BoundedReader reader(bytes.span(), name);
  reader.Expect(std::string_view("\0\0", 2), "IDX magic");
  const auto code = reader.Little<uint8_t>("IDX type");
  const std::optional<ItemType> type = TypeOf(code);
  if (!type) reader.Fail("IDX element type " + std::to_string(code) + " is unknown");
  const Shape shape = ParseExtents(&reader);
  const uint64_t size = static_cast<uint64_t>(shape.size()) * type->size;
  const std::span<const uint8_t> items =
      reader.Take(size, "the elements of shape " + shape.ToString());
  reader.ExpectEnd("the last element");
  return ItemsToTensor(*type, shape, items, bytes, reader);
}

Tensor ReadIdx(const std::string& path) {
  const InputFile file = InputFile::Open(path);
  Bytes bytes = file.ReadAll();
  if (bytes.size() >= 2 && bytes.data()[0] == 0x1F && bytes.data()[1] == 0x8B) {
    bytes = Gunzip(bytes.span(), std::numeric_limits<uint64_t>::max(), path);
  }
  return ParseIdx(bytes, path);
}

}  // namespace lockstep
