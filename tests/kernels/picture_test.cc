#include "kernels/picture.h"

#include <string>

#include "tests/kernels/devices.h"

namespace lockstep::test {
namespace {

constexpr uint32_t kEpoch = 3;

std::vector<uint8_t> Bytes(int64_t size) {
  std::vector<uint8_t> bytes(static_cast<size_t>(size));
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<uint8_t>(Mix64(i));
  return bytes;
}

// Ids beyond 32 bits among them.
std::vector<int64_t> SampleIds(int64_t n) {
  std::vector<int64_t> ids;
  for (int64_t i = 0; i < n; ++i) ids.push_back((i * 77 + 5) << (i % 3 == 2 ? 33 : 0));
  return ids;
}

// The definition in kernels/picture.h, one pixel at a time.
template <typename T>
std::vector<T> Reference(const PictureCut& cut, const std::vector<int64_t>& ids,
                         const std::vector<T>& table, const std::vector<uint8_t>& x) {
  const int64_t room_y = cut.height + 2 * cut.padding - cut.out_height;
  const int64_t room_x = cut.width + 2 * cut.padding - cut.out_width;
  std::vector<T> y;
  for (size_t n = 0; n < ids.size(); ++n) {
    const PhiloxWords words = Philox(cut.key, SampleCounter(0, ids[n], kEpoch));
    const auto placed = [&](uint32_t word, int64_t room) {
      if (!cut.random_place) return room / 2;
      return static_cast<int64_t>(static_cast<long double>(word) * (room + 1) / 4294967296.0L);
    };
    const int64_t top = placed(words[0], room_y), left = placed(words[1], room_x);
    const bool mirrored = cut.flip && words[2] >= 0x80000000U;
    for (int64_t c = 0; c < cut.channels; ++c) {
      for (int64_t i = 0; i < cut.out_height; ++i) {
        for (int64_t j = 0; j < cut.out_width; ++j) {
          const int64_t h = top + i - cut.padding;
          const int64_t w = left + (mirrored ? cut.out_width - 1 - j : j) - cut.padding;
          const bool inside = h >= 0 && h < cut.height && w >= 0 && w < cut.width;
          const int64_t at =
              ((static_cast<int64_t>(n) * cut.channels + c) * cut.height + h) * cut.width + w;
          const uint8_t byte = inside ? x[static_cast<size_t>(at)] : uint8_t{0};
          y.push_back(table[static_cast<size_t>(c * 256 + byte)]);
        }
      }
    }
  }
  return y;
}

// Pictures within one piece of a GPU's work and beyond, wide and flat, parts smaller and larger
// than what is stored, and samples that are no pictures.
std::vector<PictureCut> Cuts() {
  std::vector<PictureCut> cuts;
  const auto add = [&](PictureCut cut) {
    for (const bool random : {false, true}) {
      for (const bool flip : {false, true}) {
        cut.random_place = random;
        cut.flip = flip;
        cut.key = RandomKey(cuts.size(), 0, RandomUse::kAugment);
        cuts.push_back(cut);
      }
    }
  };
  add({.channels = 3, .height = 9, .width = 7, .out_height = 9, .out_width = 7, .padding = 2});
  add({.channels = 3, .height = 32, .width = 32, .out_height = 28, .out_width = 28});
  add({.channels = 2, .height = 5, .width = 40, .out_height = 11, .out_width = 50, .padding = 5});
  add({.channels = 4, .height = 3, .width = 3, .out_height = 1, .out_width = 1});
  add({.channels = 1, .height = 2, .width = 2, .out_height = 3, .out_width = 2, .padding = 9});
  cuts.push_back({.channels = 1, .height = 1, .width = 784, .out_height = 1, .out_width = 784});
  cuts.push_back({.channels = 3, .height = 1, .width = 1500, .out_height = 1, .out_width = 1500});
  return cuts;
}

std::string TextOf(const PictureCut& cut) {
  return std::to_string(cut.channels) + " x " + std::to_string(cut.height) + " x " +
         std::to_string(cut.width) + (cut.random_place ? " random" : "") +
         (cut.flip ? " flip" : "");
}

template <typename T>
void CheckPrepare(Backend& b, const PictureCut& cut, int64_t n) {
  const auto ids = SampleIds(n);
  const auto table = Numbers<T>(cut.channels * 256, 4, -2, 2);
  const auto x = Bytes(n * cut.stored_size());
  std::vector<T> y(static_cast<size_t>(n * cut.size()) + 1, T(-9));
  const PictureSamples samples =
      cut.is_random() ? PictureSamples{&kEpoch, ids.data()} : PictureSamples{};
  b.picture().Prepare(DTypeOf<T>(), cut, n, samples, table.data(), x.data(), y.data());
  b.Synchronize();
  std::vector<T> wanted = Reference(cut, ids, table, x);
  wanted.push_back(T(-9));  // nothing is written behind the last picture
  EXPECT_EQ(y, wanted) << b.fingerprint() << ": " << n << " of " << TextOf(cut);
}

TEST(Pictures, AreLookedUpCutAndMirroredAsDefined) {
  for (const auto& b : Devices()) {
    for (const PictureCut& cut : Cuts()) {
      for (const int64_t n : {0, 1, 7, 40}) {
        CheckPrepare<float>(*b, cut, n);
        CheckPrepare<double>(*b, cut, n);
      }
    }
  }
}

// What a sample looks like is no matter of who else is in its batch.
TEST(Pictures, DoNotDependOnTheirPlaceInABatch) {
  const PictureCut cut{.channels = 3,
                       .height = 8,
                       .width = 8,
                       .out_height = 8,
                       .out_width = 8,
                       .padding = 2,
                       .random_place = true,
                       .flip = true,
                       .key = 5};
  const auto table = Numbers<float>(3 * 256, 4);
  const auto size = static_cast<size_t>(cut.size());
  for (const auto& b : Devices()) {
    const auto prepare = [&](const std::vector<int64_t>& ids, const std::vector<uint8_t>& x) {
      std::vector<float> y(ids.size() * size);
      b->picture().Prepare(DType::kFloat32, cut, static_cast<int64_t>(ids.size()),
                           {&kEpoch, ids.data()}, table.data(), x.data(), y.data());
      return y;
    };
    const auto one = Bytes(cut.stored_size());
    const std::vector<float> alone = prepare({17}, one);
    std::vector<uint8_t> many(one.size(), uint8_t{1});
    many.insert(many.end(), one.begin(), one.end());
    const std::vector<float> behind = prepare({3, 17}, many);
    EXPECT_EQ(alone, std::vector<float>(behind.end() - static_cast<int64_t>(size), behind.end()));
  }
}

}  // namespace
}  // namespace lockstep::test
