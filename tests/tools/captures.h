// A directory of a test's own, removed with everything in it, and the captures of the real peers.
#ifndef LOCKSTEP_TESTS_TOOLS_SCRATCH_H_
#define LOCKSTEP_TESTS_TOOLS_SCRATCH_H_

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>

namespace lockstep::tools {

class Scratch {
 public:
  Scratch() {
    std::string name = (std::filesystem::temp_directory_path() / "lockstep-XXXXXX").string();
    path_ = ::mkdtemp(name.data());
  }
  ~Scratch() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;

  const std::string& path() const { return path_; }
  std::string operator/(const std::string& below) const { return path_ + "/" + below; }

  // Writes a file, making its directories.
  std::string Write(const std::string& below, const std::string& bytes) const {
    const std::string path = path_ + "/" + below;
    std::filesystem::create_directories(std::filesystem::path(path).parent_path());
    std::ofstream(path, std::ios::binary) << bytes;
    return path;
  }
  void MakeDirectory(const std::string& below) const {
    std::filesystem::create_directories(path_ + "/" + below);
  }

 private:
  std::string path_;
};

inline std::string ReadWhole(const std::string& path) {
  std::ostringstream bytes;
  bytes << std::ifstream(path, std::ios::binary).rdbuf();
  return bytes.str();
}

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

#endif  // LOCKSTEP_TESTS_TOOLS_SCRATCH_H_
