// The state a network keeps between steps: parameters, their gradients, running statistics.
#ifndef LOCKSTEP_ENGINE_PLAN_VARIABLES_H_
#define LOCKSTEP_ENGINE_PLAN_VARIABLES_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "engine/graph/graph.h"
#include "engine/tensor/device_memory.h"
#include "engine/tensor/tensor.h"
#include "kernels/backend.h"

namespace lockstep {

// Elements [begin, end) of the flat gradients, and where these lie, in the host's memory.
struct GradientPart {
  int64_t begin = 0, end = 0;
  const void* data = nullptr;
};

// Each array lives once, plain and unpadded. All parameters share one flat block and all their
// gradients another, in the order in which the backward pass finishes them (last layer first), so
// that an update or an allreduce is one walk over memory. Arrays start at multiples of 64 bytes;
// the gaps stay zero.
class Variables {
 public:
  struct Entry {
    std::string name;
    Role role = Role::kParameter;
    TensorType type;  // floating types are the plan's dtype
    Initializer initializer;
    int graph_value = -1;
    int64_t offset = 0;  // elements into the flat blocks, of parameters
    void* data = nullptr;
    void* gradient = nullptr;  // of parameters
    bool trained = false;      // gets gradients and updates: a parameter that is not frozen
  };

  // Graph and backend must outlive this. Values are undefined until Initialize or Set. `frozen`
  // parameters are left alone by plans and updaters; throws ConfigError where one does not exist.
  // `gradient_memory`, where given, is where host_gradients() lie.
  Variables(const Graph& graph, Backend& backend, DType dtype,
            const std::set<std::string>& frozen = {},
            const std::function<std::shared_ptr<void>(size_t)>& gradient_memory = nullptr);
  Variables(const Variables&) = delete;  // plans and updaters point here
  Variables& operator=(const Variables&) = delete;

  // Every value from its initializer; gradients zero.
  void Initialize(uint64_t seed);

  const std::vector<Entry>& entries() const { return entries_; }
  const Entry& at(int graph_value) const;
  // Throws ConfigError for an unknown name.
  const Entry& Find(const std::string& name) const;
  bool Contains(const std::string& name) const;
  // Names of the parameters that are not trained.
  std::set<std::string> frozen() const;

  // An array of this network as the host sees it (ViewOnHost).
  Tensor View(const Entry& entry) const;
  // Copies; Set casts, and throws ShapeError naming the array, found and wanted shape.
  Tensor Get(const std::string& name) const;
  void Set(const std::string& name, const Tensor& value);
  // The same for one of entries(), without a search.
  void Set(const Entry& entry, const Tensor& value);
  // Of the last plan that ran, but for what it updated on its way (RunHooks::updates); behind a
  // step of several ranks their sums, of which other ranks may keep parts
  // (ParamSync::FinishGradients). TrainerOptions::keep_gradients has all of them here.
  Tensor GetGradient(const std::string& name) const;

  Backend& backend() const { return backend_; }

  // Loss scaling: from now on gradients are those of the loss times LossScale::scale, which lies in
  // the device's memory and follows overflows. For plans that compute in float16; before any plan
  // is made.
  void ScaleLoss(const LossScaling& rule);
  const LossScaling& loss_scaling() const { return loss_scaling_; }
  // In the device's memory; null where gradients are those of the loss itself.
  LossScale* loss_scale() const { return static_cast<LossScale*>(loss_scale_.get()); }
  LossScale GetLossScale() const;
  void SetLossScale(const LossScale& scale);

  // The flat blocks: flat_size() elements of dtype().
  int64_t flat_size() const { return flat_size_; }
  DType dtype() const { return dtype_; }
  void* parameters() const { return parameters_.get(); }
  void* gradients() const { return gradients_.get(); }
  // The same for who may still use them when the variables are gone; the backend is not.
  const std::shared_ptr<void>& shared_gradients() const { return gradients_; }
  // Of running statistics, one block.
  void* states() const { return states_.get(); }
  size_t state_bytes() const { return state_bytes_; }

  // Gradients in the host's memory, where other threads and processes add to them; it may outlive
  // the variables. Where the device shares that memory they are the gradients themselves; elsewhere
  // they come there and back by the two functions, elements [begin, end) and all.
  const std::shared_ptr<void>& host_gradients() const {
    return host_gradients_ ? host_gradients_ : gradients_;
  }
  void FetchGradients(int64_t begin, int64_t end);
  void StoreGradients();

 private:
  void Allocate(const std::function<std::shared_ptr<void>(size_t)>& gradient_memory);

  Backend& backend_;
  DType dtype_;
  std::vector<Entry> entries_;
  std::vector<int> entry_of_;  // by graph value
  int64_t flat_size_ = 0;
  size_t state_bytes_ = 0;
  LossScaling loss_scaling_;
  DeviceMemory parameters_, states_;
  DeviceMemory loss_scale_;  // null without loss scaling
  std::shared_ptr<void> gradients_;
  std::shared_ptr<void> host_gradients_;  // null where the device shares the host's memory
};

}  // namespace lockstep

#endif  // LOCKSTEP_ENGINE_PLAN_VARIABLES_H_
