#include "data/row_transform.h"

#include <algorithm>
#include <string>
#include <type_traits>

#include "data/dataset.h"
#include "kernels/error.h"
#include "kernels/math/philox.h"
#include "kernels/math/pictures.h"

namespace lockstep {
namespace {

void Check(bool good, const std::string& message) {
  if (!good) throw ConfigError(message);
}

float ValueOf(const std::vector<float>& values, int64_t channel, float otherwise) {
  if (values.empty()) return otherwise;
  return values.size() == 1 ? values[0] : values[static_cast<size_t>(channel)];
}

}  // namespace

RowTransform::RowTransform(TensorType sample, TransformOptions options, uint64_t seed)
    : sample_(sample), options_(std::move(options)), output_(sample.shape) {
  const Shape& shape = sample_.shape;
  const bool is_picture = shape.ndim() == 3;
  const bool normalises = !options_.mean.empty() || !options_.deviation.empty();
  Check(IsFloating(options_.dtype) || options_.dtype == sample_.dtype,
        "samples of type " + std::string(Name(sample_.dtype)) + " cannot be fed as " +
            std::string(Name(options_.dtype)));
  Check(IsFloating(options_.dtype) || !normalises,
        "bytes that are fed as bytes cannot be normalised");
  Check(options_.padding >= 0 && options_.crop >= 0, "padding and crop must not be negative");
  for (const std::vector<float>* values : {&options_.mean, &options_.deviation}) {
    Check(values->size() <= 1 || (is_picture && static_cast<int64_t>(values->size()) == shape[0]),
          std::to_string(values->size()) + " values to normalise samples of shape " +
              shape.ToString() + "; wanted one, or one a channel of pictures (c, h, w)");
  }
  for (const float d : options_.deviation) Check(d > 0, "a deviation must be above zero");
  is_cut_ = options_.padding > 0 || options_.crop > 0 || options_.is_random();
  Check(!is_cut_ || is_picture, "samples of shape " + shape.ToString() +
                                    " are no pictures (c, h, w): no padding, crop or flip");
  if (is_cut_) {
    const int64_t height = options_.crop > 0 ? options_.crop : shape[1];
    const int64_t width = options_.crop > 0 ? options_.crop : shape[2];
    Check(height <= shape[1] + 2 * options_.padding && width <= shape[2] + 2 * options_.padding,
          "crop of " + std::to_string(options_.crop) +
              " is larger than the padded pictures of shape " + shape.ToString());
    output_ = {shape[0], height, width};
  }
  channels_ = is_cut_ || (is_picture && normalises) ? shape[0] : 1;
  plane_ = channels_ > 0 ? shape.size() / channels_ : 0;
  is_copy_ = !is_cut_ && !normalises && options_.dtype == sample_.dtype;
  cut_ = CutOf(seed);
  if (sample_.dtype == DType::kUint8 && IsFloating(options_.dtype)) {
    preparation_ =
        std::make_shared<const PicturePreparation>(PicturePreparation{cut_, MakeTable()});
  }
}

PictureCut RowTransform::CutOf(uint64_t seed) const {
  PictureCut cut{.channels = channels_, .height = 1, .width = plane_, .out_width = plane_};
  if (!is_cut_) return cut;
  cut.height = sample_.shape[1];
  cut.width = sample_.shape[2];
  cut.out_height = output_[1];
  cut.out_width = output_[2];
  cut.padding = options_.padding;
  cut.random_place = options_.random_crop;
  cut.flip = options_.flip;
  cut.key = RandomKey(seed, 0, RandomUse::kAugment);
  return cut;
}

// (x - mean) / deviation of every byte, by channel; in the type fed.
Tensor RowTransform::MakeTable() const {
  Tensor table(DType::kFloat64, {channels_, kByteValues});
  for (int64_t c = 0; c < channels_; ++c) {
    const double mean = ValueOf(options_.mean, c, 0), deviation = ValueOf(options_.deviation, c, 1);
    for (int64_t byte = 0; byte < kByteValues; ++byte) {
      const double x = static_cast<double>(byte) * options_.scale;
      table.values<double>()[static_cast<size_t>(c * kByteValues + byte)] = (x - mean) / deviation;
    }
  }
  Check(FirstNonFinite(table, options_.dtype) < 0,
        "bytes that are scaled and normalised so are no finite numbers");
  return table.Cast(options_.dtype);
}

// Of one channel: `count` elements.
template <typename From, typename To>
void RowTransform::MapChannel(const From* x, int64_t channel, int64_t count, To* y) const {
  if constexpr (!std::is_floating_point_v<To>) {
    std::copy_n(x, count, y);
  } else if constexpr (std::is_same_v<From, uint8_t>) {
    const To* const table =
        static_cast<const To*>(preparation_->table.data()) + kByteValues * channel;
    for (int64_t i = 0; i < count; ++i) y[i] = table[x[i]];
  } else {
    const To mean = ValueOf(options_.mean, channel, 0);
    const To deviation = ValueOf(options_.deviation, channel, 1);
    if (mean == 0 && deviation == 1) {
      for (int64_t i = 0; i < count; ++i) y[i] = static_cast<To>(x[i]);
      return;
    }
    for (int64_t i = 0; i < count; ++i) y[i] = (static_cast<To>(x[i]) - mean) / deviation;
  }
}

template <typename From, typename To>
void RowTransform::Cut(const From* x, int64_t id, int64_t epoch, To* y) const {
  const auto counted_epoch = static_cast<uint32_t>(epoch);
  const math::PictureWindow window = math::WindowOf(cut_, {&counted_epoch, &id}, 0);
  for (int64_t c = 0; c < channels_; ++c) {
    constexpr From kZero{};
    To outside;
    MapChannel(&kZero, c, 1, &outside);
    const auto map = [&](const From* from, int64_t count, To* to) {
      MapChannel(from, c, count, to);
    };
    math::CutPlane(cut_, window, x + c * plane_, outside, map, y);
    y += cut_.out_height * cut_.out_width;
  }
}

template <typename From, typename To>
void RowTransform::Map(const From* x, int64_t id, int64_t epoch, To* y) const {
  if (is_cut_) return Cut(x, id, epoch, y);
  for (int64_t c = 0; c < channels_; ++c) MapChannel(x + c * plane_, c, plane_, y + c * plane_);
}

void RowTransform::Apply(const void* x, int64_t id, int64_t epoch, void* y) const {
  const auto to = [&]<typename From>(const From* from) {
    if (options_.dtype == DType::kFloat64) return Map(from, id, epoch, static_cast<double*>(y));
    return Map(from, id, epoch, static_cast<float*>(y));
  };
  switch (sample_.dtype) {
    case DType::kUint8:
      if (options_.dtype == DType::kUint8) {
        return Map(static_cast<const uint8_t*>(x), id, epoch, static_cast<uint8_t*>(y));
      }
      return to(static_cast<const uint8_t*>(x));
    case DType::kFloat64:
      return to(static_cast<const double*>(x));
    default:
      return to(static_cast<const float*>(x));
  }
}

}  // namespace lockstep
