// Where the central directory of a zip archive lies.
#ifndef LOCKSTEP_DATA_ZIP_END_H_
#define LOCKSTEP_DATA_ZIP_END_H_

#include <cstdint>

#include "data/input_file.h"

namespace lockstep {

struct ZipEnd {
  uint64_t entries = 0;
  uint64_t directory_offset = 0;
  uint64_t directory_size = 0;
};

// Reads the end record and, where there is one, the zip64 end record, and checks that the
// directory reaches exactly to them.
ZipEnd ReadZipEnd(const InputFile& file);

}  // namespace lockstep

#endif  // LOCKSTEP_DATA_ZIP_END_H_
