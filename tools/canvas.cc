#include "tools/canvas.h"

#include <cairo.h>

#include <algorithm>
#include <exception>
#include <numbers>

#include "kernels/error.h"
#include "tools/text.h"

// Read by LeakSanitizer alone: fontconfig keeps what it has read until the process ends.
// NOLINTNEXTLINE(bugprone-reserved-identifier): the name is LeakSanitizer's.
extern "C" const char* __lsan_default_suppressions();
// NOLINTNEXTLINE(bugprone-reserved-identifier)
extern "C" const char* __lsan_default_suppressions() { return "leak:libfontconfig.so"; }

namespace lockstep::tools {
namespace {

constexpr char kFamily[] = "DejaVu Sans";
constexpr size_t kMaxText = 300;

void Check(cairo_status_t status, const char* what) {
  if (status == CAIRO_STATUS_SUCCESS) return;
  throw Error(status == CAIRO_STATUS_NO_MEMORY ? ExitCode::kNoResources : ExitCode::kBug,
              std::string(what) + ": " + cairo_status_to_string(status));
}

cairo_status_t Append(void* closure, const unsigned char* data, unsigned int length) noexcept {
  try {
    auto& bytes = *static_cast<std::vector<std::byte>*>(closure);
    const auto* const begin = reinterpret_cast<const std::byte*>(data);
    bytes.insert(bytes.end(), begin, begin + length);
    return CAIRO_STATUS_SUCCESS;
  } catch (const std::exception&) {
    return CAIRO_STATUS_NO_MEMORY;
  }
}

struct Destroy {
  void operator()(cairo_surface_t* surface) const { cairo_surface_destroy(surface); }
  void operator()(cairo_t* context) const { cairo_destroy(context); }
  void operator()(cairo_pattern_t* pattern) const { cairo_pattern_destroy(pattern); }
  void operator()(cairo_font_options_t* options) const { cairo_font_options_destroy(options); }
};

}  // namespace

struct Canvas::Surface {
  std::unique_ptr<cairo_surface_t, Destroy> surface;
  std::unique_ptr<cairo_t, Destroy> context;
};

Canvas::Canvas(int width, int height, Color background) : surface_(std::make_unique<Surface>()) {
  surface_->surface.reset(cairo_image_surface_create(CAIRO_FORMAT_RGB24, width, height));
  Check(cairo_surface_status(surface_->surface.get()), "cannot make a picture");
  surface_->context.reset(cairo_create(surface_->surface.get()));
  Check(cairo_status(surface_->context.get()), "cannot draw a picture");
  cairo_t* const context = surface_->context.get();
  cairo_set_antialias(context, CAIRO_ANTIALIAS_BEST);
  cairo_set_line_join(context, CAIRO_LINE_JOIN_ROUND);
  // Hinting would move letters to whole pixels, which rotated text shows.
  const std::unique_ptr<cairo_font_options_t, Destroy> options(cairo_font_options_create());
  cairo_font_options_set_antialias(options.get(), CAIRO_ANTIALIAS_GRAY);
  cairo_font_options_set_hint_style(options.get(), CAIRO_HINT_STYLE_NONE);
  cairo_font_options_set_hint_metrics(options.get(), CAIRO_HINT_METRICS_OFF);
  cairo_set_font_options(context, options.get());
  Use(background);
  cairo_paint(context);
}

Canvas::~Canvas() = default;

void Canvas::Use(Color color) const {
  cairo_set_source_rgb(surface_->context.get(), color.red, color.green, color.blue);
}

void Canvas::Use(const Font& font) const {
  cairo_select_font_face(surface_->context.get(), kFamily, CAIRO_FONT_SLANT_NORMAL,
                         font.bold ? CAIRO_FONT_WEIGHT_BOLD : CAIRO_FONT_WEIGHT_NORMAL);
  cairo_set_font_size(surface_->context.get(), font.size);
  Use(font.color);
}

void Canvas::Line(Point from, Point to, Color color, double width) {
  cairo_t* const context = surface_->context.get();
  cairo_set_line_cap(context, CAIRO_LINE_CAP_BUTT);
  cairo_set_line_width(context, width);
  Use(color);
  cairo_move_to(context, from.x, from.y);
  cairo_line_to(context, to.x, to.y);
  cairo_stroke(context);
}

void Canvas::Curve(std::span<const Point> points, Color color, double width) {
  cairo_t* const context = surface_->context.get();
  cairo_set_line_cap(context, CAIRO_LINE_CAP_ROUND);
  cairo_set_line_width(context, width);
  Use(color);
  cairo_new_path(context);
  for (const Point& point : points) cairo_line_to(context, point.x, point.y);
  cairo_stroke(context);
}

void Canvas::Disc(Point center, double radius, Color fill, Color edge, double edge_width) {
  cairo_t* const context = surface_->context.get();
  cairo_new_path(context);
  cairo_arc(context, center.x, center.y, radius, 0, 2 * std::numbers::pi);
  Use(fill);
  cairo_fill_preserve(context);
  cairo_set_line_width(context, edge_width);
  Use(edge);
  cairo_stroke(context);
}

void Canvas::Fill(const Rect& rect, Color color) {
  Use(color);
  cairo_rectangle(surface_->context.get(), rect.x, rect.y, rect.width, rect.height);
  cairo_fill(surface_->context.get());
}

void Canvas::Frame(const Rect& rect, Color color, double width) {
  cairo_t* const context = surface_->context.get();
  cairo_set_line_width(context, width);
  Use(color);
  cairo_rectangle(context, rect.x, rect.y, rect.width, rect.height);
  cairo_stroke(context);
}

void Canvas::Text(Point at, const std::string& text, const Font& font, Align align, bool upwards) {
  cairo_t* const context = surface_->context.get();
  const std::string shown = OneLine(text, kMaxText);
  const double width = TextWidth(shown, font);
  const double shift = align == Align::kStart ? 0 : align == Align::kMiddle ? width / 2 : width;
  cairo_save(context);
  Use(font);
  cairo_translate(context, at.x, at.y);
  if (upwards) cairo_rotate(context, -std::numbers::pi / 2);
  cairo_move_to(context, -shift, 0);
  cairo_show_text(context, shown.c_str());
  cairo_restore(context);
}

double Canvas::TextWidth(const std::string& text, const Font& font) const {
  Use(font);
  cairo_text_extents_t extents;
  // cairo stops working altogether at bytes that are not UTF-8.
  cairo_text_extents(surface_->context.get(), OneLine(text, kMaxText).c_str(), &extents);
  return extents.x_advance;
}

std::string Canvas::Fitted(const std::string& text, const Font& font, double width) const {
  if (TextWidth(text, font) <= width) return text;
  std::string cut = text;
  while (!cut.empty() && TextWidth(cut + "...", font) > width) {
    const auto continues = [&] { return (static_cast<unsigned char>(cut.back()) & 0xC0) == 0x80; };
    while (cut.size() > 1 && continues()) cut.pop_back();
    cut.pop_back();
  }
  return cut + "...";
}

void Canvas::Image(Point at, std::span<const uint32_t> pixels, int width, int height, int scale) {
  // RGB24 has one native 32-bit word a pixel, as `pixels`, but rows may be longer.
  const std::unique_ptr<cairo_surface_t, Destroy> image(
      cairo_image_surface_create(CAIRO_FORMAT_RGB24, width, height));
  Check(cairo_surface_status(image.get()), "cannot make a picture");
  const auto stride = static_cast<size_t>(cairo_image_surface_get_stride(image.get()));
  unsigned char* const rows = cairo_image_surface_get_data(image.get());
  for (int y = 0; y < height; ++y) {
    const uint32_t* const from = pixels.data() + static_cast<ptrdiff_t>(y) * width;
    std::copy_n(from, width, reinterpret_cast<uint32_t*>(rows + static_cast<size_t>(y) * stride));
  }
  cairo_surface_mark_dirty(image.get());
  cairo_t* const context = surface_->context.get();
  cairo_save(context);
  cairo_translate(context, at.x, at.y);
  cairo_scale(context, scale, scale);
  cairo_set_source_surface(context, image.get(), 0, 0);
  cairo_pattern_set_filter(cairo_get_source(context), CAIRO_FILTER_NEAREST);
  cairo_paint(context);
  cairo_restore(context);
}

Canvas::Clip::Clip(Canvas* canvas, const Rect& rect) : canvas_(canvas) {
  cairo_t* const context = canvas_->surface_->context.get();
  cairo_save(context);
  cairo_rectangle(context, rect.x, rect.y, rect.width, rect.height);
  cairo_clip(context);
}

Canvas::Clip::~Clip() { cairo_restore(canvas_->surface_->context.get()); }

std::vector<std::byte> Canvas::Png() const {
  Check(cairo_status(surface_->context.get()), "cannot draw a picture");
  std::vector<std::byte> bytes;
  Check(cairo_surface_write_to_png_stream(surface_->surface.get(), Append, &bytes),
        "cannot write a PNG");
  return bytes;
}

}  // namespace lockstep::tools
