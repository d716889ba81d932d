// From a stored row to what the network is fed.
#ifndef LOCKSTEP_DATA_ROW_TRANSFORM_H_
#define LOCKSTEP_DATA_ROW_TRANSFORM_H_

#include <cstdint>
#include <vector>

#include "engine/tensor/tensor.h"

namespace lockstep {

// Pictures are (c, h, w). Everything random is a function of (seed, epoch, sample id), whatever
// the batch size, the rank or the thread.
struct TransformOptions {
  // float32 or float64; or uint8 to pass bytes on for the plan to scale.
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
  // Reads the row at `x` and writes it at `y`.
  void Apply(const void* x, int64_t id, int64_t epoch, void* y) const;

 private:
  struct Window {  // of the source picture; may lie partly outside
    int64_t top = 0, left = 0;
    bool mirrored = false;
  };
  Window WindowFor(int64_t id, int64_t epoch) const;
  void MakeTables();
  template <typename From, typename To>
  void Map(const From* x, int64_t id, int64_t epoch, To* y) const;
  template <typename From, typename To>
  void MapChannel(const From* x, int64_t channel, int64_t count, To* y) const;
  template <typename From, typename To>
  void Cut(const From* x, const Window& window, To* y) const;

  TensorType sample_;
  TransformOptions options_;
  uint64_t key_;
  Shape output_;
  bool is_copy_ = false;
  bool is_cut_ = false;   // the picture is not taken as it lies
  int64_t channels_ = 1;  // of different mean and deviation; 1 when there are none
  int64_t plane_ = 0;     // elements of one of them
  // (x - mean) / deviation of every byte, by channel; in the type fed.
  std::vector<float> table32_;
  std::vector<double> table64_;
};

}  // namespace lockstep

#endif  // LOCKSTEP_DATA_ROW_TRANSFORM_H_
