#include "engine/train/checkpoint_contents.h"

#include "engine/train/posix_file.h"
#include "kernels/error.h"

namespace lockstep {
namespace {

constexpr const char* kAdvice =
    "; it was written by another job: resume with the same network and options";

template <typename T>
const T& ValueOf(const CheckpointContents& contents, const std::string& name, const char* type) {
  const auto found = contents.values.find(name);
  if (found == contents.values.end()) {
    throw ShapeError("the checkpoint has no value \"" + Printable(name) + "\"" + kAdvice);
  }
  const T* value = std::get_if<T>(&found->second);
  if (value == nullptr) {
    throw ShapeError("the checkpoint's value \"" + Printable(name) + "\" is not " + type + kAdvice);
  }
  return *value;
}

std::string Describe(DType dtype, const Shape& shape) {
  return std::string(Name(dtype)).append(" ").append(shape.ToString());
}

}  // namespace

int64_t CheckpointContents::Integer(const std::string& name) const {
  return ValueOf<int64_t>(*this, name, "an integer");
}

double CheckpointContents::Real(const std::string& name) const {
  return ValueOf<double>(*this, name, "a real number");
}

const std::string& CheckpointContents::Text(const std::string& name) const {
  return ValueOf<std::string>(*this, name, "a text");
}

const Tensor& CheckpointContents::Array(const std::string& name, const TensorType& type) const {
  const auto found = tensors.find(name);
  if (found == tensors.end()) {
    throw ShapeError("the checkpoint has no array \"" + Printable(name) + "\"" + kAdvice);
  }
  const Tensor& tensor = found->second;
  if (tensor.dtype() != type.dtype || tensor.shape() != type.shape) {
    throw ShapeError("the checkpoint's array \"" + Printable(name) + "\" is " +
                     Describe(tensor.dtype(), tensor.shape()) + ", the network wants " +
                     Describe(type.dtype, type.shape) + kAdvice);
  }
  return tensor;
}

}  // namespace lockstep
