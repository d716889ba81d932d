// Elements as files store them: several widths, either byte order.
#ifndef LOCKSTEP_DATA_ITEMS_H_
#define LOCKSTEP_DATA_ITEMS_H_

#include <cstdint>
#include <span>

#include "data/bounded_reader.h"
#include "data/bytes.h"
#include "engine/tensor/tensor.h"

namespace lockstep {

// `kind` is NumPy's letter: f(loat), i(nt), u(nsigned), b(ool). float16/32/64, 8 to 64 bits.
struct ItemType {
  char kind = 'f';
  size_t size = 4;
  bool big_endian = false;
};

// The DType that holds every value: f2 -> float32; i1 i2 u2 -> int32; u4 u8 -> int64; bool ->
// uint8; the others keep theirs.
DType NearestDType(const ItemType& type);

// `items` as a tensor. It shares the memory of `block`, which the items lie in, where nothing needs
// converting and they are aligned. FormatError naming the element for a u8 above 2^63 - 1 and for
// a bool other than 0 and 1; `where` supplies the name.
Tensor ItemsToTensor(const ItemType& type, const Shape& shape, std::span<const uint8_t> items,
                     const Bytes& block, const BoundedReader& where);

}  // namespace lockstep

#endif  // LOCKSTEP_DATA_ITEMS_H_
