#include "tools/contact_sheet.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <utility>

#include "kernels/error.h"
#include "tests/tools/png.h"

namespace lockstep::tools {
namespace {

constexpr uint32_t kWrong = 0xC81E1E;
constexpr int kLeft = 36, kTop = 104;  // of the first picture

struct Sheet {
  Sheet(int64_t count, int64_t channels, int64_t height, int64_t width)
      : pixels(static_cast<size_t>(count * channels * height * width)) {
    sheet.title = "title";
    sheet.count = count;
    sheet.channels = channels;
    sheet.height = height;
    sheet.width = width;
    sheet.pixels = pixels;
    sheet.labels.assign(static_cast<size_t>(count), {"shirt", "shirt", 0.75});
  }
  std::vector<uint8_t> pixels;
  ContactSheet sheet;
};

TEST(ContactSheetTest, GreyPixelsBecomeSquares) {
  Sheet s(1, 1, 2, 3);
  s.pixels = {10, 20, 30, 40, 50, 60};
  s.sheet.pixels = s.pixels;
  const Picture picture = DecodePng(RenderContactSheet(s.sheet));
  const int scale = 43;  // 3 of them are 128 or more
  for (int y = 0; y < 2; ++y) {
    for (int x = 0; x < 3; ++x) {
      const uint32_t grey = s.pixels[static_cast<size_t>(y * 3 + x)];
      for (const int inside : {1, scale - 2}) {
        EXPECT_EQ(picture.At(kLeft + x * scale + inside, kTop + y * scale + inside),
                  grey << 16 | grey << 8 | grey);
      }
    }
  }
}

TEST(ContactSheetTest, ColoursComeFromPlanes) {
  Sheet s(1, 3, 1, 1);
  s.pixels = {1, 2, 3};
  s.sheet.pixels = s.pixels;
  EXPECT_EQ(DecodePng(RenderContactSheet(s.sheet)).At(kLeft + 5, kTop + 5), 0x010203u);
}

TEST(ContactSheetTest, WrongOnesAreMarked) {
  Sheet s(7, 1, 28, 28);
  EXPECT_EQ(DecodePng(RenderContactSheet(s.sheet)).CountOf(kWrong), 0);
  s.sheet.labels[2].truth = "coat";
  const int64_t one = DecodePng(RenderContactSheet(s.sheet)).CountOf(kWrong);
  EXPECT_GT(one, 4 * 140 * 4);
  s.sheet.labels[3].truth = "";  // not known
  EXPECT_EQ(DecodePng(RenderContactSheet(s.sheet)).CountOf(kWrong), one);
}

TEST(ContactSheetTest, AnyNumberAndSizeFits) {
  for (const auto& [count, height, width] :
       {std::tuple{1, 1, 1}, {2, 5, 300}, {3, 300, 5}, {37, 28, 28}, {150, 3, 7}, {4, 224, 224}}) {
    Sheet s(count, 3, height, width);
    s.sheet.labels[0] = {std::string(500, 'W') + "\xff", "\x1b", 1};
    s.sheet.columns = count == 37 ? 5 : 0;
    const Picture picture = DecodePng(RenderContactSheet(s.sheet));
    EXPECT_GE(picture.width, 560);
    EXPECT_GT(picture.height, height);
  }
}

TEST(ContactSheetTest, FewPicturesHaveTheWholeTitleAndNoEmptyStrip) {
  Sheet few(1, 1, 28, 28), many(40, 1, 28, 28);
  few.sheet.title = many.sheet.title = "Test pictures and predictions";
  const Picture narrow = DecodePng(RenderContactSheet(few.sheet));
  const Picture wide = DecodePng(RenderContactSheet(many.sheet));
  ASSERT_LT(narrow.width, wide.width);
  for (int y = 20; y < 60; ++y) {
    for (int x = 0; x < narrow.width; ++x) ASSERT_EQ(narrow.At(x, y), wide.At(x, y));
  }
  EXPECT_EQ(narrow.height, kTop + 140 + 28 + 36);  // head, picture, a line below, margin
  few.sheet.labels[0].truth = "coat";
  EXPECT_EQ(DecodePng(RenderContactSheet(few.sheet)).height, kTop + 140 + 46 + 36);
}

// From the first column with ink in these rows to the left edge, and from the last to the right.
std::pair<int, int> Margins(const Picture& picture, int top, int bottom) {
  int left = picture.width, right = picture.width;
  for (int y = top; y < bottom; ++y) {
    for (int x = 0; x < picture.width; ++x) {
      if (picture.At(x, y) == 0xFFFFFF) continue;
      left = std::min(left, x);
      right = std::min(right, picture.width - 1 - x);
    }
  }
  return {left, right};
}

TEST(ContactSheetTest, PicturesAndLabelsStayWithinEvenMargins) {
  for (const int side : {8, 20, 28, 32, 100}) {
    Sheet s(12, 1, side, side);
    s.sheet.labels.assign(12, {"Ankle boot", "Ankle boot", 1.0});
    s.sheet.columns = 6;
    const Picture picture = DecodePng(RenderContactSheet(s.sheet));
    const auto [left, right] = Margins(picture, kTop, picture.height);
    EXPECT_NEAR(left, kLeft, 1) << side;
    EXPECT_NEAR(right, kLeft, 1) << side;
    EXPECT_EQ(Margins(picture, picture.height - 30, picture.height).first, picture.width);
  }
}

TEST(ContactSheetTest, NumbersThatDoNotFitAreErrors) {
  EXPECT_THROW(RenderContactSheet(Sheet(1, 2, 4, 4).sheet), ShapeError);
  EXPECT_THROW(RenderContactSheet(Sheet(1, 1, 0, 4).sheet), ShapeError);
  EXPECT_THROW(RenderContactSheet(Sheet(0, 1, 4, 4).sheet), ShapeError);
  EXPECT_THROW(RenderContactSheet(Sheet(1001, 1, 1, 1).sheet), ShapeError);
  EXPECT_THROW(RenderContactSheet(Sheet(1, 1, 1025, 1).sheet), ShapeError);
  Sheet bytes(2, 1, 4, 4);
  bytes.sheet.pixels = bytes.sheet.pixels.first(31);
  EXPECT_THROW(RenderContactSheet(bytes.sheet), ShapeError);
  Sheet labels(2, 1, 4, 4);
  labels.sheet.labels.pop_back();
  EXPECT_THROW(RenderContactSheet(labels.sheet), ShapeError);
}

}  // namespace
}  // namespace lockstep::tools
