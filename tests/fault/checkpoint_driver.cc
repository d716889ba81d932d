// What powercut.sh runs: saves without end, a check of what is left, and the power cut itself.
#include <fcntl.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <string>

#include "engine/train/checkpoint_store.h"
#include "kernels/error.h"
#include "tests/fault/saved_state.h"

namespace lockstep::testing {
namespace {

void Warn(const std::string& line) { std::fprintf(stderr, "%s\n", line.c_str()); }

// Prints the iteration of each state once its save has returned.
int SaveForEver(const std::string& directory) {
  CheckpointStore store(directory, {2, Warn});
  const auto loaded = store.LoadNewest();
  for (int64_t i = loaded ? loaded->tag.iteration + 1 : 1;; ++i) {
    store.Save(StateOf(i, 1000 + i % 7 * 3001), {.iteration = i});
    std::printf("%lld\n", static_cast<long long>(i));
    std::fflush(stdout);
  }
}

// Exit 0 when the newest state is whole and at least `reported`.
int Check(const std::string& directory, int64_t reported) {
  const int64_t newest = NewestIn(directory);
  std::printf("reported %lld, found %lld\n", static_cast<long long>(reported),
              static_cast<long long>(newest));
  return newest >= reported || (newest == -1 && reported == 0) ? 0 : 1;
}

// EXT4_IOC_SHUTDOWN with EXT4_GOING_FLAGS_NOLOGFLUSH (fs/ext4/ext4.h): as if the power went.
int Cut(const std::string& mount) {
  constexpr unsigned long kShutdown = _IOR('X', 125, uint32_t);
  uint32_t no_log_flush = 2;
  const int fd = ::open(mount.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd >= 0 && ::ioctl(fd, kShutdown, &no_log_flush) == 0) return 0;
  std::fprintf(stderr, "%s: %s\n", mount.c_str(), std::strerror(errno));
  return 1;
}

int Main(int argc, char** argv) {
  const std::string verb = argc > 2 ? argv[1] : "";
  if (verb == "save") return SaveForEver(argv[2]);
  if (verb == "check" && argc > 3) return Check(argv[2], std::stoll(argv[3]));
  if (verb == "cut") return Cut(argv[2]);
  std::fprintf(stderr, "usage: checkpoint_driver save DIR | check DIR REPORTED | cut MOUNT\n");
  return 64;
}

}  // namespace
}  // namespace lockstep::testing

int main(int argc, char** argv) {
  try {
    return lockstep::testing::Main(argc, argv);
  } catch (const lockstep::Error& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return static_cast<int>(error.code());
  }
}
