// From a stored row to what the network is fed.
#ifndef LOCKSTEP_DATA_ROW_TRANSFORM_H_
#define LOCKSTEP_DATA_ROW_TRANSFORM_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "engine/plan/picture_preparation.h"
#include "engine/tensor/tensor.h"

namespace lockstep {

// Pictures are (c, h, w). Everything random is a function of (seed, epoch, sample id), whatever
// the batch size, the rank or the thread.
struct TransformOptions {
  // float32 or float64; or uint8 to pass bytes on as they are.
  DType dtype = DType::kFloat32;
  // Bytes are multiplied by this; floating-point data is not scaled.
  double scale = 1.0 / 255.0;
  // One a channel (or one for all), after scaling: (x - mean) / deviation. Empty: none.
  std::vector<float> mean = {};
  std::vector<float> deviation = {};
  // Pixels of zero (before the mean is subtracted) added on every side.
  int64_t padding = 0;
  // Cuts out crop x crop pixels of the padded picture; 0: the picture's own height and width.
  int64_t crop = 0;
  // Takes the crop at a random place, else in the middle.
  bool random_crop = false;
  // Mirrors every other picture left to right, by chance.
  bool flip = false;

  bool is_random() const { return random_crop || flip; }
};

// Thread-safe. ConfigError (64) for options that do not fit the samples.
class RowTransform {
 public:
  RowTransform(TensorType sample, TransformOptions options, uint64_t seed);

  // One row as fed.
  TensorType output() const { return {output_, options_.dtype}; }
  // True when a row is fed exactly as stored: it may be copied instead.
  bool is_copy() const { return is_copy_; }
  // The same as Apply, to be done by a device with rows as stored; null where these are no bytes or
  // stay bytes.
  std::shared_ptr<const PicturePreparation> preparation() const { return preparation_; }
  // Reads the row at `x` and writes it at `y`.
  void Apply(const void* x, int64_t id, int64_t epoch, void* y) const;

 private:
  PictureCut CutOf(uint64_t seed) const;
  Tensor MakeTable() const;
  template <typename From, typename To>
  void Map(const From* x, int64_t id, int64_t epoch, To* y) const;
  template <typename From, typename To>
  void MapChannel(const From* x, int64_t channel, int64_t count, To* y) const;
  template <typename From, typename To>
  void Cut(const From* x, int64_t id, int64_t epoch, To* y) const;

  TensorType sample_;
  TransformOptions options_;
  PictureCut cut_;
  Shape output_;
  bool is_copy_ = false;
  bool is_cut_ = false;   // the picture is not taken as it lies
  int64_t channels_ = 1;  // of different mean and deviation; 1 when there are none
  int64_t plane_ = 0;     // elements of one of them
  std::shared_ptr<const PicturePreparation> preparation_;
};

}  // namespace lockstep

#endif  // LOCKSTEP_DATA_ROW_TRANSFORM_H_
