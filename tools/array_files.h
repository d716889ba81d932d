// Arrays in files that people name on the command line.
#ifndef LOCKSTEP_TOOLS_ARRAY_FILES_H_
#define LOCKSTEP_TOOLS_ARRAY_FILES_H_

#include <string>

#include "engine/tensor/tensor.h"

namespace lockstep::tools {

// By the ending: .npy, .npz (the array `key`, or the only one) or .csv. ConfigError for another
// ending; errors of the formats pass through.
Tensor ReadArray(const std::string& path, const std::string& key);
// ConfigError for an ending that neither knows, naming the option.
void CheckArrayName(const std::string& option, const std::string& path);
// Whole or not at all; in an .npz the array is called "data".
void WriteArray(const std::string& path, const Tensor& tensor);

}  // namespace lockstep::tools

#endif  // LOCKSTEP_TOOLS_ARRAY_FILES_H_
