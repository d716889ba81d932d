// Installed headers name the C++ standard library and each other, nothing else.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cctype>
#include <set>

#include "tests/style/includes.h"

namespace lockstep::style {
namespace {

// What cmake/LockstepInstall.cmake installs.
std::set<std::string> InstalledHeaders() {
  std::set<std::string> headers;
  for (const char* folder : {"kernels", "engine", "comm", "data", "models", "tools", "lockstep"}) {
    for (const std::string& file : SourceFiles(LOCKSTEP_SOURCE_DIR, folder)) {
      const bool of_a_device =
          file.starts_with("kernels/cpu/") || file.starts_with("kernels/cuda/");
      if (file.ends_with(".h") && !file.ends_with("_internal.h") && !of_a_device) {
        headers.insert(file);
      }
    }
  }
  return headers;
}

// <vector>, <cstdint>, and the few headers of the C library and the kernel that types come from.
bool IsStandard(const Include& include) {
  static const std::set<std::string> kSystem = {"signal.h", "sys/types.h", "time.h"};
  if (include.quoted) return false;
  return kSystem.contains(include.target) ||
         std::all_of(include.target.begin(), include.target.end(), [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
         });
}

TEST(InstalledHeaders, IncludeNoThirdPartyAndNothingThatStaysAtHome) {
  const std::set<std::string> headers = InstalledHeaders();
  ASSERT_TRUE(headers.contains("lockstep/lockstep.h"));
  for (const std::string& header : headers) {
    const std::string text = ReadText(LOCKSTEP_SOURCE_DIR, header);
    for (const Include& include : ParseIncludes(header, text)) {
      if (IsStandard(include)) continue;
      EXPECT_TRUE(include.quoted && headers.contains(include.target))
          << include.Where() << "'" << include.target << "' is not installed with it";
    }
  }
}

TEST(InstalledHeaders, GuardsAreNamedAfterTheirPath) {
  for (const std::string& header : InstalledHeaders()) {
    std::string guard = "LOCKSTEP_" + header + "_";
    for (char& c : guard) c = c == '/' || c == '.' ? '_' : static_cast<char>(std::toupper(c));
    EXPECT_THAT(ReadText(LOCKSTEP_SOURCE_DIR, header),
                testing::HasSubstr("#ifndef " + guard + "\n#define " + guard + "\n"))
        << header;
  }
}

}  // namespace
}  // namespace lockstep::style
