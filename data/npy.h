// NumPy's array file, format versions 1.0 to 3.0.
#ifndef LOCKSTEP_DATA_NPY_H_
#define LOCKSTEP_DATA_NPY_H_

#include <cstdint>
#include <string>
#include <vector>

#include "data/bounded_reader.h"
#include "data/bytes.h"
#include "engine/tensor/tensor.h"

namespace lockstep {

// What stands before the elements. `kind` is NumPy's: f i u b, U for text, O for pickled objects.
struct NpyHeader {
  std::string descr;  // as the file says: "<f4", ">i8", "|b1", "|O"
  char kind = 'f';
  size_t item_size = 0;  // bytes; of U: 4 a character
  bool big_endian = false;
  bool fortran_order = false;
  Shape shape;
  size_t data_offset = 0;

  bool is_pickled() const { return kind == 'O'; }
};

// Reads magic, version and the dictionary; what it points to is not yet checked against the size.
// Throws FormatError for everything NumPy would refuse, structured and void dtypes, and more than
// Shape::kMaxDims dimensions.
NpyHeader ParseNpyHeader(BoundedReader* reader);

// The array, row major and in the machine's byte order. The nearest DType that holds every value:
// f2 -> float32; i1 i2 u2 -> int32; u4 -> int64; u8 -> int64 (a value above 2^63 - 1 is refused);
// bool -> uint8. Pickled objects (|O) are refused, as are bytes behind the last element. The tensor
// shares the memory of `bytes` where it needs no conversion. `name` is for messages.
Tensor ParseNpy(const Bytes& bytes, const std::string& name);

// A text array of one element ("<U37", shape () or (1,)) as UTF-8.
std::string ParseNpyText(const Bytes& bytes, const std::string& name);

// The bytes before the elements, a multiple of 64, as numpy.save writes them (version 1.0).
std::string NpyHeaderText(const std::string& descr, const Shape& shape);
// "<f4" and so on.
std::string NpyDescr(DType dtype);
// A whole file.
std::vector<uint8_t> WriteNpy(const Tensor& tensor);

}  // namespace lockstep

#endif  // LOCKSTEP_DATA_NPY_H_
