// A picture to draw on, kept in memory and given out as PNG. Lengths and places are in pixels from
// the upper left corner.
#ifndef LOCKSTEP_TOOLS_CANVAS_H_
#define LOCKSTEP_TOOLS_CANVAS_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace lockstep::tools {

struct Color {
  double red = 0;  // 0..1
  double green = 0;
  double blue = 0;
};

// Color from the hexadecimal digits a style guide gives: Rgb(0x1D4ED8).
constexpr Color Rgb(uint32_t rgb) {
  return {(rgb >> 16 & 255) / 255.0, (rgb >> 8 & 255) / 255.0, (rgb & 255) / 255.0};
}

struct Point {
  double x = 0;
  double y = 0;
};

struct Rect {
  double x = 0;
  double y = 0;
  double width = 0;
  double height = 0;
};

// Which point of a text its place names, along the line of writing.
enum class Align { kStart, kMiddle, kEnd };

struct Font {
  double size = 16;
  bool bold = false;
  Color color;
};

// Throws Error (71) where the picture is too large for memory.
class Canvas {
 public:
  Canvas(int width, int height, Color background);
  ~Canvas();
  Canvas(const Canvas&) = delete;
  Canvas& operator=(const Canvas&) = delete;

  void Line(Point from, Point to, Color color, double width);
  // Joined with round corners.
  void Curve(std::span<const Point> points, Color color, double width);
  void Disc(Point center, double radius, Color fill, Color edge, double edge_width);
  void Fill(const Rect& rect, Color color);
  void Frame(const Rect& rect, Color color, double width);
  // `at` is on the base line. With `upwards` the text runs from below to above.
  void Text(Point at, const std::string& text, const Font& font, Align align = Align::kStart,
            bool upwards = false);
  double TextWidth(const std::string& text, const Font& font) const;
  // `text`, or as much of it as fits `width` with "..." behind.
  std::string Fitted(const std::string& text, const Font& font, double width) const;
  // Draws (height, width) pixels of 0xRRGGBB, each as a square of `scale` pixels.
  void Image(Point at, std::span<const uint32_t> pixels, int width, int height, int scale);

  // While it lives, drawing outside of `rect` has no effect.
  class Clip {
   public:
    Clip(Canvas* canvas, const Rect& rect);
    ~Clip();
    Clip(const Clip&) = delete;
    Clip& operator=(const Clip&) = delete;

   private:
    Canvas* canvas_;
  };

  std::vector<std::byte> Png() const;

 private:
  struct Surface;
  void Use(Color color) const;
  void Use(const Font& font) const;

  std::unique_ptr<Surface> surface_;
};

}  // namespace lockstep::tools

#endif  // LOCKSTEP_TOOLS_CANVAS_H_
