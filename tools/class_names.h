// What the classes of a model are called.
#ifndef LOCKSTEP_TOOLS_CLASS_NAMES_H_
#define LOCKSTEP_TOOLS_CLASS_NAMES_H_

#include <cstdint>
#include <string>
#include <vector>

namespace lockstep::tools {

// Beside model.npz, where it is.
inline constexpr const char* kClassNamesFile = "labels.txt";

// One name a line, UTF-8, in the order of the classes; blanks around a name do not count. IoError
// (66) where there is no such file, FormatError (65) naming the line for a name that is empty,
// has more than 100 bytes, cannot be shown or is there twice, and for another number of names than
// `classes`.
std::vector<std::string> ReadClassNames(const std::string& path, int64_t classes);

}  // namespace lockstep::tools

#endif  // LOCKSTEP_TOOLS_CLASS_NAMES_H_
