// A label that is none, found by a kernel that cannot throw.
#ifndef LOCKSTEP_KERNELS_MATH_BAD_LABEL_H_
#define LOCKSTEP_KERNELS_MATH_BAD_LABEL_H_

#include <cstdint>
#include <string>

namespace lockstep::math {

// The first one found; all zero before that.
struct BadLabel {
  int64_t rows;  // of the batch; 0: none was found
  int64_t row, classes, label;
};

inline std::string Text(const BadLabel& bad) {
  return "label " + std::to_string(bad.label) + " in row " + std::to_string(bad.row) +
         " of a batch of " + std::to_string(bad.rows) + " is outside 0 to " +
         std::to_string(bad.classes - 1) + " (-1: ignored); check the labels";
}

}  // namespace lockstep::math

#endif  // LOCKSTEP_KERNELS_MATH_BAD_LABEL_H_
