#include "tools/program_hash.h"

#include <cstdio>
#include <fstream>
#include <span>
#include <vector>

#include "engine/train/crc32c.h"

namespace lockstep::tools {

std::string ProgramHash() {
  std::ifstream program("/proc/self/exe", std::ios::binary);
  std::vector<char> piece(size_t{1} << 20);
  uint32_t sum = 0;
  while (program) {
    program.read(piece.data(), static_cast<std::streamsize>(piece.size()));
    const auto got = static_cast<size_t>(program.gcount());
    sum = Crc32c(std::as_bytes(std::span(piece).first(got)), sum);
  }
  char text[16];
  std::snprintf(text, sizeof text, " %08x", sum);
  return LOCKSTEP_VERSION + std::string(text);
}

}  // namespace lockstep::tools
