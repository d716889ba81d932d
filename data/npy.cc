#include "data/npy.h"

#include <algorithm>
#include <cstring>

#include "data/items.h"
#include "data/utf8.h"
#include "kernels/error.h"

namespace lockstep {
namespace {

void CheckNumbers(const NpyHeader& header, const BoundedReader& where) {
  if (header.is_pickled()) {
    where.Fail("holds pickled Python objects (dtype |O), which are never loaded",
               "save plain arrays of numbers instead");
  }
  if (header.kind == 'U') {
    where.Fail("dtype '" + Printable(header.descr) + "' is text where numbers were wanted",
               "save numbers, of labels those of the classes");
  }
}

// The elements of an array stored column major, in row-major order.
Bytes ToRowMajor(std::span<const uint8_t> from, const Shape& shape, size_t item_size) {
  Bytes to(from.size());
  const int ndim = shape.ndim();
  int64_t stride[Shape::kMaxDims];  // of the source, in items
  int64_t product = 1;
  for (int d = 0; d < ndim; ++d) {
    stride[d] = product;
    product *= shape[d];
  }
  int64_t index[Shape::kMaxDims] = {};
  int64_t source = 0;
  const int64_t count = shape.size();
  for (int64_t i = 0; i < count; ++i) {
    std::memcpy(to.data() + static_cast<size_t>(i) * item_size,
                from.data() + static_cast<size_t>(source) * item_size, item_size);
    for (int d = ndim - 1; d >= 0; --d) {
      source += stride[d];
      if (++index[d] < shape[d]) break;
      source -= stride[d] * shape[d];
      index[d] = 0;
    }
  }
  return to;
}

bool IsZero(std::span<const uint8_t> bytes) {
  return std::all_of(bytes.begin(), bytes.end(), [](uint8_t b) { return b == 0; });
}

}  // namespace

Tensor ParseNpy(const Bytes& bytes, const std::string& name) {
  BoundedReader reader(bytes.span(), name);
  const NpyHeader header = ParseNpyHeader(&reader);
  CheckNumbers(header, reader);
  const uint64_t size = static_cast<uint64_t>(header.shape.size()) * header.item_size;
  std::span<const uint8_t> items =
      reader.Take(size, "the elements of shape " + header.shape.ToString());
  reader.ExpectEnd("the last element");

  Bytes block = bytes;
  if (header.fortran_order && header.shape.ndim() > 1) {
    block = ToRowMajor(items, header.shape, header.item_size);
    items = block.span();
  }
  const ItemType type{header.kind, header.item_size, header.big_endian};
  return ItemsToTensor(type, header.shape, items, block, reader);
}

std::string ParseNpyText(const Bytes& bytes, const std::string& name) {
  BoundedReader reader(bytes.span(), name);
  const NpyHeader header = ParseNpyHeader(&reader);
  if (header.kind != 'U' || header.shape.size() != 1) {
    reader.Fail("dtype '" + Printable(header.descr) + "' of shape " + header.shape.ToString() +
                " where one text was wanted");
  }
  const std::span<const uint8_t> items = reader.Take(header.item_size, "the text");
  reader.ExpectEnd("the text");
  std::string text;
  size_t end = items.size();  // NumPy pads with NUL characters
  while (end >= 4 && IsZero(items.subspan(end - 4, 4))) end -= 4;
  BoundedReader characters(items.first(end), name, header.data_offset);
  while (characters.remaining() > 0) {
    const uint32_t code = header.big_endian ? characters.Big<uint32_t>("a character")
                                            : characters.Little<uint32_t>("a character");
    if (!IsCodePoint(code)) reader.Fail("text with the code point " + std::to_string(code));
    AppendUtf8(code, &text);
  }
  return text;
}

std::string NpyDescr(DType dtype) {
  switch (dtype) {
    case DType::kFloat32:
      return "<f4";
    case DType::kFloat64:
      return "<f8";
    case DType::kInt32:
      return "<i4";
    case DType::kInt64:
      return "<i8";
    case DType::kUint8:
      return "|u1";
    case DType::kFloat16:
    case DType::kBfloat16:
      break;
  }
  return {};
}

std::string NpyHeaderText(const std::string& descr, const Shape& shape) {
  std::string dict =
      "{'descr': '" + descr + "', 'fortran_order': False, 'shape': " + shape.ToString() + ", }";
  constexpr size_t kBefore = 10;
  dict.append(63 - (kBefore + dict.size()) % 64, ' ');
  dict += '\n';
  std::string text("\x93NUMPY\x01\x00", 8);
  text += static_cast<char>(dict.size() & 255);
  text += static_cast<char>(dict.size() >> 8);
  return text + dict;
}

std::vector<uint8_t> WriteNpy(const Tensor& tensor) {
  const std::string header = NpyHeaderText(NpyDescr(tensor.dtype()), tensor.shape());
  std::vector<uint8_t> file(header.begin(), header.end());
  const auto* items = static_cast<const uint8_t*>(tensor.data());
  file.insert(file.end(), items, items + tensor.bytes());
  return file;
}

}  // namespace lockstep
