#include "tools/contact_sheet.h"

#include <algorithm>
#include <cmath>

#include "engine/text.h"
#include "kernels/error.h"
#include "tools/canvas.h"
#include "tools/text.h"

namespace lockstep::tools {
namespace {

constexpr Color kPaper = Rgb(0xFFFFFF);
constexpr Color kInk = Rgb(0x111827);
constexpr Color kFaint = Rgb(0x6B7280);
constexpr Color kEdge = Rgb(0xD1D5DB);
constexpr Color kWrong = Rgb(0xC81E1E);

constexpr int64_t kMaxCount = 1000;
constexpr int64_t kMaxSide = 1024;
constexpr int kPictureSide = 128;  // pictures are scaled up to at least this
constexpr int kCellWidth = 128;    // room for a caption below narrow ones
constexpr int kGap = 18;
constexpr int kMargin = 36;
constexpr int kHead = 104;
constexpr int kMinWidth = 560;  // room for a title
constexpr int kCaption = 46;    // two lines below a picture
constexpr int kTruthLine = 18;  // the second
constexpr Font kTitleFont{28, true, kInk};
constexpr Font kSubtitleFont{18, false, kFaint};
constexpr Font kRightFont{14, false, kInk};
constexpr Font kWrongFont{14, true, kWrong};
constexpr Font kTruthFont{13, false, kFaint};

void Check(const ContactSheet& sheet) {
  const auto fail = [](const std::string& what) { throw ShapeError("contact sheet: " + what); };
  if (sheet.channels != 1 && sheet.channels != 3) {
    fail("found " + std::to_string(sheet.channels) + " channels, wanted 1 or 3");
  }
  if (sheet.height < 1 || sheet.width < 1 || sheet.height > kMaxSide || sheet.width > kMaxSide) {
    fail("found pictures of " + std::to_string(sheet.height) + "x" + std::to_string(sheet.width) +
         " pixels, wanted at most " + std::to_string(kMaxSide) + " a side");
  }
  if (sheet.count < 1 || sheet.count > kMaxCount) {
    fail("found " + std::to_string(sheet.count) + " pictures, wanted 1 to " +
         std::to_string(kMaxCount));
  }
  const int64_t bytes = sheet.count * sheet.channels * sheet.height * sheet.width;
  if (static_cast<int64_t>(sheet.pixels.size()) != bytes ||
      static_cast<int64_t>(sheet.labels.size()) != sheet.count) {
    fail("found " + std::to_string(sheet.pixels.size()) + " bytes and " +
         std::to_string(sheet.labels.size()) + " labels, wanted " + std::to_string(bytes) +
         " and " + std::to_string(sheet.count));
  }
}

class SheetDrawer {
 public:
  explicit SheetDrawer(const ContactSheet& sheet)
      : sheet_(sheet),
        scale_(ScaleFor(static_cast<int>(std::max(sheet.height, sheet.width)))),
        picture_width_(scale_ * static_cast<int>(sheet.width)),
        picture_height_(scale_ * static_cast<int>(sheet.height)),
        cell_width_(std::max(kCellWidth, picture_width_) + kGap),
        cell_height_(picture_height_ + kCaption + kGap),
        columns_(Columns()),
        canvas_(
            std::max(kMinWidth, 2 * kMargin + columns_ * cell_width_ - kGap),
            kHead + Rows() * cell_height_ - kGap - (LastRowIsRight() ? kTruthLine : 0) + kMargin,
            kPaper) {}

  std::vector<std::byte> Render() {
    DrawHead();
    for (int i = 0; i < static_cast<int>(sheet_.count); ++i) DrawPicture(i);
    return canvas_.Png();
  }

 private:
  static int ScaleFor(int side) { return (kPictureSide + side - 1) / side; }
  static bool IsWrong(const PictureLabel& label) {
    return !label.truth.empty() && label.truth != label.predicted;
  }
  int Rows() const { return (static_cast<int>(sheet_.count) + columns_ - 1) / columns_; }
  bool LastRowIsRight() const {
    return std::none_of(sheet_.labels.begin() + (Rows() - 1) * columns_, sheet_.labels.end(),
                        IsWrong);
  }
  // Cells are taller than wide; this makes the sheet a little wider than tall.
  int Columns() const {
    const auto count = static_cast<int>(sheet_.count);
    const int wanted =
        sheet_.columns > 0
            ? sheet_.columns
            : static_cast<int>(std::ceil(std::sqrt(static_cast<double>(count) * 1.6)));
    return std::max(std::min(wanted, count), std::min(count, 3));
  }

  void DrawHead() {
    const double width = std::max(kMinWidth - 2 * kMargin, columns_ * cell_width_ - kGap);
    canvas_.Text({kMargin, 50}, canvas_.Fitted(sheet_.title, kTitleFont, width), kTitleFont);
    int64_t known = 0, right = 0;
    for (const PictureLabel& label : sheet_.labels) {
      known += label.truth.empty() ? 0 : 1;
      right += label.truth == label.predicted ? 1 : 0;
    }
    std::string text = Counted(sheet_.count, "picture");
    if (known > 0) text = std::to_string(right) + " of " + std::to_string(known) + " right";
    if (right < known) text += "; wrong ones are framed";
    canvas_.Text({kMargin, 80}, canvas_.Fitted(text, kSubtitleFont, width), kSubtitleFont);
  }

  void DrawPicture(int i) {
    const PictureLabel& label = sheet_.labels[static_cast<size_t>(i)];
    const bool wrong = IsWrong(label);
    const double x = kMargin + i % columns_ * cell_width_;
    const double y = kHead + i / columns_ * cell_height_;
    const double cell = cell_width_ - kGap;
    canvas_.Image({x, y}, Pixels(i), static_cast<int>(sheet_.width),
                  static_cast<int>(sheet_.height), scale_);
    const double out = wrong ? 2.5 : 0.5;  // the frame lies outside the picture
    canvas_.Frame({x - out, y - out, picture_width_ + 2 * out, picture_height_ + 2 * out},
                  wrong ? kWrong : kEdge, wrong ? 5 : 1);
    const Font& font = wrong ? kWrongFont : kRightFont;
    const std::string sure = " " + PercentText(label.confidence);
    const double room = cell - canvas_.TextWidth(sure, font);
    canvas_.Text({x, y + picture_height_ + 22}, canvas_.Fitted(label.predicted, font, room) + sure,
                 font);
    if (!wrong) return;
    canvas_.Text({x, y + picture_height_ + 40},
                 canvas_.Fitted("is " + label.truth, kTruthFont, cell), kTruthFont);
  }

  // Picture i as 0xRRGGBB, row by row.
  std::vector<uint32_t> Pixels(int i) const {
    const auto plane = static_cast<size_t>(sheet_.height * sheet_.width);
    const auto channels = static_cast<size_t>(sheet_.channels);
    const uint8_t* const from = sheet_.pixels.data() + static_cast<size_t>(i) * channels * plane;
    const size_t green = channels == 3 ? plane : 0;
    const size_t blue = channels == 3 ? 2 * plane : 0;
    std::vector<uint32_t> pixels(plane);
    for (size_t p = 0; p < plane; ++p) {
      pixels[p] = uint32_t{from[p]} << 16 | uint32_t{from[green + p]} << 8 | from[blue + p];
    }
    return pixels;
  }

  const ContactSheet& sheet_;
  const int scale_;
  const int picture_width_, picture_height_;
  const int cell_width_, cell_height_;
  const int columns_;
  Canvas canvas_;
};

}  // namespace

std::vector<std::byte> RenderContactSheet(const ContactSheet& sheet) {
  Check(sheet);
  return SheetDrawer(sheet).Render();
}

}  // namespace lockstep::tools
