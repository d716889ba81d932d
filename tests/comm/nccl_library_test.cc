// NCCL opens on machines without a GPU, too.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <string>

#include "comm/nccl/library_internal.h"
#include "kernels/error.h"
#include "tests/temporary_directory.h"

namespace lockstep::nccl {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

// What is told of `library` where PyTorch's site-packages/nvidia has it.
std::string ToldOf(const std::string& library) {
  const TemporaryDirectory nvidia;
  const std::filesystem::path lib = std::filesystem::path(nvidia.path()) / "nccl" / "lib";
  std::filesystem::create_directories(lib);
  std::filesystem::create_symlink(library, lib / "libnccl.so.2");
  try {
    LoadNccl({{nvidia.path()}, {}});
  } catch (const DeviceError& error) {
    EXPECT_EQ(error.code(), ExitCode::kNoResources);
    EXPECT_THAT(error.what(), AllOf(HasSubstr((lib / "libnccl.so.2").string()),
                                    HasSubstr("LOCKSTEP_CUDA_LIBRARIES"), Not(HasSubstr("\n"))));
    return error.what();
  }
  return "no error";
}

TEST(NcclLibrary, OfTheToolkitIsTheVersionOfItsHeader) {
  const Nccl nccl = LoadNccl(cuda::StandardFolders());
  EXPECT_THAT(nccl.version, StartsWith(std::to_string(NCCL_MAJOR) + "."));
  EXPECT_THAT(nccl.Text(ncclInvalidUsage, nullptr),
              AllOf(StartsWith("NCCL " + nccl.version + ": invalid usage"), Not(HasSubstr("\n"))));
}

TEST(NcclLibrary, AnotherVersionIsNamed) {
  EXPECT_THAT(ToldOf(LOCKSTEP_FAKE_NCCL), HasSubstr("is version 3.14.5, wanted 2.x"));
}

TEST(NcclLibrary, AnotherLibraryOfThatNameIsNamed) {
  EXPECT_THAT(ToldOf("/lib/x86_64-linux-gnu/libm.so.6"),
              HasSubstr("has no function ncclGetVersion"));
}

}  // namespace
}  // namespace lockstep::nccl
