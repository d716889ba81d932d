#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>

#include "kernels/backend.h"
#include "kernels/cuda/device.h"
#include "kernels/error.h"

namespace lockstep::cuda {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

std::optional<DeviceError> Objection(const DeviceCount& found, int index) {
  try {
    CheckIndex(found, index);
  } catch (const DeviceError& e) {
    return e;
  }
  return std::nullopt;
}

TEST(CudaDevice, EveryReasonForHavingNoneIsOneLineThatSaysWhatToDo) {
  struct Case {
    DeviceCount found;
    const char* told;
  };
  const std::vector<Case> cases = {
      {{cudaErrorInsufficientDriver, 0, 0, 13000}, "no NVIDIA driver answers"},
      {{cudaErrorInsufficientDriver, 0, 12040, 13000},
       "driver is for CUDA 12.4, this program wants 13.0"},
      {{cudaErrorNoDevice, 0, 13000, 13000}, "finds no GPU"},
      {{cudaSuccess, 0, 13000, 13000}, "finds no GPU"},
      {{cudaErrorSystemNotReady, 0, 13000, 13000}, "cudaErrorSystemNotReady"},
  };
  for (const Case& c : cases) {
    const auto e = Objection(c.found, 0);
    ASSERT_TRUE(e) << c.told;
    EXPECT_THAT(e->what(), AllOf(HasSubstr(c.told), HasSubstr("cuda:0"), HasSubstr("--device cpu"),
                                 Not(HasSubstr("\n"))));
    EXPECT_EQ(e->code(), ExitCode::kNoResources);
  }
}

TEST(CudaDevice, AnIndexOutOfRangeIsAUsageErrorThatNamesTheRange) {
  const DeviceCount two{cudaSuccess, 2, 13000, 13000};
  EXPECT_FALSE(Objection(two, 0));
  EXPECT_FALSE(Objection(two, 1));
  for (const int index : {2, -1}) {
    const auto e = Objection(two, index);
    ASSERT_TRUE(e) << index;
    EXPECT_THAT(e->what(), AllOf(HasSubstr("cuda:" + std::to_string(index)),
                                 HasSubstr("found 2 GPUs, cuda:0 to cuda:1")));
    EXPECT_EQ(e->code(), ExitCode::kUsage);
  }
  EXPECT_THAT(Objection({cudaSuccess, 1, 13000, 13000}, 7)->what(), HasSubstr("only cuda:0"));
}

TEST(CudaDevice, AFailedCallIsNamedWithItsReason) {
  EXPECT_NO_THROW(Check(cudaSuccess, "copying a batch"));
  try {
    Check(cudaErrorIllegalAddress, "copying a batch");
    FAIL();
  } catch (const DeviceError& e) {
    EXPECT_THAT(e.what(),
                AllOf(HasSubstr("copying a batch"), HasSubstr("cudaErrorIllegalAddress")));
  }
}

// With a driver and without one: whichever machine this is.
TEST(CudaDevice, AMachineWithoutOneGetsAnAnswerNotACrash) {
  const DeviceCount found = CountDevices();
  EXPECT_GE(found.runtime_version, 13000);
  if (found.devices > 0) GTEST_SKIP() << "this machine has " << found.devices << " GPUs";
  EXPECT_THROW(MakeCudaBackend(0), DeviceError);
}

}  // namespace
}  // namespace lockstep::cuda
