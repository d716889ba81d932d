#include "tools/spinning.h"

#include <stdlib.h>
#include <unistd.h>

#include <array>

namespace lockstep::tools {
namespace {

// By its own path: by that of /proc/self/exe the process would be called "exe" by ps and pkill.
void BecomeAgain(char** argv) {
  constexpr const char* kSelf = "/proc/self/exe";
  std::array<char, 4096> path{};
  if (::readlink(kSelf, path.data(), path.size() - 1) > 0) ::execv(path.data(), argv);
  ::execv(kSelf, argv);
}

}  // namespace

void BoundSpinning(char** argv) {
  constexpr const char* kSpins = "5000";  // some 100 microseconds
  if (argv[0] == nullptr || ::getenv("GOMP_SPINCOUNT") != nullptr ||
      ::getenv("OMP_WAIT_POLICY") != nullptr) {
    return;
  }
  if (::setenv("GOMP_SPINCOUNT", kSpins, 0) == 0) BecomeAgain(argv);
  // Without /proc it works as well, only slower beside others.
}

}  // namespace lockstep::tools
