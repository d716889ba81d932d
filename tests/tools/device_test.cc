#include "tools/device.h"

#include <gmock/gmock.h>

#include "kernels/error.h"

namespace lockstep::tools {
namespace {

using testing::AllOf;
using testing::HasSubstr;

std::string Refusal(const DeviceChoice& choice, int visible) {
  try {
    ChooseDevice(choice, visible);
  } catch (const ConfigError& error) {
    EXPECT_EQ(error.code(), ExitCode::kUsage);
    return error.what();
  }
  return "";
}

TEST(ChooseDevice, AutoTakesAGpuWhereEveryProcessOfTheHostHasOne) {
  EXPECT_EQ(ChooseDevice({}, 1).gpu, 0);
  EXPECT_EQ(ChooseDevice({.local_rank = 2, .local_ranks = 3}, 3).gpu, 2);
  EXPECT_EQ(ChooseDevice({.local_rank = 0, .local_ranks = 3}, 2).gpu, -1);
  EXPECT_THAT(ChooseDevice({.local_rank = 0, .local_ranks = 3}, 2).note,
              AllOf(HasSubstr("2 GPUs"), HasSubstr("3 processes"), HasSubstr("CPU")));
}

TEST(ChooseDevice, AutoSaysNothingOfAMachineWithoutGpus) {
  EXPECT_EQ(ChooseDevice({}, 0).gpu, -1);
  EXPECT_EQ(ChooseDevice({}, 0).note, "");
  EXPECT_EQ(ChooseDevice({.device = "cpu"}, 4).gpu, -1);
  EXPECT_EQ(ChooseDevice({.device = "cpu", .allowed_gpus = 0}, 4).note, "");
  EXPECT_THAT(ChooseDevice({.device = "cpu", .allowed_gpus = 1}, 4).note,
              HasSubstr("SM_NUM_GPUS allows 1 GPU: using the CPU"));
}

TEST(ChooseDevice, ThePlatformsNumberCountsAlsoWhereMoreAreVisible) {
  EXPECT_EQ(ChooseDevice({.allowed_gpus = 0}, 8).gpu, -1);
  EXPECT_EQ(ChooseDevice({.allowed_gpus = 0}, 8).note, "");
  EXPECT_EQ(ChooseDevice({.allowed_gpus = 1, .local_rank = 1, .local_ranks = 2}, 8).gpu, -1);
  EXPECT_EQ(ChooseDevice({.device = "cuda:1", .allowed_gpus = 2}, 8).gpu, 1);
  EXPECT_THAT(Refusal({.device = "cuda:2", .allowed_gpus = 2}, 8),
              HasSubstr("SM_NUM_GPUS allows 2 GPUs"));
  EXPECT_THAT(Refusal({.device = "cuda", .allowed_gpus = 0}, 8), HasSubstr("SM_NUM_GPUS"));
}

TEST(ChooseDevice, AGpuThatThePlatformPromisesAndThatIsNotThereIsTold) {
  const ChosenDevice chosen = ChooseDevice({.allowed_gpus = 4}, 0);
  EXPECT_EQ(chosen.gpu, -1);
  EXPECT_THAT(chosen.note, AllOf(HasSubstr("4 GPUs"), HasSubstr("no GPU answers")));
}

TEST(ChooseDevice, EveryProcessGetsItsOwnUnlessOneIsNamed) {
  EXPECT_EQ(ChooseDevice({.device = "cuda", .local_rank = 1, .local_ranks = 2}, 2).gpu, 1);
  EXPECT_EQ(ChooseDevice({.device = "cuda:0", .local_rank = 1, .local_ranks = 2}, 1).gpu, 0);
  EXPECT_THAT(Refusal({.device = "cuda", .local_rank = 0, .local_ranks = 3}, 2),
              AllOf(HasSubstr("3 processes"), HasSubstr("2 GPUs")));
}

TEST(ChooseDevice, OtherNamesAreRefused) {
  for (const char* name :
       {"", "gpu", "cuda:", "cuda:x", "cuda:-1", "cuda:1x", "CUDA", "cuda:9999999999"}) {
    EXPECT_THAT(Refusal({.device = name}, 2), HasSubstr("wants auto, cpu, cuda or cuda:N")) << name;
  }
}

TEST(ProcessesFor, OneForEachGpuThatMayBeUsed) {
  EXPECT_EQ(ProcessesFor({}, 0), 1);
  EXPECT_EQ(ProcessesFor({}, 4), 4);
  EXPECT_EQ(ProcessesFor({.device = "cuda"}, 4), 4);
  EXPECT_EQ(ProcessesFor({.device = "cuda", .allowed_gpus = 2}, 4), 2);
  EXPECT_EQ(ProcessesFor({.allowed_gpus = 8}, 4), 4);
  EXPECT_EQ(ProcessesFor({.allowed_gpus = 0}, 4), 1);
  EXPECT_EQ(ProcessesFor({.device = "cuda:3"}, 4), 1);
  EXPECT_EQ(ProcessesFor({.device = "cpu", .allowed_gpus = 4}, 4), 1);
}

TEST(OpenDevice, TheCpuIsThereAlways) {
  EXPECT_EQ(OpenDevice({.device = "cpu"}, 1).backend->name(), "cpu");
  EXPECT_EQ(OpenDevice({.allowed_gpus = 0}, 1).backend->name(), "cpu");
  EXPECT_NE(OpenDevice({}, 1).backend, nullptr);
}

TEST(OpenDevice, AGpuThatIsNotThereIsAnAnswer) {
  if (CountCudaDevices() > 0) GTEST_SKIP() << "there is a GPU";
  EXPECT_THROW(OpenDevice({.device = "cuda:0"}, 1), DeviceError);
}

}  // namespace
}  // namespace lockstep::tools
