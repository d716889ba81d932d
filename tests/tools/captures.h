// The captures of the real peers.
#ifndef LOCKSTEP_TESTS_TOOLS_CAPTURES_H_
#define LOCKSTEP_TESTS_TOOLS_CAPTURES_H_

#include <cstdlib>
#include <filesystem>
#include <string>

namespace lockstep::tools {

// A capture's path, or "" where this machine does not have the captures.
inline std::string Fixture(const std::string& name) {
  const char* const given = std::getenv("LOCKSTEP_SHARED_DIR");
  const std::string path =
      std::string(given != nullptr ? given : LOCKSTEP_SHARED) + "/fixtures/" + name;
  return std::filesystem::exists(path) ? path : "";
}

}  // namespace lockstep::tools

// Ends the test as skipped, with the reason, where the captures are not at hand.
#define LOCKSTEP_NEEDS_FIXTURE(variable, name)                   \
  const std::string variable = ::lockstep::tools::Fixture(name); \
  if (variable.empty()) GTEST_SKIP() << "no captures of the real peers here (" name ")"

#endif  // LOCKSTEP_TESTS_TOOLS_CAPTURES_H_
