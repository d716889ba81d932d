#include "models/networks.h"

namespace lockstep {

Var MlpNetwork(Var x, const ModelSpec& spec) {
  int layer = 0;
  for (const int64_t units : spec.hidden) {
    x = Relu(Linear(x, {.out = units}, "predictor/l" + std::to_string(++layer)));
  }
  return Linear(x, {.out = spec.classes}, "predictor/l" + std::to_string(++layer));
}

Var DnnNetwork(Var x, const ModelSpec& spec) {
  int layer = 0;
  for (const int64_t units : spec.hidden) {
    x = Relu(Linear(x, {.out = units}, "predictor/hidden" + std::to_string(++layer)));
  }
  return Linear(x, {.out = spec.classes}, "predictor/output");
}

}  // namespace lockstep
