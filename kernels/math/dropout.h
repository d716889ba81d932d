// Dropout masks, and the maps of kernels/random.h as a GPU runs them: four elements of one Philox
// block a call.
#ifndef LOCKSTEP_KERNELS_MATH_DROPOUT_H_
#define LOCKSTEP_KERNELS_MATH_DROPOUT_H_

#include <cstdint>

#include "kernels/math/box_muller.h"
#include "kernels/math/divisor.h"
#include "kernels/math/half.h"
#include "kernels/math/host_device.h"
#include "kernels/math/philox.h"
#include "kernels/math/picture_index.h"
#include "kernels/random.h"

namespace lockstep::math {

// The numbers a dropout draws, see DropoutArgs. Kept where word >= threshold.
struct DropoutMask {
  uint64_t key;
  const int64_t* sample_ids;
  const uint32_t* epoch;
  uint32_t threshold;
  double scale;  // of kept values
};

// Elements of a picture batch in groups of four neighbours by logical index, (h*W + w)*C + c, of
// one sample: the last group of a sample may have fewer.
class FourGroups {
 public:
  FourGroups(const PictureShape& s, Layout layout)
      : index_(s, layout),
        size_(s.c * s.h * s.w),
        groups_((size_ + 3) / 4),
        by_groups_(groups_ < 1 ? 1 : groups_),
        by_pixels_(index_.pixels() < 1 ? 1 : index_.pixels()),
        by_channels_(s.c < 1 ? 1 : s.c) {
    const bool whole = s.c % 4 == 0;
    planar_ = whole && index_.block() == 1;
    if (index_.block() == s.c || (whole && index_.block() % 4 == 0)) step_ = 1;
    if (planar_) step_ = index_.pixels();
  }

  // Of one sample.
  LOCKSTEP_FORMULA int64_t groups() const { return groups_; }

  // body(k, memory offset, channel) for the elements k < 4 of group i; returns the group's number
  // in its sample, *sample = the sample. Neighbouring i are neighbours in memory.
  LOCKSTEP_FORMULA int64_t GroupOf(int64_t i, int64_t* sample) const {
    int64_t r;
    *sample = by_groups_.Divide(i, &r);
    if (!planar_) return r;
    int64_t p;
    const int64_t quad = by_pixels_.Divide(r, &p);
    return p * (index_.channels() / 4) + quad;
  }
  template <typename Body>
  LOCKSTEP_FORMULA void ForElements(int64_t sample, int64_t group, const Body& body) const {
    int64_t c;
    int64_t p = by_channels_.Divide(4 * group, &c);
    const int64_t base = index_.Offset({sample, c, p});
    for (int k = 0; k < 4; ++k) {
      if (4 * group + k >= size_) return;
      body(k, step_ > 0 ? base + k * step_ : index_.Offset({sample, c, p}), c);
      if (++c == index_.channels()) {
        c = 0;
        ++p;
      }
    }
  }

 private:
  PictureIndex index_;
  int64_t size_, groups_;
  Divisor by_groups_, by_pixels_, by_channels_;
  bool planar_ = false;  // groups are enumerated along the pixels of four planes
  int64_t step_ = 0;     // between a group's elements in memory; 0: not the same everywhere
};

// y = x * keep, with keep 0 or the scale.
template <typename T>
struct KeepRule {
  const T* x;
  T* y;
  LOCKSTEP_FORMULA void operator()(int64_t offset, int64_t, Accumulator<T> keep) const {
    y[offset] = T(Accumulator<T>(x[offset]) * keep);
  }
};

// rule(memory offset, channel, keep factor of T) for every element of group i.
template <typename T, typename Rule>
struct DropoutMap {
  FourGroups groups;
  DropoutMask mask;
  Rule rule;

  LOCKSTEP_FORMULA void operator()(int64_t i) const {
    int64_t sample;
    const int64_t group = groups.GroupOf(i, &sample);
    const PhiloxWords words = Philox(mask.key, SampleCounter(static_cast<uint32_t>(group),
                                                             mask.sample_ids[sample], *mask.epoch));
    const T scale = static_cast<T>(mask.scale);
    groups.ForElements(sample, group, [&](int k, int64_t offset, int64_t c) {
      rule(offset, c, words[static_cast<size_t>(k)] >= mask.threshold ? scale : T(0));
    });
  }
};

// Elements 4 * i to 4 * i + 3 of FillNormal and FillUniform.
LOCKSTEP_FORMULA PhiloxWords FillWords(uint64_t key, int64_t i) {
  return Philox(key, SampleCounter(static_cast<uint32_t>(i), i >> 32, 0));
}

template <typename T>
struct FillNormalMap {
  uint64_t key;
  T mean, stddev;
  int64_t size;
  T* x;

  LOCKSTEP_FORMULA void operator()(int64_t i) const {
    const PhiloxWords words = FillWords(key, i);
    T z[4];
    BoxMuller(words[0], words[1], &z[0], &z[1]);
    BoxMuller(words[2], words[3], &z[2], &z[3]);
    for (int k = 0; k < 4; ++k) {
      if (4 * i + k < size) x[4 * i + k] = mean + stddev * z[k];
    }
  }
};

template <typename T>
struct FillUniformMap {
  uint64_t key;
  T low, width, last;
  int64_t size;
  T* x;

  LOCKSTEP_FORMULA void operator()(int64_t i) const {
    const PhiloxWords words = FillWords(key, i);
    for (int k = 0; k < 4; ++k) {
      const T value = low + width * UniformUnit<T>(words[static_cast<size_t>(k)]);
      if (4 * i + k < size) x[4 * i + k] = value < last ? value : last;
    }
  }
};

}  // namespace lockstep::math

#endif  // LOCKSTEP_KERNELS_MATH_DROPOUT_H_
