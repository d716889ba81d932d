#include "engine/train/checkpoint_manifest.h"

#include <gtest/gtest.h>

#include <array>
#include <cstdio>
#include <limits>
#include <string>
#include <vector>

#include "engine/train/checkpoint_table.h"
#include "engine/train/crc32c.h"
#include "kernels/error.h"

namespace lockstep {
namespace {

std::vector<ManifestEntry> Sample() {
  return {{{90, 1, "9f3a", "0.1.0+debian", true}, "checkpoint_90.lsc", 8192, 0x0a1b2c3d},
          {{std::numeric_limits<int64_t>::max(), 4, "a b\n%=\x80", "", false},
           "checkpoint_9223372036854775807-2.lsc",
           ~uint64_t{0},
           0xffffffff}};
}

// A manifest of these lines with the right sum.
std::string Sealed(const std::string& body) {
  std::array<char, 32> sum{};
  std::snprintf(sum.data(), sum.size(), "crc32c %08x\n", Crc32c(std::as_bytes(std::span(body))));
  return body + sum.data();
}

std::string MessageOf(const std::string& text) {
  try {
    ParseManifest(text, "MANIFEST");
  } catch (const FormatError& error) {
    return error.what();
  }
  return "";
}

TEST(CheckpointManifest, ReturnsWhatWasWritten) {
  EXPECT_EQ(ParseManifest(FormatManifest(Sample()), "m"), Sample());
  EXPECT_TRUE(ParseManifest(FormatManifest({}), "m").empty());
}

TEST(CheckpointManifest, HasTheDocumentedText) {
  const std::string text = FormatManifest(Sample());
  EXPECT_EQ(text.find("lockstep-manifest 1\n"
                      "checkpoint iteration=90 file=checkpoint_90.lsc bytes=8192 "
                      "header_crc32c=0a1b2c3d world_size=1 pinned=1 config=9f3a "
                      "build=0.1.0+debian\n"),
            0U)
      << text;
  EXPECT_NE(text.find(" config=a%20b%0A%25%3D%80 build=\n"), std::string::npos) << text;
}

TEST(CheckpointManifest, EveryCutAndEveryFlippedBitIsDetected) {
  std::string text = FormatManifest(Sample());
  for (size_t size = 0; size < text.size(); ++size) {
    EXPECT_NE(MessageOf(text.substr(0, size)), "") << size;
  }
  for (size_t bit = 0; bit < 8 * text.size(); ++bit) {
    const auto mask = static_cast<char>(1 << (bit % 8));
    text[bit / 8] = static_cast<char>(text[bit / 8] ^ mask);
    EXPECT_NE(MessageOf(text), "") << bit;
    text[bit / 8] = static_cast<char>(text[bit / 8] ^ mask);
  }
}

TEST(CheckpointManifest, ANewerVersionIsNamed) {
  const std::string text = Sealed("lockstep-manifest 3\nsomething else\n");
  EXPECT_THROW(ParseManifest(text, "m"), NewerVersionError);
  EXPECT_NE(MessageOf(text).find("written by version 3 of the format, this program reads <= 1"),
            std::string::npos);
}

TEST(CheckpointManifest, NamesTheLineOfABadEntry) {
  const std::string title = "lockstep-manifest 1\n";
  const std::string good =
      "checkpoint iteration=5 file=a bytes=1 header_crc32c=0 world_size=1 pinned=0 config= "
      "build=\n";
  ASSERT_EQ(MessageOf(Sealed(title + good)), "");
  const auto changed = [&good](const std::string& from, const std::string& to) {
    std::string text = good;
    return text.replace(text.find(from), from.size(), to);
  };
  for (const std::string& bad :
       {changed("file=a", "file=../a"), changed("file=a", "file=%2e%2E"),
        changed("file=a", "file=/etc/passwd"), changed("file=a", "file=a%00b"),
        changed("file=a", "file="), changed("file=a", "file=%"), changed("file=a", "file=%4"),
        changed("file=a", "file=a\tb"), changed("bytes=1", "bytes=-1"),
        changed("bytes=1", "bytes=18446744073709551616"), changed("bytes=1", "bytes=1x"),
        changed("bytes=1", "bytes="), changed("build=", "build= more=1"),
        changed("iteration=5", "iteration=5 iteration=5"), good + good, good + "\n",
        std::string("nothing\n")}) {
    EXPECT_NE(MessageOf(Sealed(title + bad)).find("MANIFEST: line "), std::string::npos) << bad;
  }
  EXPECT_NE(MessageOf(Sealed("")), "");
  EXPECT_NE(MessageOf(Sealed("lockstep-manifest 0\n")), "");
  EXPECT_NE(MessageOf(Sealed("lockstep-manifest 1")), "");
}

}  // namespace
}  // namespace lockstep
