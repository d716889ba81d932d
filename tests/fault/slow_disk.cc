// Preloaded into a program: while the file that $LOCKSTEP_SLOW_DISK names exists, what fsync() is
// to keep takes 20 s.
#include <dlfcn.h>
#include <unistd.h>

#include <cstdlib>

extern "C" __attribute__((visibility("default"))) int fsync(int fd) {
  static const auto real = reinterpret_cast<int (*)(int)>(::dlsym(RTLD_NEXT, "fsync"));
  const char* const slow = std::getenv("LOCKSTEP_SLOW_DISK");
  for (int tenth = 0; tenth < 200 && slow != nullptr && ::access(slow, F_OK) == 0; ++tenth) {
    ::usleep(100'000);
  }
  return real(fd);
}
