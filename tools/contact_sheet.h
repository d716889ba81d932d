// Pictures with what a model says about them, on one sheet.
#ifndef LOCKSTEP_TOOLS_CONTACT_SHEET_H_
#define LOCKSTEP_TOOLS_CONTACT_SHEET_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace lockstep::tools {

struct PictureLabel {
  std::string predicted;
  std::string truth;      // "" where it is not known
  double confidence = 0;  // of the prediction, 0..1
};

struct ContactSheet {
  std::string title;
  std::span<const uint8_t> pixels;  // (count, channels, height, width); 1 channel grey, 3 RGB
  int64_t count = 0;
  int64_t channels = 1;
  int64_t height = 0;
  int64_t width = 0;
  std::vector<PictureLabel> labels;  // count
  int columns = 0;                   // 0: about as many as rows, a little more
};

// A PNG. Small pictures are scaled up, each pixel to a square; wrong predictions are framed and
// carry the truth. Throws ShapeError where the numbers do not fit together, or there are more than
// 1000 pictures or pictures of more than 1024 pixels a side.
std::vector<std::byte> RenderContactSheet(const ContactSheet& sheet);

}  // namespace lockstep::tools

#endif  // LOCKSTEP_TOOLS_CONTACT_SHEET_H_
