#include "tools/kernel_works.h"

#include <algorithm>
#include <array>

#include "kernels/error.h"
#include "kernels/shape.h"
#include "tools/kernel_bench.h"

namespace lockstep::tools {
namespace {

struct Family {
  const char* name;
  void (*add)(KernelBench& bench);
};

constexpr std::array<Family, 11> kFamilies{{{"conv", AddConvWorks},
                                            {"gemm", AddGemmWorks},
                                            {"norm", AddNormWorks},
                                            {"pool", AddPoolWorks},
                                            {"softmax", AddSoftmaxWorks},
                                            {"elementwise", AddElementwiseWorks},
                                            {"reduce", AddReduceWorks},
                                            {"random", AddRandomWorks},
                                            {"picture", AddPictureWorks},
                                            {"optimizer", AddOptimizerWorks},
                                            {"memory", AddMemoryWorks}}};

}  // namespace

PictureShape KernelBench::ManyPictures() const {
  return {std::max<int64_t>(many() / (64 * 32 * 32), 1), 64, 32, 32};
}

float* KernelBench::Floats(int64_t size, double low, double high) {
  float* const memory = Take<float>(size);
  backend_.random().FillUniform(DType::kFloat32, memory_.size(), low, high, size, memory);
  return memory;
}

void KernelBench::Add(const KernelWork& work) {
  visit_(work);
  backend_.Synchronize();
  memory_.clear();
}

std::string PictureText(const PictureShape& s) { return Shape({s.n, s.c, s.h, s.w}).ToString(); }

Layout LayoutOf(const KernelBench& bench, const PictureShape& s) {
  return bench.backend().conv().Layouts(s.c, DType::kFloat32).front();
}

std::vector<std::string> KernelFamilies() {
  std::vector<std::string> names;
  names.reserve(kFamilies.size());
  for (const Family& family : kFamilies) names.emplace_back(family.name);
  return names;
}

void VisitKernelWorks(Backend& backend, const std::string& family, const KernelSizes& sizes,
                      const std::function<void(const KernelWork&)>& visit) {
  const auto found = std::find_if(kFamilies.begin(), kFamilies.end(),
                                  [&](const Family& each) { return family == each.name; });
  if (found == kFamilies.end()) throw ConfigError("no kernel family " + family);
  KernelBench bench(backend, sizes, visit);
  found->add(bench);
}

}  // namespace lockstep::tools
