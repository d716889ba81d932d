#include "data/utf8.h"

#include "kernels/error.h"

namespace lockstep {
namespace {

// Bytes that follow a lead byte; -1 when it cannot lead.
int Followers(uint8_t lead) {
  if (lead < 0x80) return 0;
  if (lead >= 0xC2 && lead < 0xE0) return 1;
  if (lead >= 0xE0 && lead < 0xF0) return 2;
  return lead >= 0xF0 && lead < 0xF5 ? 3 : -1;
}

}  // namespace

bool IsCodePoint(uint32_t code) { return code <= 0x10FFFF && (code < 0xD800 || code >= 0xE000); }

void AppendUtf8(uint32_t code, std::string* text) {
  if (code < 0x80) {
    *text += static_cast<char>(code);
    return;
  }
  const int more = code < 0x800 ? 1 : code < 0x10000 ? 2 : 3;
  constexpr uint32_t kLead[] = {0, 0xC0, 0xE0, 0xF0};
  *text += static_cast<char>(kLead[more] | code >> (6 * more));
  for (int i = more - 1; i >= 0; --i) *text += static_cast<char>(0x80 | (code >> (6 * i) & 63U));
}

std::u32string DecodeUtf8(std::string_view text) {
  constexpr uint32_t kSmallest[] = {0, 0x80, 0x800, 0x10000};
  std::u32string codes;
  for (size_t i = 0; i < text.size();) {
    const auto lead = static_cast<uint8_t>(text[i]);
    const int more = Followers(lead);
    bool good = more >= 0 && i + static_cast<size_t>(more) < text.size();
    uint32_t code = more <= 0 ? lead : lead & (0x3FU >> more);
    for (int k = 1; good && k <= more; ++k) {
      const auto next = static_cast<uint8_t>(text[i + static_cast<size_t>(k)]);
      good = (next & 0xC0) == 0x80;
      code = code << 6 | (next & 0x3FU);
    }
    if (!good || code < kSmallest[more] || !IsCodePoint(code)) {
      throw FormatError("text is not UTF-8 at byte " + std::to_string(i));
    }
    codes += static_cast<char32_t>(code);
    i += static_cast<size_t>(more) + 1;
  }
  return codes;
}

}  // namespace lockstep
