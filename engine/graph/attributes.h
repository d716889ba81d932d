// The settings of an op as data: what is printed, hashed and written to model files.
#ifndef LOCKSTEP_ENGINE_GRAPH_ATTRIBUTES_H_
#define LOCKSTEP_ENGINE_GRAPH_ATTRIBUTES_H_

#include <string>
#include <utility>
#include <vector>

namespace lockstep {

// (name, value as text), in a fixed order per op type.
using Attributes = std::vector<std::pair<std::string, std::string>>;

}  // namespace lockstep

#endif  // LOCKSTEP_ENGINE_GRAPH_ATTRIBUTES_H_
