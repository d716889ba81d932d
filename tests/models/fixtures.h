// Golden files of the real Chainer. They lie beside the source tree, not in it.
#ifndef LOCKSTEP_TESTS_MODELS_FIXTURES_H_
#define LOCKSTEP_TESTS_MODELS_FIXTURES_H_

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <string>

namespace lockstep {

// The file's path, or "" where this machine does not have it.
inline std::string ChainerFixture(const std::string& name) {
  const char* const given = std::getenv("LOCKSTEP_SHARED_DIR");
  const std::string path =
      std::string(given != nullptr ? given : LOCKSTEP_SHARED) + "/fixtures/chainer/" + name;
  return std::filesystem::exists(path) ? path : "";
}

}  // namespace lockstep

// Ends the test as skipped, with the reason, where the golden files are not at hand.
#define LOCKSTEP_NEEDS_CHAINER(variable, name)                   \
  const std::string variable = ::lockstep::ChainerFixture(name); \
  if (variable.empty()) GTEST_SKIP() << "no golden files of the real Chainer here (" << name << ")"

#endif  // LOCKSTEP_TESTS_MODELS_FIXTURES_H_
