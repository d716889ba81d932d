#include "tools/progress_bar.h"

#include <algorithm>
#include <chrono>
#include <cmath>

#include "tools/text.h"

namespace lockstep::tools {
namespace {

constexpr double kWindowSeconds = 10;  // over which speed is taken
constexpr double kMarkSeconds = 0.25;  // between its marks
constexpr double kMaxLineSeconds = 60;
constexpr int kMinBar = 10;
constexpr int kMaxBar = 40;

double MachineClock() {
  const auto now = std::chrono::steady_clock::now().time_since_epoch();
  return std::chrono::duration<double>(now).count();
}

double Fraction(const Progress& progress) {
  if (progress.total_samples <= 0) return 0;
  const double fraction =
      static_cast<double>(progress.samples) / static_cast<double>(progress.total_samples);
  return std::clamp(fraction, 0.0, 1.0);
}

std::string Padded(const std::string& text, size_t width) {
  return std::string(width > text.size() ? width - text.size() : 0, ' ') + text;
}

// Three digits that matter: "0.123", "12.3", "1234".
std::string FormatSpeed(double speed) {
  return speed >= 1000 ? std::to_string(std::llround(speed)) : FormatG(speed, 3);
}

std::string TwoDigits(int64_t value) { return (value < 10 ? "0" : "") + std::to_string(value); }

}  // namespace

std::string FormatDuration(double seconds) {
  if (!(seconds >= 0)) seconds = 0;
  const int64_t whole = std::llround(std::min(seconds, 3.6e9));
  const int64_t days = whole / 86400;
  const int64_t hours = whole / 3600 % 24;
  const std::string rest = ":" + TwoDigits(whole / 60 % 60) + ":" + TwoDigits(whole % 60);
  if (days == 0) return std::to_string(hours) + rest;
  return std::to_string(days) + " d " + TwoDigits(hours) + rest;
}

std::string SampleUnit(const Shape& sample) { return sample.ndim() == 3 ? "images" : "samples"; }

ProgressBar::ProgressBar(Console* console, ProgressOptions options)
    : console_(console), options_(std::move(options)) {
  if (!options_.clock) options_.clock = MachineClock;
}

void ProgressBar::Update(const Progress& progress) {
  const double now = options_.clock();
  if (!start_) {
    start_ = Mark{now, progress.samples};
    next_draw_ = now + (console_->is_terminal() ? 0 : options_.line_seconds);
  }
  Remember(now, progress.samples);
  if (now < next_draw_) return;
  if (console_->is_terminal()) {
    console_->Status(Bar(progress, now));
    next_draw_ = now + options_.redraw_seconds;
    return;
  }
  console_->Write(Line(progress, now));
  const double gone = now - start_->time;
  next_draw_ = now + std::clamp(gone / 10, options_.line_seconds,
                                std::max(kMaxLineSeconds, options_.line_seconds));
}

bool ProgressBar::IsDue() const { return !start_ || options_.clock() >= next_draw_; }

void ProgressBar::Finish() { console_->Status(""); }

void ProgressBar::Remember(double now, int64_t samples) {
  if (!recent_.empty() && now - recent_.back().time < kMarkSeconds) return;
  recent_.push_back({now, samples});
  // The mark before the window's start stays, so that slow steps have one to count from.
  while (recent_.size() > 2 && now - recent_[1].time >= kWindowSeconds) recent_.pop_front();
}

std::optional<double> ProgressBar::Speed() const {
  if (recent_.size() < 2) return std::nullopt;
  const double seconds = recent_.back().time - recent_.front().time;
  return static_cast<double>(recent_.back().samples - recent_.front().samples) / seconds;
}

// From the average over this whole run: it counts the evaluations and saves in between, too.
std::optional<double> ProgressBar::SecondsLeft(const Progress& progress, double now) const {
  const auto done = static_cast<double>(progress.samples - start_->samples);
  const auto left = static_cast<double>(progress.total_samples - progress.samples);
  if (done <= 0 || left < 0) return std::nullopt;
  return (now - start_->time) / done * left;
}

// "epoch 3/50 [########......]  46 %  1234 images/s  loss 0.123  0:12:34 left"; parts at the end
// go first where the terminal is narrow.
std::string ProgressBar::Bar(const Progress& progress, double now) const {
  const double fraction = Fraction(progress);
  const std::string epochs = std::to_string(progress.epochs);
  std::string head =
      "epoch " + Padded(std::to_string(progress.epoch), epochs.size()) + "/" + epochs;
  std::string tail = Padded(std::to_string(static_cast<int>(fraction * 100)), 3) + " %";
  const auto width = static_cast<size_t>(console_->columns() - 1);
  const auto add = [&](const std::string& part) {
    if (head.size() + kMinBar + 4 + tail.size() + 2 + part.size() <= width) tail += "  " + part;
  };
  if (const auto left = SecondsLeft(progress, now)) add(FormatDuration(*left) + " left");
  if (const auto speed = Speed()) add(FormatSpeed(*speed) + " " + options_.unit + "/s");
  if (progress.loss) add("loss " + FormatG(*progress.loss, 4));
  const size_t taken = head.size() + tail.size() + 4;
  const size_t length = std::min<size_t>(width > taken ? width - taken : 0, kMaxBar);
  if (length < kMinBar) return head + " " + tail;
  const auto full = static_cast<size_t>(fraction * static_cast<double>(length));
  return head + " [" + std::string(full, '#') + std::string(length - full, '.') + "] " + tail;
}

std::string ProgressBar::Line(const Progress& progress, double now) const {
  std::string line = "epoch " + std::to_string(progress.epoch) + "/" +
                     std::to_string(progress.epochs) + ", iteration " +
                     std::to_string(progress.iteration) + ", " +
                     FormatG(std::floor(Fraction(progress) * 1000) / 10) + " % done";
  if (const auto speed = Speed()) line += ", " + FormatSpeed(*speed) + " " + options_.unit + "/s";
  if (progress.loss) line += ", loss " + FormatG(*progress.loss, 4);
  if (const auto left = SecondsLeft(progress, now)) {
    line += ", about " + FormatDuration(*left) + " left";
  }
  return line + "\n";
}

}  // namespace lockstep::tools
