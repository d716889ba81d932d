// NVIDIA's libraries, opened at run time: a program linked with them would not start on a machine
// without them.
#ifndef LOCKSTEP_KERNELS_CUDA_LIBRARY_H_
#define LOCKSTEP_KERNELS_CUDA_LIBRARY_H_

#include <cstddef>
#include <string>
#include <vector>

namespace lockstep::cuda {

// Where a library is looked for, in order: in `folders` and, for each, its lib, lib64 and */lib (as
// PyTorch's site-packages/nvidia has them), then where the loader looks, then in the toolkit.
struct LibraryFolders {
  std::vector<std::string> folders;
  std::vector<std::string> toolkit;
};

// LOCKSTEP_CUDA_LIBRARIES (folders separated by colons), then CUDA_HOME and the toolkit that this
// program was built with.
LibraryFolders StandardFolders();

class Library {
 public:
  // `file` as "libcudnn.so.9", `name` as "cuDNN 9". Throws DeviceError that names the library,
  // where it was looked for and what to do.
  Library(const std::string& file, const std::string& name, const LibraryFolders& where);

  // *function = the symbol. Throws DeviceError where the library has none.
  template <typename Function>
  void Load(const char* symbol, Function** function) const {
    *function = reinterpret_cast<Function*>(Find(symbol));
  }
  // Throws DeviceError unless the version found, written as `found`, is `right`.
  void CheckVersion(bool right, const std::string& found, const std::string& wanted) const;
  // The text of a version as NVIDIA's libraries number them, 10000 * major + 100 * minor + patch.
  // Throws DeviceError unless it has this major.
  std::string CheckMajor(size_t version, int major) const;

  const std::string& path() const { return path_; }

 private:
  void* Find(const char* symbol) const;

  std::string name_;
  std::string path_;
  // Never closed: these libraries leave threads and exit handlers behind.
  void* handle_ = nullptr;
};

}  // namespace lockstep::cuda

#endif  // LOCKSTEP_KERNELS_CUDA_LIBRARY_H_
