// UTF-8 to and from code points.
#ifndef LOCKSTEP_DATA_UTF8_H_
#define LOCKSTEP_DATA_UTF8_H_

#include <cstdint>
#include <string>
#include <string_view>

namespace lockstep {

// False for surrogates and beyond U+10FFFF.
bool IsCodePoint(uint32_t code);
// `code` must be a code point.
void AppendUtf8(uint32_t code, std::string* text);
// Throws FormatError naming the byte where `text` is not shortest-form UTF-8.
std::u32string DecodeUtf8(std::string_view text);

}  // namespace lockstep

#endif  // LOCKSTEP_DATA_UTF8_H_
