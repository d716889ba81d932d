#include "tests/conformance/ctest_files.h"

#include <array>
#include <cstdio>
#include <stdexcept>

namespace lockstep::conformance {
namespace {

// The value of attribute="..." in a line of XML, with its entities undone; "" when absent.
std::string Attribute(const std::string& line, const std::string& name) {
  const std::string start = " " + name + "=\"";
  const size_t begin = line.find(start);
  if (begin == std::string::npos) return "";
  const size_t from = begin + start.size();
  std::string value = line.substr(from, line.find('"', from) - from);
  constexpr std::array<std::pair<const char*, const char*>, 4> kEntities = {
      {{"&lt;", "<"}, {"&gt;", ">"}, {"&quot;", "\""}, {"&amp;", "&"}}};
  for (const auto& [entity, character] : kEntities) {
    for (size_t at; (at = value.find(entity)) != std::string::npos;) {
      value.replace(at, std::string(entity).size(), character);
    }
  }
  return value;
}

std::string Output(const std::string& command) {
  std::FILE* pipe = popen(command.c_str(), "r");
  if (pipe == nullptr) throw std::runtime_error("cannot run: " + command);
  std::string text;
  std::array<char, 4096> buffer;
  for (size_t n; (n = std::fread(buffer.data(), 1, buffer.size(), pipe)) > 0;) {
    text.append(buffer.data(), n);
  }
  if (pclose(pipe) != 0) throw std::runtime_error("failed: " + command);
  return text;
}

}  // namespace

std::set<std::string> ListTests(const std::string& build_folder, const std::string& label) {
  // Lines such as "  Test  #12: Suite.Name" and, at the end, "Total Tests: 12".
  const std::string chosen = label.empty() ? "" : " --label-regex '^" + label + "$'";
  const std::string text = Output("ctest --show-only --test-dir '" + build_folder + "'" + chosen);
  std::set<std::string> tests;
  for (size_t at = 0; (at = text.find("Test ", at)) != std::string::npos;) {
    const size_t end = text.find('\n', at);
    const size_t colon = text.find(": ", at);
    if (colon < end) tests.insert(text.substr(colon + 2, end - colon - 2));
    at = end;
  }
  return tests;
}

Results ReadJunit(std::istream& in) {
  Results results;
  for (std::string line; std::getline(in, line);) {
    if (line.find("<testcase ") == std::string::npos) continue;
    const std::string status = Attribute(line, "status");
    results[Attribute(line, "name")] = status == "run"    ? Outcome::kPassed
                                       : status == "fail" ? Outcome::kFailed
                                                          : Outcome::kSkipped;
  }
  return results;
}

}  // namespace lockstep::conformance
