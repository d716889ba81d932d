// NumPy itself, for what must be equal to it.
#ifndef LOCKSTEP_TESTS_DATA_NUMPY_PEER_H_
#define LOCKSTEP_TESTS_DATA_NUMPY_PEER_H_

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <optional>
#include <string>
#include <vector>

#include "data/deflate.h"
#include "engine/tensor/tensor.h"

namespace lockstep {

// A Python that has NumPy: $LOCKSTEP_PYTHON or Debian's.
inline std::optional<std::string> NumpyPython() {
  const char* chosen = std::getenv("LOCKSTEP_PYTHON");
  const std::string python = chosen != nullptr ? chosen : "/usr/bin/python3";
  const std::string probe = "'" + python + "' -c 'import numpy' >/dev/null 2>&1";
  if (std::system(probe.c_str()) != 0) return std::nullopt;
  return python;
}

// Runs tests/data/numpy_peer.py with these arguments.
inline void RunNumpyPeer(const std::string& python, const std::string& arguments) {
  const std::string command =
      "'" + python + "' '" LOCKSTEP_TEST_SOURCE_DIR "/numpy_peer.py' " + arguments;
  ASSERT_EQ(std::system(command.c_str()), 0) << command;
}

inline std::vector<std::string> ReadLines(const std::string& path) {
  std::ifstream file(path);
  std::vector<std::string> lines;
  for (std::string line; std::getline(file, line);) lines.push_back(line);
  return lines;
}

// An array in a few words, as numpy_peer.py prints it.
inline std::string Digest(const Tensor& tensor) {
  const uint32_t crc = Crc32({static_cast<const uint8_t*>(tensor.data()), tensor.bytes()});
  return std::string(Name(tensor.dtype())) + tensor.shape().ToString() + std::to_string(crc);
}

}  // namespace lockstep

#endif  // LOCKSTEP_TESTS_DATA_NUMPY_PEER_H_
