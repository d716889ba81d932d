// kernels <- engine <- {comm, data} <- models <- tools: a file includes its own folder and folders
// to its left; comm and data do not know each other.
#include <gtest/gtest.h>

#include <map>
#include <set>

#include "tests/style/includes.h"

namespace lockstep::style {
namespace {

const std::map<std::string, std::set<std::string>>& MayInclude() {
  static const std::map<std::string, std::set<std::string>> kArrow = {
      {"kernels", {"kernels"}},
      {"engine", {"engine", "kernels"}},
      {"comm", {"comm", "engine", "kernels"}},
      {"data", {"data", "engine", "kernels"}},
      {"models", {"models", "comm", "data", "engine", "kernels"}},
      {"tools", {"tools", "models", "comm", "data", "engine", "kernels"}},
  };
  return kArrow;
}

// "" when the include is allowed, else why not. Programs and their users see the umbrella header;
// the folders it is made of must not.
std::string Objection(const Include& include) {
  const std::string from = TopFolder(include.file);
  const std::string to = TopFolder(include.target);
  if (!include.quoted) {
    return MayInclude().contains(to) ? "the tree's own headers are included with quotes" : "";
  }
  if (include.target.find('/') == std::string::npos || include.target.starts_with(".")) {
    return "'" + include.target + "' is not a path from the root of the tree";
  }
  if (MayInclude().at(from).contains(to)) return "";
  return from + " must not include " + include.target + " (the arrow points the other way)";
}

TEST(IncludeArrow, HoldsForEveryFile) {
  int files = 0;
  for (const auto& [folder, allowed] : MayInclude()) {
    files += static_cast<int>(SourceFiles(LOCKSTEP_SOURCE_DIR, folder).size());
    for (const Include& include : IncludesOf(LOCKSTEP_SOURCE_DIR, folder)) {
      const std::string objection = Objection(include);
      EXPECT_TRUE(objection.empty()) << include.Where() << objection;
    }
  }
  EXPECT_GT(files, 30) << "the tree was not found at " << LOCKSTEP_SOURCE_DIR;
}

TEST(IncludeArrow, WrongDirectionsAreSeen) {
  const auto objection = [](const std::string& file, const std::string& line) {
    return Objection(ParseIncludes(file, line).at(0));
  };
  EXPECT_EQ(objection("engine/plan/a.cc", "#include \"kernels/conv.h\""), "");
  EXPECT_EQ(objection("engine/plan/a.cc", "#include <vector>"), "");
  EXPECT_NE(objection("kernels/a.cc", "#include \"engine/tensor/tensor.h\""), "");
  EXPECT_NE(objection("comm/a.cc", "#  include  \"data/npz.h\""), "");
  EXPECT_NE(objection("data/a.cc", "#include \"comm/communicator.h\""), "");
  EXPECT_NE(objection("engine/a.cc", "#include <kernels/conv.h>"), "");
  EXPECT_NE(objection("data/a.cc", "#include \"npz.h\""), "");
  EXPECT_NE(objection("models/a.cc", "#include \"lockstep/lockstep.h\""), "");
}

}  // namespace
}  // namespace lockstep::style
