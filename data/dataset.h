// A data set in memory.
#ifndef LOCKSTEP_DATA_DATASET_H_
#define LOCKSTEP_DATA_DATASET_H_

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "engine/tensor/tensor.h"

namespace lockstep {

// How the labels of a data set are understood.
enum class LabelKind : uint8_t {
  kAuto,     // integers are classes, floating-point numbers are targets
  kClasses,  // whole numbers, -1 for "ignored"
  kTargets,  // float32 numbers to be predicted
};

// Rows of features with a label each. Immutable; copies share the elements.
class Dataset {
 public:
  // Which file rows come from, for messages, in order.
  struct Part {
    std::string file;
    int64_t rows = 0;
    int64_t first_row = 0;         // number within the file of the first one
    std::string labels_file = {};  // where their labels are, if elsewhere
  };

  // Features (n, ...) become uint8 (as is), float32 or float64 (integers wider than a byte become
  // float32). Labels (n,) or (n, 1) become int32 classes, or (n, ...) float32 targets, where (n,)
  // becomes (n, 1), as do features. FormatError (65), naming file and row: other counts of rows
  // than of labels, no rows or values, class labels below -1, above 2^31 - 2 or not whole.
  Dataset(const Tensor& features, const Tensor& labels, std::vector<Part> parts,
          LabelKind kind = LabelKind::kAuto);

  int64_t size() const { return features_.shape()[0]; }
  const Tensor& features() const { return features_; }
  const Tensor& labels() const { return labels_; }
  // One row's, as stored.
  TensorType sample_type() const;
  TensorType label_type() const;
  bool has_classes() const { return labels_.dtype() == DType::kInt32; }
  // One more than the largest class label seen; 0 for targets.
  int32_t classes() const { return classes_; }

  // Those of its parts, in order.
  std::vector<std::string> files() const;
  // "train.npz row 17".
  std::string Describe(int64_t id) const;
  // Throws FormatError (65) naming the first row whose label is not in 0..classes-1 or -1.
  void CheckLabels(int32_t classes) const;
  // Throws FormatError (65) naming the first row with a NaN, an infinity or, in a run of float32,
  // a number beyond that, feature or target.
  void CheckFinite(DType run = DType::kFloat64) const;
  // Of features and labels: their values, shapes, dtypes and order, not the names of files. Reads
  // everything, on a few threads.
  uint64_t fingerprint() const;
  // Rows [begin, end), sharing the elements.
  Dataset Slice(int64_t begin, int64_t end) const;
  // The rows of all, in order. FormatError (65) naming the two files whose rows differ in shape or
  // type.
  static Dataset Concatenate(const std::vector<Dataset>& datasets);

 private:
  Dataset() = default;
  Tensor ClassesOf(const Tensor& labels) const;
  // A row's part and its number within that part's file; of rows without a file no part.
  std::pair<const Part*, int64_t> PlaceOf(int64_t id) const;
  // As Describe(), with the file that holds the label.
  std::string DescribeLabel(int64_t id) const;

  Tensor features_;
  Tensor labels_;
  std::vector<Part> parts_;
  int32_t classes_ = 0;
};

// The first element of a floating tensor that is not finite in a run of this type: a NaN, an
// infinity or, of float64 in a run of float32, a number beyond that. -1 when there is none.
int64_t FirstNonFinite(const Tensor& tensor, DType run);

}  // namespace lockstep

#endif  // LOCKSTEP_DATA_DATASET_H_
