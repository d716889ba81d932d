#include "tools/spinning.h"

#include <stdlib.h>
#include <unistd.h>

namespace lockstep::tools {

void BoundSpinning(char** argv) {
  constexpr const char* kSpins = "5000";  // some 100 microseconds
  if (argv[0] == nullptr || ::getenv("GOMP_SPINCOUNT") != nullptr ||
      ::getenv("OMP_WAIT_POLICY") != nullptr) {
    return;
  }
  if (::setenv("GOMP_SPINCOUNT", kSpins, 0) == 0) ::execv("/proc/self/exe", argv);
  // Without /proc it works as well, only slower beside others.
}

}  // namespace lockstep::tools
