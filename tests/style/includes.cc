#include "tests/style/includes.h"

#include <algorithm>
#include <fstream>
#include <iterator>
#include <set>
#include <sstream>

namespace lockstep::style {
namespace {

// The name in `line` when it is an #include, else "".
std::string IncludedName(std::string line, bool* quoted) {
  std::erase_if(line, [](char c) { return c == ' ' || c == '\t' || c == '\r'; });
  const std::string directive = "#include";
  if (!line.starts_with(directive) || line.size() < directive.size() + 2) return "";
  const char open = line[directive.size()];
  if (open != '"' && open != '<') return "";
  *quoted = open == '"';
  const size_t begin = directive.size() + 1;
  const size_t end = line.find(*quoted ? '"' : '>', begin);
  return end == std::string::npos ? "" : line.substr(begin, end - begin);
}

}  // namespace

std::string Include::Where() const { return file + ":" + std::to_string(line) + ": "; }

std::string TopFolder(const std::string& path) { return path.substr(0, path.find('/')); }

std::vector<Include> ParseIncludes(const std::string& file, const std::string& text) {
  std::vector<Include> includes;
  std::istringstream lines(text);
  std::string line;
  for (int number = 1; std::getline(lines, line); ++number) {
    bool quoted = false;
    const std::string target = IncludedName(line, &quoted);
    if (!target.empty()) includes.push_back({file, number, target, quoted});
  }
  return includes;
}

std::vector<std::string> SourceFiles(const std::filesystem::path& root, const std::string& folder) {
  static const std::set<std::string> kExtensions = {".h", ".cc", ".cu", ".cuh"};
  std::vector<std::string> files;
  if (!std::filesystem::is_directory(root / folder)) return files;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(root / folder)) {
    if (entry.is_regular_file() && kExtensions.contains(entry.path().extension().string())) {
      files.push_back(entry.path().lexically_relative(root).generic_string());
    }
  }
  std::sort(files.begin(), files.end());
  return files;
}

std::string ReadText(const std::filesystem::path& root, const std::string& file) {
  std::ifstream in(root / file);
  return {std::istreambuf_iterator<char>(in), {}};
}

std::vector<Include> IncludesOf(const std::filesystem::path& root, const std::string& folder) {
  std::vector<Include> all;
  for (const std::string& file : SourceFiles(root, folder)) {
    for (Include& include : ParseIncludes(file, ReadText(root, file)))
      all.push_back(std::move(include));
  }
  return all;
}

}  // namespace lockstep::style
