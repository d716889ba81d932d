// Reads the #include lines of the tree.
#ifndef LOCKSTEP_TESTS_STYLE_INCLUDES_H_
#define LOCKSTEP_TESTS_STYLE_INCLUDES_H_

#include <filesystem>
#include <string>
#include <vector>

namespace lockstep::style {

struct Include {
  std::string file;    // relative to the root of the tree, '/' between folders
  int line = 0;        // from 1
  std::string target;  // what stands between the quotes or brackets
  bool quoted = false;

  // "kernels/shape.cc:3: "
  std::string Where() const;
};

// First folder of a relative path: "kernels" of "kernels/cpu/gemm.cc".
std::string TopFolder(const std::string& path);

// Every include of the text, which is that of `file`.
std::vector<Include> ParseIncludes(const std::string& file, const std::string& text);

// Relative paths of the C++ files (.h, .cc, .cu, .cuh) below root/folder; none when it is missing.
std::vector<std::string> SourceFiles(const std::filesystem::path& root, const std::string& folder);

// The whole text of root/file.
std::string ReadText(const std::filesystem::path& root, const std::string& file);

// Every include of every C++ file below root/folder.
std::vector<Include> IncludesOf(const std::filesystem::path& root, const std::string& folder);

}  // namespace lockstep::style

#endif  // LOCKSTEP_TESTS_STYLE_INCLUDES_H_
