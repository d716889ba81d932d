// What a classifier says about rows, for people and spreadsheets.
#ifndef LOCKSTEP_TOOLS_CLASS_TABLE_H_
#define LOCKSTEP_TOOLS_CLASS_TABLE_H_

#include <string>
#include <vector>

#include "engine/tensor/tensor.h"

namespace lockstep::tools {

// CSV (RFC 4180, lines end in \n): "class,name,probability", then for each row of `probabilities`
// (n, classes) float32 its likeliest class, the first one of several, by number and name.
std::string ClassTable(const Tensor& probabilities, const std::vector<std::string>& names);

}  // namespace lockstep::tools

#endif  // LOCKSTEP_TOOLS_CLASS_TABLE_H_
