#include "data/row_transform.h"

#include <algorithm>
#include <cstring>
#include <string>
#include <type_traits>

#include "kernels/error.h"
#include "kernels/math/philox.h"

namespace lockstep {
namespace {

constexpr size_t kBytes = 256;

void Check(bool good, const std::string& message) {
  if (!good) throw ConfigError(message);
}

// Number in [0, limit) from 32 random bits; the bias, below limit / 2^32, is of no account here.
int64_t Scaled(uint32_t word, int64_t limit) {
  return static_cast<int64_t>(uint64_t{word} * static_cast<uint64_t>(limit) >> 32);
}

float ValueOf(const std::vector<float>& values, int64_t channel, float otherwise) {
  if (values.empty()) return otherwise;
  return values.size() == 1 ? values[0] : values[static_cast<size_t>(channel)];
}

}  // namespace

RowTransform::RowTransform(TensorType sample, TransformOptions options, uint64_t seed)
    : sample_(sample),
      options_(std::move(options)),
      key_(RandomKey(seed, 0, RandomUse::kAugment)),
      output_(sample.shape) {
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
  MakeTables();
}

void RowTransform::MakeTables() {
  if (sample_.dtype != DType::kUint8 || !IsFloating(options_.dtype)) return;
  const size_t size = kBytes * static_cast<size_t>(channels_);
  table64_.resize(size);
  for (size_t i = 0; i < size; ++i) {
    const auto channel = static_cast<int64_t>(i / kBytes);
    const double x = static_cast<double>(i % kBytes) * options_.scale;
    table64_[i] =
        (x - ValueOf(options_.mean, channel, 0)) / ValueOf(options_.deviation, channel, 1);
  }
  if (options_.dtype == DType::kFloat64) return;
  table32_.resize(size);
  for (size_t i = 0; i < size; ++i) table32_[i] = static_cast<float>(table64_[i]);
}

// Of one channel: `count` elements.
template <typename From, typename To>
void RowTransform::MapChannel(const From* x, int64_t channel, int64_t count, To* y) const {
  if constexpr (!std::is_floating_point_v<To>) {
    std::copy_n(x, count, y);
  } else if constexpr (std::is_same_v<From, uint8_t>) {
    const To* table = nullptr;
    if constexpr (std::is_same_v<To, float>) {
      table = table32_.data();
    } else {
      table = table64_.data();
    }
    table += static_cast<int64_t>(kBytes) * channel;
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

RowTransform::Window RowTransform::WindowFor(int64_t id, int64_t epoch) const {
  const int64_t room_y = sample_.shape[1] + 2 * options_.padding - output_[1];
  const int64_t room_x = sample_.shape[2] + 2 * options_.padding - output_[2];
  Window window{room_y / 2, room_x / 2, false};
  if (options_.is_random()) {
    const PhiloxWords words = Philox(key_, SampleCounter(0, id, static_cast<uint32_t>(epoch)));
    if (options_.random_crop) {
      window.top = Scaled(words[0], room_y + 1);
      window.left = Scaled(words[1], room_x + 1);
    }
    window.mirrored = options_.flip && (words[2] >> 31) != 0;
  }
  window.top -= options_.padding;
  window.left -= options_.padding;
  return window;
}

template <typename From, typename To>
void RowTransform::Cut(const From* x, const Window& window, To* y) const {
  const int64_t height = sample_.shape[1];
  const int64_t width = sample_.shape[2];
  const int64_t columns = output_[2];
  // The columns of the window that lie inside the picture.
  const int64_t begin = std::clamp<int64_t>(-window.left, 0, columns);
  const int64_t end = std::clamp<int64_t>(width - window.left, begin, columns);
  for (int64_t c = 0; c < channels_; ++c) {
    constexpr From kZero{};
    To outside;
    MapChannel(&kZero, c, 1, &outside);
    for (int64_t row = 0; row < output_[1]; ++row, y += columns) {
      const int64_t source = window.top + row;
      if (source < 0 || source >= height) {
        std::fill_n(y, columns, outside);
        continue;
      }
      std::fill_n(y, begin, outside);
      MapChannel(x + (c * height + source) * width + window.left + begin, c, end - begin,
                 y + begin);
      std::fill_n(y + end, columns - end, outside);
      if (window.mirrored) std::reverse(y, y + columns);
    }
  }
}

template <typename From, typename To>
void RowTransform::Map(const From* x, int64_t id, int64_t epoch, To* y) const {
  if (is_cut_) return Cut(x, WindowFor(id, epoch), y);
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
