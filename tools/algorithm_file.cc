#include "tools/algorithm_file.h"

#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <system_error>

namespace lockstep::tools {
namespace {

std::string Variable(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

std::string CacheDirectory() {
  if (std::string own = Variable("LOCKSTEP_CACHE_DIR"); !own.empty()) return own;
  if (const std::string xdg = Variable("XDG_CACHE_HOME"); !xdg.empty()) return xdg + "/lockstep";
  if (const std::string home = Variable("HOME"); !home.empty()) return home + "/.cache/lockstep";
  return "";
}

}  // namespace

std::string DefaultAlgorithmFile() {
  const std::string directory = CacheDirectory();
  if (directory.empty()) return "";
  std::error_code error;
  std::filesystem::create_directories(directory, error);
  if (error || access(directory.c_str(), W_OK) != 0) return "";
  return directory + "/algorithms";
}

}  // namespace lockstep::tools
