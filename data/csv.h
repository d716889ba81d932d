// Comma-separated numbers.
#ifndef LOCKSTEP_DATA_CSV_H_
#define LOCKSTEP_DATA_CSV_H_

#include <string>
#include <string_view>

#include "engine/tensor/tensor.h"

namespace lockstep {

// Lines of numbers, one row each, all of the same length, as float32 (rows, columns). The decimal
// point is '.', whatever the locale. Spaces around numbers, CR LF, a byte order mark, blank lines
// and a missing last newline are accepted; anything else that is not a finite number (quotes, NUL,
// "nan", "1e999") is a FormatError (65) naming line and column, as are ragged rows and no rows.
Tensor ParseCsv(std::string_view text, const std::string& name);
// One line a row of the leading axis, shortest digits that read back the same float.
std::string WriteCsv(const Tensor& tensor);

}  // namespace lockstep

#endif  // LOCKSTEP_DATA_CSV_H_
