// What a network is fed, said of rows that are handed out as they are stored.
#ifndef LOCKSTEP_ENGINE_PLAN_PICTURE_PREPARATION_H_
#define LOCKSTEP_ENGINE_PLAN_PICTURE_PREPARATION_H_

#include <cstddef>

#include "engine/tensor/tensor.h"
#include "kernels/picture.h"

namespace lockstep {

// Rows of bytes, plain (channels, height, width) as `cut` has them, become what
// PictureKernels::Prepare makes of them.
struct PicturePreparation {
  PictureCut cut;
  Tensor table;  // (channels, kByteValues), of the type that is fed: what each byte becomes

  size_t stored_bytes() const { return static_cast<size_t>(cut.stored_size()); }  // of a row
};

}  // namespace lockstep

#endif  // LOCKSTEP_ENGINE_PLAN_PICTURE_PREPARATION_H_
