#include "kernels/cuda/library.h"

#include <dlfcn.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <sstream>

#include "kernels/error.h"

namespace lockstep::cuda {
namespace {

namespace fs = std::filesystem;

constexpr char kVariable[] = "LOCKSTEP_CUDA_LIBRARIES";

std::vector<std::string> SplitAtColons(const char* text) {
  std::vector<std::string> parts;
  std::istringstream in(text == nullptr ? "" : text);
  for (std::string part; std::getline(in, part, ':');) {
    if (!part.empty()) parts.push_back(part);
  }
  return parts;
}

// `folder` and the folders in it that hold libraries; sorted, so that the choice is always the
// same.
std::vector<fs::path> WithSubfolders(const fs::path& folder) {
  std::vector<fs::path> all = {folder, folder / "lib", folder / "lib64"};
  std::vector<fs::path> packages;
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(folder, ignored)) {
    packages.push_back(entry.path() / "lib");
  }
  std::sort(packages.begin(), packages.end());
  all.insert(all.end(), packages.begin(), packages.end());
  return all;
}

void* Open(const std::string& path) { return dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL); }

// The library in one of `folders`, or null. A file that is there and does not open is `objection`.
void* OpenIn(const std::vector<std::string>& folders, const std::string& file, std::string* path,
             std::string* objection) {
  for (const std::string& folder : folders) {
    for (const fs::path& place : WithSubfolders(folder)) {
      std::error_code ignored;
      if (!fs::exists(place / file, ignored)) continue;
      *path = (place / file).string();
      if (void* const handle = Open(*path)) return handle;
      if (objection->empty()) *objection = dlerror();
    }
  }
  return nullptr;
}

std::string Listed(const std::vector<std::string>& folders) {
  std::string all;
  for (const std::string& folder : folders) all += (all.empty() ? "" : ", ") + folder;
  return all.empty() ? "nothing" : all;
}

}  // namespace

LibraryFolders StandardFolders() {
  LibraryFolders where{SplitAtColons(std::getenv(kVariable)), {}};
  if (const char* const home = std::getenv("CUDA_HOME")) where.toolkit.emplace_back(home);
  where.toolkit.emplace_back(LOCKSTEP_CUDA_LIBRARY_DIR);
  return where;
}

Library::Library(const std::string& file, const std::string& name, const LibraryFolders& where)
    : name_(name), path_(file) {
  std::string objection;
  handle_ = OpenIn(where.folders, file, &path_, &objection);
  if (handle_ == nullptr) handle_ = Open(path_ = file);
  if (handle_ == nullptr) handle_ = OpenIn(where.toolkit, file, &path_, &objection);
  if (handle_ != nullptr) return;
  std::string told = name + " (" + file + ") ";
  told += objection.empty() ? "was not found" : "does not open: " + objection;
  throw DeviceError(told + "; looked in " + kVariable + " (" + Listed(where.folders) +
                    "), where the loader looks, and in " + Listed(where.toolkit) +
                    "; install it or name its folder (PyTorch's site-packages/nvidia will do) in " +
                    kVariable);
}

void* Library::Find(const char* symbol) const {
  void* const found = dlsym(handle_, symbol);
  if (found != nullptr) return found;
  throw DeviceError(name_ + " at " + path_ + " has no function " + symbol +
                    "; install another version or name its folder in " + kVariable);
}

void Library::CheckVersion(bool right, const std::string& found, const std::string& wanted) const {
  if (right) return;
  throw DeviceError(name_ + " at " + path_ + " is version " + found + ", wanted " + wanted +
                    "; install that or name its folder in " + kVariable);
}

std::string Library::CheckMajor(size_t version, int major) const {
  std::string text = std::to_string(version / 10000) + "." + std::to_string(version / 100 % 100) +
                     "." + std::to_string(version % 100);
  CheckVersion(version / 10000 == static_cast<size_t>(major), text, std::to_string(major) + ".x");
  return text;
}

}  // namespace lockstep::cuda
