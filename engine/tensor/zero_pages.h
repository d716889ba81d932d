// Zeros in the host's memory of which only what is written takes up any.
#ifndef LOCKSTEP_ENGINE_TENSOR_ZERO_PAGES_H_
#define LOCKSTEP_ENGINE_TENSOR_ZERO_PAGES_H_

#include <cstddef>
#include <memory>
#include <string>

namespace lockstep {

// At least `bytes`, never none, aligned as Backend::Allocate's. Any thread. Throws UnavailableError
// naming `purpose` and the bytes asked for.
std::shared_ptr<void> AllocateZeroPages(size_t bytes, const std::string& purpose);

}  // namespace lockstep

#endif  // LOCKSTEP_ENGINE_TENSOR_ZERO_PAGES_H_
