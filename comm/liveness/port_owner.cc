#include <algorithm>
#include <array>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>

#include "comm/liveness/port_owner_internal.h"
#include "engine/train/posix_file.h"

namespace lockstep::liveness {
namespace {

namespace fs = std::filesystem;

// Of the sockets that listen at `port`, as links under /proc/PID/fd name them. A line of the table
// (proc(5)): number, local address "0100007F:1F90", remote address, state, ..., inode the tenth.
std::set<std::string> ListenersIn(const char* table, uint16_t port) {
  std::array<char, 8> wanted{};
  std::snprintf(wanted.data(), wanted.size(), ":%04X", unsigned{port});
  std::set<std::string> sockets;
  std::ifstream file(table);
  for (std::string line; std::getline(file, line);) {
    std::istringstream words(line);
    std::array<std::string, 10> fields;
    for (std::string& field : fields) words >> field;
    constexpr const char* kListens = "0A";
    if (fields[1].ends_with(wanted.data()) && fields[3] == kListens) {
      sockets.insert("socket:[" + fields[9] + "]");
    }
  }
  return sockets;
}

bool HasOneOf(const fs::path& process, const std::set<std::string>& sockets) {
  std::error_code error;
  const fs::directory_iterator files(process / "fd", error);
  return std::any_of(begin(files), end(files), [&](const fs::directory_entry& file) {
    std::error_code gone;
    return sockets.count(fs::read_symlink(file.path(), gone)) > 0;
  });
}

}  // namespace

std::string PortOwner(uint16_t port) {
  std::set<std::string> sockets = ListenersIn("/proc/net/tcp", port);
  sockets.merge(ListenersIn("/proc/net/tcp6", port));
  std::error_code error;
  for (const auto& entry : fs::directory_iterator("/proc", error)) {
    const std::string id = entry.path().filename();
    if (id.find_first_not_of("0123456789") != std::string::npos) continue;
    if (!HasOneOf(entry.path(), sockets)) continue;
    std::string name;
    std::ifstream file(entry.path() / "comm");
    std::getline(file, name);
    return "process " + id + " (" + Printable(name) + ")";
  }
  return "another process";
}

}  // namespace lockstep::liveness
