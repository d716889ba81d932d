#include "engine/train/accumulation.h"

#include "kernels/error.h"

namespace lockstep {

size_t RowBytes(const Graph& graph, const std::string& name, DType dtype) {
  const int id = graph.Find(name);
  if (id < 0) throw ConfigError("the network has no input named " + name);
  const TensorType& type = graph.values()[static_cast<size_t>(id)].type;
  const DType fed = IsFloating(type.dtype) ? dtype : type.dtype;
  return static_cast<size_t>(type.shape.row_size()) * SizeOf(fed);
}

Batch RowsOf(const Batch& batch, Range rows, size_t x_bytes, size_t label_bytes) {
  const auto begin = static_cast<size_t>(rows.begin), count = static_cast<size_t>(rows.size());
  Batch part = batch;
  if (batch.preparation) x_bytes = batch.preparation->stored_bytes();
  part.x = static_cast<const char*>(batch.x) + begin * x_bytes;
  part.labels = static_cast<const char*>(batch.labels) + begin * label_bytes;
  if (!batch.ids.empty()) part.ids = batch.ids.subspan(begin, count);
  part.rows = rows.size();
  return part;
}

Accumulation::Accumulation(Variables& variables, Backend& backend)
    : variables_(variables),
      backend_(backend),
      kept_(AllocateOn(backend,
                       static_cast<size_t>(variables.flat_size()) * SizeOf(variables.dtype()),
                       "accumulated gradients")) {}

std::byte* Accumulation::KeptAt(int64_t begin) const {
  return static_cast<std::byte*>(kept_.get()) +
         static_cast<size_t>(begin) * SizeOf(variables_.dtype());
}

std::byte* Accumulation::CurrentAt(int64_t begin) const {
  return static_cast<std::byte*>(variables_.gradients()) +
         static_cast<size_t>(begin) * SizeOf(variables_.dtype());
}

GradientsReady Accumulation::Keep() {
  const bool first = !holds_;
  holds_ = true;
  return [this, first, done = int64_t{0}](int64_t end) mutable {
    const DType dtype = variables_.dtype();
    ElementwiseKernels& kernels = backend_.elementwise();
    if (first) {
      kernels.Scale(dtype, 1.0, end - done, CurrentAt(done), KeptAt(done));
    } else {
      kernels.Add(dtype, end - done, KeptAt(done), CurrentAt(done), KeptAt(done));
    }
    done = end;
  };
}

GradientsReady Accumulation::Finish(const GradientsReady& ready) {
  if (!holds_) return ready;
  return [this, ready, done = int64_t{0}](int64_t end) mutable {
    backend_.elementwise().Add(variables_.dtype(), end - done, KeptAt(done), CurrentAt(done),
                               CurrentAt(done));
    done = end;
    if (ready) ready(end);
  };
}

}  // namespace lockstep
