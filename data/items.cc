#include "data/items.h"

#include <bit>
#include <cstring>
#include <limits>

#include "data/float16.h"
#include "kernels/error.h"

namespace lockstep {
namespace {

static_assert(std::endian::native == std::endian::little);

template <typename T>
T LoadItem(const uint8_t* at, bool big_endian) {
  uint8_t bytes[sizeof(T)];
  for (size_t i = 0; i < sizeof(T); ++i) bytes[i] = at[big_endian ? sizeof(T) - 1 - i : i];
  return std::bit_cast<T>(bytes);
}

// Converts every item with convert(Item, index) -> To.
template <typename Item, typename To, typename Convert>
void ConvertItems(const ItemType& type, const uint8_t* from, Tensor* tensor, Convert convert) {
  const std::span<To> to = tensor->values<To>();
  for (size_t i = 0; i < to.size(); ++i) {
    to[i] = convert(LoadItem<Item>(from + i * sizeof(Item), type.big_endian), i);
  }
}

template <typename Item, typename To>
void WidenItems(const ItemType& type, const uint8_t* from, Tensor* tensor) {
  ConvertItems<Item, To>(type, from, tensor,
                         [](Item item, size_t) { return static_cast<To>(item); });
}

[[noreturn]] void FailItem(const BoundedReader& where, size_t index, const std::string& value,
                           const char* wanted) {
  throw FormatError(where.name() + ": element " + std::to_string(index) + " is " + value +
                    "; wanted " + wanted);
}

void ConvertUnsigned(const ItemType& type, const BoundedReader& where, const uint8_t* from,
                     Tensor* tensor) {
  switch (type.size) {
    case 2:
      return WidenItems<uint16_t, int32_t>(type, from, tensor);
    case 4:
      return WidenItems<uint32_t, int64_t>(type, from, tensor);
    case 8:
      return ConvertItems<uint64_t, int64_t>(type, from, tensor, [&](uint64_t item, size_t i) {
        if (item > uint64_t{std::numeric_limits<int64_t>::max()}) {
          FailItem(where, i, std::to_string(item), "at most 2^63 - 1");
        }
        return static_cast<int64_t>(item);
      });
    default:
      return WidenItems<uint8_t, uint8_t>(type, from, tensor);
  }
}

void ConvertSigned(const ItemType& type, const uint8_t* from, Tensor* tensor) {
  switch (type.size) {
    case 1:
      return WidenItems<int8_t, int32_t>(type, from, tensor);
    case 2:
      return WidenItems<int16_t, int32_t>(type, from, tensor);
    case 4:
      return WidenItems<int32_t, int32_t>(type, from, tensor);
    default:
      return WidenItems<int64_t, int64_t>(type, from, tensor);
  }
}

void ConvertFloating(const ItemType& type, const uint8_t* from, Tensor* tensor) {
  switch (type.size) {
    case 2:
      return ConvertItems<uint16_t, float>(type, from, tensor,
                                           [](uint16_t half, size_t) { return HalfToFloat(half); });
    case 4:  // as bits: a signalling NaN stays one
      return ConvertItems<uint32_t, float>(
          type, from, tensor, [](uint32_t bits, size_t) { return std::bit_cast<float>(bits); });
    default:
      return ConvertItems<uint64_t, double>(
          type, from, tensor, [](uint64_t bits, size_t) { return std::bit_cast<double>(bits); });
  }
}

void ConvertBool(const ItemType& type, const BoundedReader& where, const uint8_t* from,
                 Tensor* tensor) {
  ConvertItems<uint8_t, uint8_t>(type, from, tensor, [&](uint8_t item, size_t i) {
    if (item > 1) FailItem(where, i, std::to_string(item), "a bool, 0 or 1");
    return item;
  });
}

void Convert(const ItemType& type, const BoundedReader& where, const uint8_t* from,
             Tensor* tensor) {
  switch (type.kind) {
    case 'f':
      return ConvertFloating(type, from, tensor);
    case 'i':
      return ConvertSigned(type, from, tensor);
    case 'u':
      return ConvertUnsigned(type, where, from, tensor);
    default:
      return ConvertBool(type, where, from, tensor);
  }
}

// True when the stored items are already those of a tensor, and none can be out of range.
bool IsNative(const ItemType& type, DType dtype) {
  const bool checked = type.kind == 'b' || (type.kind == 'u' && type.size == 8);
  return SizeOf(dtype) == type.size && (!type.big_endian || type.size == 1) && !checked;
}

}  // namespace

DType NearestDType(const ItemType& type) {
  switch (type.kind) {
    case 'f':
      return type.size == 8 ? DType::kFloat64 : DType::kFloat32;
    case 'i':
      return type.size == 8 ? DType::kInt64 : DType::kInt32;
    case 'u':
      if (type.size == 1) return DType::kUint8;
      return type.size == 2 ? DType::kInt32 : DType::kInt64;
    default:
      return DType::kUint8;
  }
}

Tensor ItemsToTensor(const ItemType& type, const Shape& shape, std::span<const uint8_t> items,
                     const Bytes& block, const BoundedReader& where) {
  const DType dtype = NearestDType(type);
  const bool native = IsNative(type, dtype);
  if (native && reinterpret_cast<uintptr_t>(items.data()) % 64 == 0) {
    return Tensor::Wrap(dtype, shape, const_cast<uint8_t*>(items.data()), block.owner());
  }
  Tensor tensor(dtype, shape);
  if (!native) {
    Convert(type, where, items.data(), &tensor);
  } else if (!items.empty()) {
    std::memcpy(tensor.data(), items.data(), items.size());
  }
  return tensor;
}

}  // namespace lockstep
