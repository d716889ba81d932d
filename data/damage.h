// Files that are not what their format says.
#ifndef LOCKSTEP_DATA_DAMAGE_H_
#define LOCKSTEP_DATA_DAMAGE_H_

#include <string>

#include "kernels/error.h"

namespace lockstep {

// What users are told to do about one, where nothing else is known to help.
inline constexpr const char* kWriteAgain = "fetch or write the file again";

// "<found>; fetch or write the file again".
inline FormatError DamagedFile(const std::string& found) {
  return FormatError(found + "; " + kWriteAgain);
}

}  // namespace lockstep

#endif  // LOCKSTEP_DATA_DAMAGE_H_
