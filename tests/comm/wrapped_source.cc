#include "tests/comm/wrapped_source.h"

namespace lockstep::testing {

const Batch& WrappedSource::Next() {
  batch_ = source_.Next();
  ids_.assign(batch_.ids.begin(), batch_.ids.end());
  change_(&batch_, &ids_);
  batch_.ids = ids_;
  return batch_;
}

}  // namespace lockstep::testing
