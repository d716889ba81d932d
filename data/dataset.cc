#include "data/dataset.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstring>
#include <limits>
#include <type_traits>

#include "data/bytes.h"
#include "data/damage.h"
#include "data/fingerprint.h"
#include "engine/text.h"
#include "kernels/error.h"

namespace lockstep {
namespace {

// Class labels are below this, so that the number of classes is an int32. As a float it is 2^31.
constexpr int32_t kClassLimit = std::numeric_limits<int32_t>::max();

Tensor AtLeastTwoAxes(const Tensor& rows) {
  return rows.shape().ndim() == 1 ? rows.Reshape({rows.shape()[0], 1}) : rows;
}

Tensor FeaturesOf(const Tensor& features) {
  const bool integers = features.dtype() == DType::kInt32 || features.dtype() == DType::kInt64;
  return AtLeastTwoAxes(integers ? features.Cast(DType::kFloat32) : features);
}

Tensor TargetsOf(const Tensor& labels) { return AtLeastTwoAxes(labels.Cast(DType::kFloat32)); }

// The shortest that reads back the same.
template <typename T>
std::string Text(T value) {
  if constexpr (std::is_floating_point_v<T>) {
    if (std::isnan(value)) return "nan";  // its sign says nothing
  }
  std::array<char, 32> text{};
  return {text.data(), std::to_chars(text.data(), text.data() + text.size(), value).ptr};
}

// The first row that is no class label; -1 when all are. Converts into `to`.
template <typename T>
int64_t ConvertClasses(std::span<const T> from, std::span<int32_t> to) {
  for (size_t i = 0; i < from.size(); ++i) {
    // Written so that a NaN fails.
    if (!(from[i] >= T{-1} && from[i] < static_cast<T>(kClassLimit))) {
      return static_cast<int64_t>(i);
    }
    to[i] = static_cast<int32_t>(from[i]);
    if (static_cast<T>(to[i]) != from[i]) return static_cast<int64_t>(i);
  }
  return -1;
}

template <>
int64_t ConvertClasses(std::span<const uint8_t> from, std::span<int32_t> to) {
  std::copy(from.begin(), from.end(), to.begin());
  return -1;
}

template <typename T>
int64_t FirstBeyond(const Tensor& tensor, T largest) {
  const auto values = tensor.values<T>();
  for (size_t i = 0; i < values.size(); ++i) {
    // Written so that a NaN fails.
    if (!(std::abs(values[i]) <= largest)) return static_cast<int64_t>(i);
  }
  return -1;
}

std::string ElementText(const Tensor& tensor, int64_t index) {
  const auto i = static_cast<size_t>(index);
  switch (tensor.dtype()) {
    case DType::kFloat32:
      return Text(tensor.values<float>()[i]);
    case DType::kFloat64:
      return Text(tensor.values<double>()[i]);
    case DType::kInt32:
      return Text(tensor.values<int32_t>()[i]);
    case DType::kInt64:
      return Text(tensor.values<int64_t>()[i]);
    case DType::kUint8:
      return Text(int{tensor.values<uint8_t>()[i]});
    case DType::kFloat16:
    case DType::kBfloat16:
      break;
  }
  return {};
}

std::string FilesText(const std::vector<Dataset::Part>& parts) {
  if (parts.empty()) return "data set";
  return parts.front().file + (parts.size() > 1 ? " to " + parts.back().file : "");
}

const std::string& LabelsFile(const Dataset::Part& part) {
  return part.labels_file.empty() ? part.file : part.labels_file;
}

std::string LabelsText(const std::vector<Dataset::Part>& parts) {
  if (parts.empty()) return "data set";
  const std::string& last = LabelsFile(parts.back());
  return LabelsFile(parts.front()) + (parts.size() > 1 ? " to " + last : "");
}

// Of all rows, which may be none.
void CheckShape(const std::string& files, const char* what, const Shape& shape) {
  const std::string found = files + ": " + what + " of shape " + shape.ToString();
  if (shape.ndim() == 0) throw FormatError(found + "; wanted a first axis of rows");
  if (shape[0] == 0 || shape.size() > 0) return;
  throw FormatError(found + "; wanted at least one value a row");
}

std::string RowText(const Dataset& dataset) {
  const auto text = [](const TensorType& type) {
    return std::string(Name(type.dtype)) + " " + type.shape.ToString();
  };
  return text(dataset.sample_type()) + " with label " + text(dataset.label_type());
}

}  // namespace

Dataset::Dataset(const Tensor& features, const Tensor& labels, std::vector<Part> parts,
                 LabelKind kind)
    : parts_(std::move(parts)) {
  const std::string files = FilesText(parts_);
  CheckShape(files, "data", features.shape());
  CheckShape(LabelsText(parts_), "labels", labels.shape());
  features_ = FeaturesOf(features);
  if (labels.shape()[0] != size()) {
    throw FormatError(files + ": " + Counted(size(), "row") + " of data but " +
                      Counted(labels.shape()[0], "label") + "; each row needs one");
  }
  if (size() == 0) throw DamagedFile(files + ": holds no rows, wanted at least one");
  const bool classes =
      kind == LabelKind::kClasses || (kind == LabelKind::kAuto && !IsFloating(labels.dtype()));
  labels_ = classes ? ClassesOf(labels) : TargetsOf(labels);
  if (!classes) return;
  const auto values = labels_.values<int32_t>();
  classes_ = *std::max_element(values.begin(), values.end()) + 1;
}

Tensor Dataset::ClassesOf(const Tensor& labels) const {
  if (labels.shape().row_size() != 1) {
    throw FormatError(LabelsText(parts_) + ": class labels of shape " + labels.shape().ToString() +
                      "; wanted one a row, shape (" + std::to_string(size()) + ",)");
  }
  Tensor classes(DType::kInt32, {size()});
  const std::span<int32_t> to = classes.values<int32_t>();
  int64_t bad = -1;
  switch (labels.dtype()) {
    case DType::kFloat32:
      bad = ConvertClasses(labels.values<float>(), to);
      break;
    case DType::kFloat64:
      bad = ConvertClasses(labels.values<double>(), to);
      break;
    case DType::kInt32:
      bad = ConvertClasses(labels.values<int32_t>(), to);
      break;
    case DType::kInt64:
      bad = ConvertClasses(labels.values<int64_t>(), to);
      break;
    case DType::kUint8:
      bad = ConvertClasses(labels.values<uint8_t>(), to);
      break;
    case DType::kFloat16:
    case DType::kBfloat16:
      break;
  }
  if (bad < 0) return classes;
  throw FormatError(DescribeLabel(bad) + ": label " + ElementText(labels, bad) +
                    " is not a class; wanted a whole number from 0, or -1 to ignore the row");
}

TensorType Dataset::sample_type() const {
  return {Shape(features_.shape().dims().subspan(1)), features_.dtype()};
}

TensorType Dataset::label_type() const {
  return {Shape(labels_.shape().dims().subspan(1)), labels_.dtype()};
}

std::vector<std::string> Dataset::files() const {
  std::vector<std::string> files;
  for (const Part& part : parts_) {
    if (files.empty() || files.back() != part.file) files.push_back(part.file);
  }
  return files;
}

uint64_t Dataset::fingerprint() const { return Fingerprint(labels_, Fingerprint(features_)); }

std::pair<const Dataset::Part*, int64_t> Dataset::PlaceOf(int64_t id) const {
  int64_t row = id;
  for (const Part& part : parts_) {
    if (row < part.rows) return {&part, part.first_row + row};
    row -= part.rows;
  }
  return {nullptr, id};
}

std::string Dataset::Describe(int64_t id) const {
  const auto [part, row] = PlaceOf(id);
  return (part == nullptr ? "" : part->file + " ") + "row " + std::to_string(row);
}

std::string Dataset::DescribeLabel(int64_t id) const {
  const auto [part, row] = PlaceOf(id);
  return (part == nullptr ? "" : LabelsFile(*part) + " ") + "row " + std::to_string(row);
}

void Dataset::CheckLabels(int32_t classes) const {
  if (!has_classes()) return;
  const auto labels = labels_.values<int32_t>();
  for (size_t i = 0; i < labels.size(); ++i) {
    if (labels[i] < classes) continue;
    throw FormatError(DescribeLabel(static_cast<int64_t>(i)) + ": label " +
                      std::to_string(labels[i]) + " is outside 0.." + std::to_string(classes - 1) +
                      ", the classes of the network (-1 is ignored); correct it or train with "
                      "--classes " +
                      std::to_string(classes_));
  }
}

int64_t FirstNonFinite(const Tensor& tensor, DType run) {
  constexpr float kLargest = std::numeric_limits<float>::max();
  if (tensor.dtype() == DType::kFloat32) return FirstBeyond(tensor, kLargest);
  if (tensor.dtype() != DType::kFloat64) return -1;
  return FirstBeyond(
      tensor, run == DType::kFloat32 ? double{kLargest} : std::numeric_limits<double>::max());
}

void Dataset::CheckFinite(DType run) const {
  const Tensor* tensor = nullptr;
  int64_t bad = -1, row = size();
  for (const Tensor* candidate : {&features_, &labels_}) {
    const int64_t found = FirstNonFinite(*candidate, run);
    if (found < 0 || found / candidate->shape().row_size() >= row) continue;
    tensor = candidate;
    bad = found;
    row = found / candidate->shape().row_size();
  }
  if (tensor == nullptr) return;
  const bool beyond = tensor->dtype() == DType::kFloat64 &&
                      std::isfinite(tensor->values<double>()[static_cast<size_t>(bad)]);
  throw FormatError(
      (tensor == &features_ ? Describe(row) + ": feature " : DescribeLabel(row) + ": target ") +
      std::to_string(bad % tensor->shape().row_size()) + " is " + ElementText(*tensor, bad) +
      (beyond ? ", beyond float32; scale it or use --dtype float64"
              : ", wanted finite numbers; repair or remove the row"));
}

Dataset Dataset::Slice(int64_t begin, int64_t end) const {
  if (begin < 0 || end > size() || begin >= end) {
    throw ConfigError("rows " + std::to_string(begin) + " to " + std::to_string(end) + " of " +
                      FilesText(parts_) + " do not exist; it holds " + std::to_string(size()));
  }
  const auto part = [&](Tensor tensor) {
    const size_t row = static_cast<size_t>(tensor.shape().row_size()) * SizeOf(tensor.dtype());
    auto owner = std::make_shared<Tensor>(tensor);
    return Tensor::Wrap(tensor.dtype(), tensor.shape().WithDim(0, end - begin),
                        static_cast<uint8_t*>(tensor.data()) + row * static_cast<size_t>(begin),
                        owner);
  };
  Dataset slice;
  slice.features_ = part(features_);
  slice.labels_ = part(labels_);
  int64_t part_begin = 0;
  for (const Part& whole : parts_) {
    const int64_t from = std::max(begin, part_begin);
    const int64_t to = std::min(end, part_begin + whole.rows);
    if (from < to) {
      const int64_t first = whole.first_row + from - part_begin;
      slice.parts_.push_back({whole.file, to - from, first, whole.labels_file});
    }
    part_begin += whole.rows;
  }
  slice.classes_ = classes_;
  return slice;
}

Dataset Dataset::Concatenate(const std::vector<Dataset>& datasets) {
  if (datasets.empty()) throw ConfigError("no data sets to join");
  if (datasets.size() == 1) return datasets[0];
  const Dataset& first = datasets[0];
  int64_t rows = 0;
  for (const Dataset& dataset : datasets) {
    rows += dataset.size();
    if (dataset.sample_type() == first.sample_type() &&
        dataset.label_type() == first.label_type()) {
      continue;
    }
    throw FormatError(dataset.Describe(0) + " is " + RowText(dataset) + " but " +
                      first.Describe(0) + " is " + RowText(first) +
                      "; files of one channel must agree");
  }
  Tensor features(first.features().dtype(), first.features().shape().WithDim(0, rows));
  Tensor labels(first.labels().dtype(), first.labels().shape().WithDim(0, rows));
  std::vector<Part> parts;
  auto* x = static_cast<uint8_t*>(features.data());
  auto* y = static_cast<uint8_t*>(labels.data());
  for (const Dataset& dataset : datasets) {
    std::memcpy(x, dataset.features().data(), dataset.features().bytes());
    std::memcpy(y, dataset.labels().data(), dataset.labels().bytes());
    x += dataset.features().bytes();
    y += dataset.labels().bytes();
    parts.insert(parts.end(), dataset.parts_.begin(), dataset.parts_.end());
  }
  return Dataset(features, labels, std::move(parts),
                 first.has_classes() ? LabelKind::kClasses : LabelKind::kTargets);
}

}  // namespace lockstep
