// Kernel family: pictures of bytes, as they are stored, to what a network is fed.
#ifndef LOCKSTEP_KERNELS_PICTURE_H_
#define LOCKSTEP_KERNELS_PICTURE_H_

#include <cstdint>

#include "kernels/dtype.h"

namespace lockstep {

inline constexpr int64_t kByteValues = 256;

// Which part of a stored picture is taken: a function of what is said here, of the epoch and of the
// sample's id, never of threads, of the position in a batch or of the number of ranks. Samples that
// are no pictures are ones of a single channel and line.
struct PictureCut {
  int64_t channels = 1, height = 1, width = 1;  // as stored
  // What is taken of it, at most the padded picture.
  int64_t out_height = 1, out_width = 1;
  // Pixels that are added on every side, as if the byte 0 were stored there.
  int64_t padding = 0;
  // Taken at a random place, else in the middle.
  bool random_place = false;
  // Every other picture is mirrored left to right, by chance.
  bool flip = false;
  uint64_t key = 0;  // RandomKey(seed, 0, RandomUse::kAugment)

  constexpr bool is_random() const { return random_place || flip; }
  int64_t stored_size() const { return channels * height * width; }
  int64_t size() const { return channels * out_height * out_width; }
};

// Whose pictures they are. In the device's memory, so that a recorded step can be run again on
// other numbers; read where a cut is random.
struct PictureSamples {
  const uint32_t* epoch = nullptr;  // (1,)
  const int64_t* ids = nullptr;     // (n,): the global id of each picture
};

class PictureKernels {
 public:
  virtual ~PictureKernels() = default;

  // y = table[c, byte] for every pixel of the part of each of n pictures that `cut` takes. Of a
  // padded picture of H x W pixels it begins at row words[0] * (H - out_height + 1) / 2^32 and at
  // column words[1] * (W - out_width + 1) / 2^32, and is mirrored where words[2] >= 2^31, with
  // words = Philox(key, {0, id, epoch}).
  //
  // x: (n, channels, height, width); y: (n, channels, out_height, out_width), plain, of `dtype`,
  // kFloat32 or kFloat64; table: (channels, kByteValues) of the same. What bytes become is looked
  // up since numbers that are scaled and normalised here would be rounded otherwise there.
  virtual void Prepare(DType dtype, const PictureCut& cut, int64_t n, const PictureSamples& samples,
                       const void* table, const uint8_t* x, void* y) = 0;
};

}  // namespace lockstep

#endif  // LOCKSTEP_KERNELS_PICTURE_H_
