// PNG bytes back into pixels.
#ifndef LOCKSTEP_TESTS_TOOLS_PNG_H_
#define LOCKSTEP_TESTS_TOOLS_PNG_H_

#include <cairo.h>

#include <cstring>
#include <span>
#include <stdexcept>
#include <vector>

namespace lockstep::tools {

struct Picture {
  int width = 0;
  int height = 0;
  std::vector<uint32_t> pixels;  // 0xRRGGBB, (height, width)

  uint32_t At(int x, int y) const { return pixels[static_cast<size_t>(y * width + x)]; }
  int64_t CountOf(uint32_t rgb) const {
    int64_t count = 0;
    for (const uint32_t pixel : pixels) count += pixel == rgb ? 1 : 0;
    return count;
  }
};

inline Picture DecodePng(std::span<const std::byte> bytes) {
  const auto read = [](void* closure, unsigned char* data, unsigned int length) {
    auto& rest = *static_cast<std::span<const std::byte>*>(closure);
    if (rest.size() < length) return CAIRO_STATUS_READ_ERROR;
    std::memcpy(data, rest.data(), length);
    rest = rest.subspan(length);
    return CAIRO_STATUS_SUCCESS;
  };
  cairo_surface_t* const surface = cairo_image_surface_create_from_png_stream(read, &bytes);
  if (cairo_surface_status(surface) != CAIRO_STATUS_SUCCESS) throw std::runtime_error("no PNG");
  Picture picture;
  picture.width = cairo_image_surface_get_width(surface);
  picture.height = cairo_image_surface_get_height(surface);
  const unsigned char* const rows = cairo_image_surface_get_data(surface);
  for (int y = 0; y < picture.height; ++y) {
    for (int x = 0; x < picture.width; ++x) {
      uint32_t pixel;
      std::memcpy(&pixel, rows + y * cairo_image_surface_get_stride(surface) + x * 4, 4);
      picture.pixels.push_back(pixel & 0xFFFFFF);
    }
  }
  cairo_surface_destroy(surface);
  return picture;
}

}  // namespace lockstep::tools

#endif  // LOCKSTEP_TESTS_TOOLS_PNG_H_
