// A failure that says nothing against the device.
#ifndef LOCKSTEP_KERNELS_UNAVAILABLE_H_
#define LOCKSTEP_KERNELS_UNAVAILABLE_H_

#include "kernels/error.h"

namespace lockstep {

// Too little memory, or a library that does not do what was asked for. The device goes on working:
// what wants less, or something else, may still be had of it. Any other DeviceError says that it or
// a kernel is broken.
class UnavailableError : public DeviceError {
 public:
  using DeviceError::DeviceError;
};

}  // namespace lockstep

#endif  // LOCKSTEP_KERNELS_UNAVAILABLE_H_
