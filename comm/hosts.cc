#include "comm/hosts.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cstdint>
#include <fstream>

#include "engine/train/host_name.h"

namespace lockstep {
namespace {

// 64 bits of FNV-1a (http://www.isthe.com/chongo/tech/comp/fnv/), the same on every machine.
uint64_t HashOf(const std::string& text) {
  uint64_t hash = 0xCBF29CE484222325U;
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001B3U;
  return hash;
}

std::string InodeOf(const char* path) {
  struct stat status {};
  return ::stat(path, &status) == 0 ? std::to_string(status.st_ino) : "?";
}

}  // namespace

std::string HostKey() {
  std::string boot;
  std::getline(std::ifstream("/proc/sys/kernel/random/boot_id"), boot);
  return HostName() + " " + boot + " " + InodeOf("/proc/self/ns/pid") + " " +
         InodeOf("/proc/self/ns/net") + " " + std::to_string(::geteuid());
}

std::vector<int> RanksOfHost(Communicator& whole, const std::string& host) {
  const uint64_t mine = HashOf(host);
  std::vector<uint64_t> hosts(static_cast<size_t>(whole.size()));
  whole.Allgather(&mine, sizeof mine, hosts.data());
  std::vector<int> ranks;
  for (int rank = 0; rank < whole.size(); ++rank) {
    if (hosts[static_cast<size_t>(rank)] == mine) ranks.push_back(rank);
  }
  return ranks;
}

}  // namespace lockstep
