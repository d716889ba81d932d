#include "data/npy.h"

#include <bit>
#include <cstring>
#include <limits>
#include <utility>

#include "data/float16.h"
#include "data/utf8.h"
#include "kernels/error.h"

namespace lockstep {
namespace {

static_assert(std::endian::native == std::endian::little);

DType NearestDType(const NpyHeader& header, const BoundedReader& where) {
  switch (header.kind) {
    case 'f':
      return header.item_size == 8 ? DType::kFloat64 : DType::kFloat32;
    case 'i':
      return header.item_size == 8 ? DType::kInt64 : DType::kInt32;
    case 'u':
      if (header.item_size == 1) return DType::kUint8;
      return header.item_size == 2 ? DType::kInt32 : DType::kInt64;
    case 'b':
      return DType::kUint8;
    case 'O':
      where.Fail(
          "holds pickled Python objects (dtype |O), which are never loaded; save plain "
          "arrays of numbers instead");
    default:
      where.Fail("dtype '" + Printable(header.descr) + "' holds no numbers");
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

template <typename T>
T LoadItem(const uint8_t* at, bool big_endian) {
  uint8_t bytes[sizeof(T)];
  for (size_t i = 0; i < sizeof(T); ++i) bytes[i] = at[big_endian ? sizeof(T) - 1 - i : i];
  return std::bit_cast<T>(bytes);
}

// Converts every item with convert(Item, index) -> To.
template <typename Item, typename To, typename Convert>
void ConvertItems(const NpyHeader& header, const uint8_t* from, Tensor* tensor, Convert convert) {
  const std::span<To> to = tensor->values<To>();
  for (size_t i = 0; i < to.size(); ++i) {
    to[i] = convert(LoadItem<Item>(from + i * sizeof(Item), header.big_endian), i);
  }
}

template <typename Item, typename To>
void WidenItems(const NpyHeader& header, const uint8_t* from, Tensor* tensor) {
  ConvertItems<Item, To>(header, from, tensor,
                         [](Item item, size_t) { return static_cast<To>(item); });
}

[[noreturn]] void FailItem(const BoundedReader& where, size_t index, const std::string& value,
                           const char* wanted) {
  throw FormatError(where.name() + ": element " + std::to_string(index) + " is " + value +
                    "; wanted " + wanted);
}

void ConvertUnsigned(const NpyHeader& header, const BoundedReader& where, const uint8_t* from,
                     Tensor* tensor) {
  switch (header.item_size) {
    case 2:
      return WidenItems<uint16_t, int32_t>(header, from, tensor);
    case 4:
      return WidenItems<uint32_t, int64_t>(header, from, tensor);
    case 8:
      return ConvertItems<uint64_t, int64_t>(header, from, tensor, [&](uint64_t item, size_t i) {
        if (item > uint64_t{std::numeric_limits<int64_t>::max()}) {
          FailItem(where, i, std::to_string(item), "at most 2^63 - 1");
        }
        return static_cast<int64_t>(item);
      });
    default:
      return WidenItems<uint8_t, uint8_t>(header, from, tensor);
  }
}

void ConvertSigned(const NpyHeader& header, const uint8_t* from, Tensor* tensor) {
  switch (header.item_size) {
    case 1:
      return WidenItems<int8_t, int32_t>(header, from, tensor);
    case 2:
      return WidenItems<int16_t, int32_t>(header, from, tensor);
    case 4:
      return WidenItems<int32_t, int32_t>(header, from, tensor);
    default:
      return WidenItems<int64_t, int64_t>(header, from, tensor);
  }
}

void ConvertFloating(const NpyHeader& header, const uint8_t* from, Tensor* tensor) {
  switch (header.item_size) {
    case 2:
      return ConvertItems<uint16_t, float>(header, from, tensor,
                                           [](uint16_t half, size_t) { return HalfToFloat(half); });
    case 4:  // as bits: a signalling NaN stays one
      return ConvertItems<uint32_t, float>(
          header, from, tensor, [](uint32_t bits, size_t) { return std::bit_cast<float>(bits); });
    default:
      return ConvertItems<uint64_t, double>(
          header, from, tensor, [](uint64_t bits, size_t) { return std::bit_cast<double>(bits); });
  }
}

void ConvertBool(const NpyHeader& header, const BoundedReader& where, const uint8_t* from,
                 Tensor* tensor) {
  ConvertItems<uint8_t, uint8_t>(header, from, tensor, [&](uint8_t item, size_t i) {
    if (item > 1) FailItem(where, i, std::to_string(item), "a bool, 0 or 1");
    return item;
  });
}

void Convert(const NpyHeader& header, const BoundedReader& where, const uint8_t* from,
             Tensor* tensor) {
  switch (header.kind) {
    case 'f':
      return ConvertFloating(header, from, tensor);
    case 'i':
      return ConvertSigned(header, from, tensor);
    case 'u':
      return ConvertUnsigned(header, where, from, tensor);
    default:
      return ConvertBool(header, where, from, tensor);
  }
}

// True when the stored items are already those of a tensor.
bool IsNative(const NpyHeader& header, DType dtype) {
  return SizeOf(dtype) == header.item_size && (!header.big_endian || header.item_size == 1) &&
         header.kind != 'b';
}

}  // namespace

Tensor ParseNpy(const Bytes& bytes, const std::string& name) {
  BoundedReader reader(bytes.span(), name);
  const NpyHeader header = ParseNpyHeader(&reader);
  const DType dtype = NearestDType(header, reader);
  const uint64_t size = static_cast<uint64_t>(header.shape.size()) * header.item_size;
  std::span<const uint8_t> items =
      reader.Take(size, "the elements of shape " + header.shape.ToString());
  reader.ExpectEnd("the last element");

  Bytes block = bytes;
  if (header.fortran_order && header.shape.ndim() > 1) {
    block = ToRowMajor(items, header.shape, header.item_size);
    items = block.span();
  }
  if (IsNative(header, dtype) && reinterpret_cast<uintptr_t>(items.data()) % 64 == 0) {
    return Tensor::Wrap(dtype, header.shape, const_cast<uint8_t*>(items.data()), block.owner());
  }
  Tensor tensor(dtype, header.shape);
  if (IsNative(header, dtype)) {
    if (!items.empty()) std::memcpy(tensor.data(), items.data(), items.size());
  } else {
    Convert(header, reader, items.data(), &tensor);
  }
  return tensor;
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
  while (end >= 4 && LoadItem<uint32_t>(items.data() + end - 4, false) == 0) end -= 4;
  for (size_t i = 0; i < end; i += 4) {
    const auto code = LoadItem<uint32_t>(items.data() + i, header.big_endian);
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
