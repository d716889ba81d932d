// What a bare model.npz holds, without the network that wrote it.
#ifndef LOCKSTEP_MODELS_DESCRIBE_H_
#define LOCKSTEP_MODELS_DESCRIBE_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "models/model.h"

namespace lockstep {

struct ModelDescription {
  struct Array {
    std::string key;
    std::string type;  // NumPy's: "<f4"; "|O" for an array that was not initialised
    Shape shape;
  };
  std::vector<Array> arrays;  // sorted by key
  int64_t elements = 0;
  std::string prefix;  // of the network's keys: "predictor/", "", "updater/model:main/predictor/"
  // The network of ours whose arrays these are, all of them and each of the right shape. Pictures
  // are taken to be square and, where several sizes give the same arrays, 32x32 for vgg and a
  // multiple of 4 for lenet: the arrays do not tell more.
  std::optional<ModelSpec> spec;
  std::string reason;  // without a spec: why not
};

// Reads the directory and the headers only. Throws IoError and FormatError as NpzReader.
ModelDescription DescribeModelNpz(const std::string& path);

}  // namespace lockstep

#endif  // LOCKSTEP_MODELS_DESCRIBE_H_
