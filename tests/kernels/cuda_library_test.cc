// NVIDIA's libraries open on machines without a GPU, too.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "kernels/cuda/cublaslt.h"
#include "kernels/cuda/cudnn.h"
#include "kernels/cuda/library.h"
#include "kernels/error.h"
#include "tests/temporary_directory.h"

namespace lockstep::cuda {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

template <typename Body>
std::string Told(const Body& body) {
  try {
    body();
  } catch (const DeviceError& e) {
    return e.what();
  }
  return "no error";
}

TEST(CudaLibrary, CublasLtOfTheToolkitIsTheVersionOfItsHeader) {
  const CublasLt lt = LoadCublasLt(StandardFolders());
  EXPECT_THAT(lt.version, StartsWith(std::to_string(CUBLAS_VER_MAJOR) + "."));
  EXPECT_THAT(Told([&] { lt.Check(CUBLAS_STATUS_NOT_SUPPORTED, "a product"); }),
              AllOf(HasSubstr("a product by cuBLASLt " + lt.version), HasSubstr("not supported")));
  EXPECT_NO_THROW(lt.Check(CUBLAS_STATUS_SUCCESS, "a product"));
}

TEST(CudaLibrary, CudnnOfTheToolkitIsTheVersionOfItsHeader) {
  const Cudnn dnn = LoadCudnn(StandardFolders());
  EXPECT_THAT(dnn.version, StartsWith(std::to_string(CUDNN_MAJOR) + "."));
  EXPECT_THAT(Told([&] { dnn.Check(CUDNN_STATUS_BAD_PARAM, "a convolution"); }),
              AllOf(HasSubstr("a convolution by cuDNN " + dnn.version), HasSubstr("BAD_PARAM")));
}

TEST(CudaLibrary, AMissingOneIsNamedWithWhereItWasLookedFor) {
  EXPECT_THAT(Told([] {
                Library("libnowhere.so.7", "Nowhere 7", {{"/a", "/b"}, {"/c"}});
              }),
              AllOf(HasSubstr("Nowhere 7 (libnowhere.so.7) was not found"), HasSubstr("/a, /b"),
                    HasSubstr("/c"), HasSubstr("LOCKSTEP_CUDA_LIBRARIES"), Not(HasSubstr("\n"))));
}

// As in PyTorch's site-packages: nvidia/cudnn/lib/libcudnn.so.9.
TEST(CudaLibrary, APackageFolderIsLookedAtBeforeTheLoadersFolders) {
  const TemporaryDirectory directory;
  const std::filesystem::path lib = std::filesystem::path(directory.path()) / "cudnn" / "lib";
  std::filesystem::create_directories(lib);
  // Any library will do: this one needs no other.
  std::filesystem::create_symlink("/lib/x86_64-linux-gnu/libm.so.6", lib / "libcudnn.so.9");
  const LibraryFolders where{{directory.path()}, {}};
  EXPECT_EQ(Library("libcudnn.so.9", "cuDNN 9", where).path(), (lib / "libcudnn.so.9").string());
  EXPECT_THAT(Told([&] { LoadCudnn(where); }), AllOf(HasSubstr((lib / "libcudnn.so.9").string()),
                                                     HasSubstr("has no function cudnnGetVersion")));
}

TEST(CudaLibrary, AFileThatIsNoLibraryIsNamedWithTheLoadersReason) {
  const TemporaryDirectory directory;
  const std::string file = "libnowhere.so.7";
  std::filesystem::create_directories(std::filesystem::path(directory.path()) / file);
  EXPECT_THAT(Told([&] {
                Library(file, "Nowhere 7", {{directory.path()}, {}});
              }),
              HasSubstr("does not open: "));
}

TEST(CudaLibrary, AnotherVersionIsNamed) {
  const Library library("libm.so.6", "Maths", {});
  EXPECT_THAT(Told([&] { library.CheckVersion(false, "8.9.7", "9.x"); }),
              HasSubstr("Maths at libm.so.6 is version 8.9.7, wanted 9.x"));
  EXPECT_NO_THROW(library.CheckVersion(true, "9.1", "9.x"));
  EXPECT_EQ(library.CheckMajor(130201, 13), "13.2.1");
  EXPECT_THAT(Told([&] { library.CheckMajor(91002, 8); }),
              HasSubstr("is version 9.10.2, wanted 8.x"));
}

}  // namespace
}  // namespace lockstep::cuda
