#include "engine/train/host_name.h"

#include <sys/utsname.h>

namespace lockstep {

std::string HostName() {
  struct utsname names;
  return ::uname(&names) == 0 && names.nodename[0] != '\0' ? names.nodename : "localhost";
}

}  // namespace lockstep
