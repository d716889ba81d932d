#include "engine/train/checkpoint_manifest.h"

#include <array>
#include <charconv>
#include <cstdio>
#include <optional>

#include "engine/train/checkpoint_table.h"
#include "engine/train/crc32c.h"
#include "engine/train/posix_file.h"

namespace lockstep {
namespace {

constexpr int kVersion = 1;
constexpr std::string_view kTitle = "lockstep-manifest ";
constexpr std::string_view kSum = "crc32c ";
constexpr size_t kSumLineBytes = kSum.size() + 8 + 1;

bool IsPlain(char c) {
  return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
         std::string_view("._:+-/").find(c) != std::string_view::npos;
}

std::string Hex(uint32_t value, const char* format) {
  std::array<char, 16> text{};
  std::snprintf(text.data(), text.size(), format, value);
  return text.data();
}

std::string Escape(const std::string& text) {
  std::string out;
  for (const char c : text) {
    out += IsPlain(c) ? std::string(1, c) : Hex(static_cast<unsigned char>(c), "%%%02X");
  }
  return out;
}

template <typename T>
std::optional<T> Number(std::string_view text, int base = 10) {
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::optional<std::string> Unescape(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      if (!IsPlain(text[i])) return std::nullopt;
      out += text[i];
      continue;
    }
    const auto byte = Number<uint8_t>(text.substr(i + 1, 2), 16);
    if (!byte || text.size() < i + 3) return std::nullopt;
    out += static_cast<char>(*byte);
    i += 2;
  }
  return out;
}

// Lines of a text, taken one after the other; every failure names the line.
class Lines {
 public:
  Lines(std::string_view text, const std::string& name) : text_(text), name_(name) {}

  bool done() const { return text_.empty(); }
  void Next() {
    const size_t end = text_.find('\n');
    ++number_;
    if (end == std::string_view::npos) Fail("does not end");
    line_ = text_.substr(0, end);
    text_.remove_prefix(end + 1);
  }
  void Expect(std::string_view word) {
    if (!line_.starts_with(word)) Fail("\"" + std::string(word) + "\" expected");
    line_.remove_prefix(word.size());
  }
  // The value of " key=".
  std::string_view Field(std::string_view key) {
    Expect(" ");
    Expect(key);
    Expect("=");
    const std::string_view value = line_.substr(0, line_.find(' '));
    line_.remove_prefix(value.size());
    return value;
  }
  template <typename T>
  T NumberField(std::string_view key, int base = 10) {
    const std::optional<T> value = Number<T>(Field(key), base);
    if (!value) Fail("no number in \"" + std::string(key) + "\"");
    return *value;
  }
  std::string TextField(std::string_view key) {
    const std::optional<std::string> value = Unescape(Field(key));
    if (!value) Fail("stray byte in \"" + std::string(key) + "\"");
    return *value;
  }
  std::string_view rest() const { return line_; }
  [[noreturn]] void Fail(const std::string& what) const {
    throw FormatError(Printable(name_) + ": line " + std::to_string(number_) + ": " + what +
                      "; the manifest is damaged");
  }

 private:
  std::string_view text_;
  std::string_view line_;
  const std::string& name_;
  int number_ = 0;
};

ManifestEntry ParseEntry(Lines* lines) {
  ManifestEntry entry;
  lines->Expect("checkpoint");
  entry.tag.iteration = lines->NumberField<int64_t>("iteration");
  entry.file = lines->TextField("file");
  entry.bytes = lines->NumberField<uint64_t>("bytes");
  entry.header_crc32c = lines->NumberField<uint32_t>("header_crc32c", 16);
  entry.tag.world_size = lines->NumberField<int64_t>("world_size");
  entry.tag.pinned = lines->NumberField<int>("pinned") != 0;
  entry.tag.config_hash = lines->TextField("config");
  entry.tag.build_id = lines->TextField("build");
  if (!lines->rest().empty()) lines->Fail("more than an entry");
  // A name, never a path: nothing outside the directory is read or removed.
  if (entry.file.empty() || entry.file[0] == '.' ||
      entry.file.find_first_of(std::string_view("/\0", 2)) != std::string::npos) {
    lines->Fail("\"" + Printable(entry.file) + "\" is not a file name");
  }
  return entry;
}

// The text without its last line, whose sum it has.
std::string_view CheckSum(std::string_view text, const std::string& name) {
  if (text.size() > kSumLineBytes) {
    const std::string_view body = text.substr(0, text.size() - kSumLineBytes);
    const uint32_t sum = Crc32c(std::as_bytes(std::span(body)));
    if (text.substr(body.size()) == std::string(kSum) + Hex(sum, "%08x") + "\n") return body;
  }
  throw FormatError(Printable(name) + ": " + std::to_string(text.size()) +
                    " bytes that do not match their checksum; the manifest is damaged");
}

}  // namespace

std::string FormatManifest(const std::vector<ManifestEntry>& entries) {
  std::string text = std::string(kTitle) + std::to_string(kVersion) + "\n";
  for (const ManifestEntry& entry : entries) {
    text += "checkpoint iteration=" + std::to_string(entry.tag.iteration);
    text += " file=" + Escape(entry.file);
    text += " bytes=" + std::to_string(entry.bytes);
    text += " header_crc32c=" + Hex(entry.header_crc32c, "%08x");
    text += " world_size=" + std::to_string(entry.tag.world_size);
    text += entry.tag.pinned ? " pinned=1" : " pinned=0";
    text += " config=" + Escape(entry.tag.config_hash);
    text += " build=" + Escape(entry.tag.build_id) + "\n";
  }
  return text + std::string(kSum) + Hex(Crc32c(std::as_bytes(std::span(text))), "%08x") + "\n";
}

std::vector<ManifestEntry> ParseManifest(std::string_view text, const std::string& name) {
  Lines lines(CheckSum(text, name), name);
  lines.Next();
  lines.Expect(kTitle);
  const std::optional<int> version = Number<int>(lines.rest());
  if (!version || *version < 1) lines.Fail("no version");
  if (*version > kVersion) {
    throw NewerVersionError(Printable(name) + ": written by version " + std::to_string(*version) +
                            " of the format, this program reads <= " + std::to_string(kVersion) +
                            "; use a newer program");
  }
  std::vector<ManifestEntry> entries;
  while (!lines.done()) {
    lines.Next();
    ManifestEntry entry = ParseEntry(&lines);
    if (!entries.empty() && entry.tag.iteration <= entries.back().tag.iteration) {
      lines.Fail("iteration " + std::to_string(entry.tag.iteration) + " out of order");
    }
    entries.push_back(std::move(entry));
  }
  return entries;
}

}  // namespace lockstep
