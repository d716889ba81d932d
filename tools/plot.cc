#include "tools/plot.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "kernels/error.h"
#include "tools/axis.h"
#include "tools/canvas.h"

namespace lockstep::tools {
namespace {

constexpr Color kWhite = Rgb(0xFFFFFF);
constexpr Color kInk = Rgb(0x111827);
constexpr Color kText = Rgb(0x374151);
constexpr Color kFaint = Rgb(0x6B7280);
constexpr Color kGrid = Rgb(0xE5E7EB);
constexpr Color kMinorGrid = Rgb(0xF3F4F6);
constexpr Color kAxis = Rgb(0x9CA3AF);

// Told apart by people with colour-blindness, too, and by their lightness in print.
constexpr std::array<Color, 6> kCurves = {Rgb(0x1D4ED8), Rgb(0xEA580C), Rgb(0x0F9D74),
                                          Rgb(0x9333EA), Rgb(0xB45309), Rgb(0x475569)};

constexpr double kLeft = 128, kRight = 48, kTop = 148, kBottom = 104;
constexpr double kCurveWidth = 3.5;
constexpr double kDenseWidth = 2;
constexpr size_t kDenseFrom = 300;  // points in a curve, usually a noisy one
constexpr double kMarker = 5.5;
constexpr double kBestMarker = 8;
constexpr size_t kMarkersUpTo = 40;  // points in a curve
constexpr Font kTitleFont{32, true, kInk};
constexpr Font kLegendFont{22, false, kText};
constexpr Font kNoteFont{20, false, kFaint};
constexpr Font kLabelFont{24, false, kText};
constexpr Font kTickFont{20, false, kText};

class Plotter {
 public:
  explicit Plotter(const LinePlot& plot)
      : plot_(plot),
        canvas_(plot.width, plot.height, kWhite),
        area_{kLeft, kTop, plot.width - kLeft - kRight, plot.height - kTop - kBottom} {
    std::vector<double> x, y;
    for (const Series& series : plot.series) {
      if (series.x.size() != series.y.size()) {
        throw ShapeError("curve '" + series.name + "' has " + std::to_string(series.x.size()) +
                         " x for " + std::to_string(series.y.size()) + " y");
      }
      x.insert(x.end(), series.x.begin(), series.x.end());
      y.insert(y.end(), series.y.begin(), series.y.end());
    }
    x_ = CountAxis(x);
    y_ = ValueAxis(y, plot.fractions);
  }

  std::vector<std::byte> Render() {
    DrawTitle();
    DrawLegend();
    DrawGrid();
    DrawLabels();
    if (x_.ticks.empty()) {
      canvas_.Text({area_.x + area_.width / 2, area_.y + area_.height / 2}, "no values yet",
                   kLabelFont, Align::kMiddle);
    }
    const Canvas::Clip clip(&canvas_,
                            {area_.x - 12, area_.y - 12, area_.width + 24, area_.height + 24});
    for (size_t i = 0; i < plot_.series.size(); ++i) DrawSeries(plot_.series[i], ColorOf(i));
    for (size_t i = 0; i < plot_.series.size(); ++i) DrawBest(plot_.series[i], ColorOf(i));
    return canvas_.Png();
  }

 private:
  static Color ColorOf(size_t series) { return kCurves[series % kCurves.size()]; }

  double bottom() const { return area_.y + area_.height; }
  double right() const { return area_.x + area_.width; }
  double X(double value) const { return area_.x + x_.Place(value) * area_.width; }
  double Y(double value) const { return bottom() - y_.Place(value) * area_.height; }

  void DrawTitle() {
    canvas_.Text({area_.x, 58}, canvas_.Fitted(plot_.title, kTitleFont, area_.width), kTitleFont);
  }

  // In one row between title and curves, where it never covers a point.
  void DrawLegend() {
    double x = area_.x;
    const double y = 104;
    for (size_t i = 0; i < plot_.series.size(); ++i) {
      const Series& series = plot_.series[i];
      canvas_.Line({x, y - 8}, {x + 36, y - 8}, ColorOf(i), 5);
      x += 46;
      canvas_.Text({x, y}, series.name, kLegendFont);
      x += canvas_.TextWidth(series.name, kLegendFont) + 12;
      canvas_.Text({x, y}, series.note, kNoteFont);
      x += canvas_.TextWidth(series.note, kNoteFont) + (series.note.empty() ? 24 : 40);
    }
  }

  void DrawGrid() {
    for (const bool labelled : {false, true}) {
      for (const Tick& tick : y_.ticks) {
        if (tick.label.empty() == labelled) continue;
        const double y = std::round(Y(tick.value)) + 0.5;
        canvas_.Line({area_.x, y}, {right(), y}, labelled ? kGrid : kMinorGrid, 1.5);
        canvas_.Text({area_.x - 14, y + 7}, tick.label, kTickFont, Align::kEnd);
      }
    }
    for (const Tick& tick : x_.ticks) {
      const double x = std::round(X(tick.value)) + 0.5;
      canvas_.Line({x, area_.y}, {x, bottom()}, kGrid, 1.5);
      canvas_.Line({x, bottom()}, {x, bottom() + 8}, kAxis, 2);
      canvas_.Text({x, bottom() + 34}, tick.label, kTickFont, Align::kMiddle);
    }
    canvas_.Line({area_.x, area_.y}, {area_.x, bottom() + 1}, kAxis, 2);
    canvas_.Line({area_.x - 1, bottom()}, {right(), bottom()}, kAxis, 2);
  }

  void DrawLabels() {
    canvas_.Text({area_.x + area_.width / 2, bottom() + 80}, plot_.x_label, kLabelFont,
                 Align::kMiddle);
    const std::string label = plot_.y_label + (y_.logarithmic ? " (log scale)" : "");
    canvas_.Text({40, area_.y + area_.height / 2}, label, kLabelFont, Align::kMiddle, true);
  }

  // Each run of neighbouring points is a curve; a run of one is a marker in any case.
  void DrawSeries(const Series& series, Color color) {
    std::vector<Point> run;
    const bool dense = series.x.size() > kDenseFrom;
    const bool markers = series.x.size() <= kMarkersUpTo;
    for (size_t i = 0; i <= series.x.size(); ++i) {
      if (i < series.x.size() && IsPlottable(series.y[i]) && IsPlottable(series.x[i])) {
        run.push_back({X(series.x[i]), Y(series.y[i])});
        continue;
      }
      if (run.size() > 1) canvas_.Curve(run, color, dense ? kDenseWidth : kCurveWidth);
      if (markers || run.size() == 1) {
        for (const Point& point : run) canvas_.Disc(point, kMarker, kWhite, color, kCurveWidth);
      }
      run.clear();
    }
  }

  void DrawBest(const Series& series, Color color) {
    if (!series.best || *series.best >= series.x.size()) return;
    if (!IsPlottable(series.x[*series.best]) || !IsPlottable(series.y[*series.best])) return;
    const Point point{X(series.x[*series.best]), Y(series.y[*series.best])};
    canvas_.Disc(point, kBestMarker, color, kWhite, 2.5);
  }

  const LinePlot& plot_;
  Canvas canvas_;
  Rect area_;
  Axis x_, y_;
};

}  // namespace

std::vector<std::byte> RenderLinePlot(const LinePlot& plot) { return Plotter(plot).Render(); }

}  // namespace lockstep::tools
