// One update from a batch that is run in several parts, one after the other.
#ifndef LOCKSTEP_ENGINE_TRAIN_ACCUMULATION_H_
#define LOCKSTEP_ENGINE_TRAIN_ACCUMULATION_H_

#include <cstddef>
#include <cstdint>
#include <string>

#include "engine/graph/graph.h"
#include "engine/plan/plan.h"
#include "engine/plan/variables.h"
#include "engine/tensor/device_memory.h"
#include "engine/train/batch_cut.h"
#include "engine/train/batch_source.h"
#include "kernels/backend.h"

namespace lockstep {

// Bytes of one row of the graph's input `name`; ConfigError where it has none of that name.
size_t RowBytes(const Graph& graph, const std::string& name, DType dtype);

// These rows of a batch, as one of their own. Bytes are those of one row of samples, as fed, and of
// labels.
Batch RowsOf(const Batch& batch, Range rows, size_t x_bytes, size_t label_bytes);

// Sums the gradients that the parts leave, in a second flat block. What earlier parts left is added
// while the last one's backward pass runs, before anybody hears that an element is final.
class Accumulation {
 public:
  // Both must outlive it.
  Accumulation(Variables& variables, Backend& backend);

  // Nothing is kept yet.
  void Begin() { holds_ = false; }
  // What a part's backward pass is to call: keeps what has become final.
  GradientsReady Keep();
  // Of the last part: adds what was kept, then tells `ready`.
  GradientsReady Finish(const GradientsReady& ready);

 private:
  // Kept or current gradients from `begin` on.
  std::byte* KeptAt(int64_t begin) const;
  std::byte* CurrentAt(int64_t begin) const;

  Variables& variables_;
  Backend& backend_;
  DeviceMemory kept_;
  bool holds_ = false;
};

}  // namespace lockstep

#endif  // LOCKSTEP_ENGINE_TRAIN_ACCUMULATION_H_
