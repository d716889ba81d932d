#include "tools/class_names.h"

#include <algorithm>
#include <string_view>

#include "engine/text.h"
#include "kernels/error.h"
#include "tools/small_file.h"
#include "tools/text.h"

namespace lockstep::tools {
namespace {

constexpr size_t kMaxBytes = 100;

std::string NameOf(std::string_view line, const std::string& where) {
  std::string name(Trim(line));
  if (name.empty()) throw FormatError(where + " is empty; wanted the name of a class");
  if (name.size() > kMaxBytes) {
    throw FormatError(where + " has " + std::to_string(name.size()) +
                      " bytes; wanted the name of a class, of at most " +
                      std::to_string(kMaxBytes));
  }
  if (OneLine(name) != name) {
    throw FormatError(where + " is " + Quote(name) + ", which is not printable UTF-8");
  }
  return name;
}

}  // namespace

std::vector<std::string> ReadClassNames(const std::string& path, int64_t classes) {
  const std::optional<std::string> text = ReadSmallFile(path);
  if (!text) throw IoError(path + ": no such file; wanted class names", ExitCode::kNoInput);
  std::vector<std::string> names;
  std::string_view rest = *text;
  while (!rest.empty() && static_cast<int64_t>(names.size()) <= classes) {
    const size_t end = rest.find('\n');
    const std::string where = path + " line " + std::to_string(names.size() + 1);
    std::string name = NameOf(rest.substr(0, end), where);
    if (const auto same = std::find(names.begin(), names.end(), name); same != names.end()) {
      throw FormatError(where + " is " + Quote(name) + ", as is line " +
                        std::to_string(same - names.begin() + 1));
    }
    names.push_back(std::move(name));
    rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 1);
  }
  if (static_cast<int64_t>(names.size()) != classes) {
    throw FormatError(path + " has " + (rest.empty() ? "" : "more than ") +
                      Counted(std::min<int64_t>(classes, std::ssize(names)), "line") +
                      "; the model has " + Counted(classes, "class", "classes") + ", one a line");
  }
  return names;
}

}  // namespace lockstep::tools
