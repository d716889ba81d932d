// Calls of single kernels, of the shapes that training has: what `lockstep bench kernels` times.
#ifndef LOCKSTEP_TOOLS_KERNEL_WORKS_H_
#define LOCKSTEP_TOOLS_KERNEL_WORKS_H_

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "kernels/backend.h"

namespace lockstep::tools {

// One call of one kernel, to be made any number of times, on float32.
struct KernelWork {
  std::string kernel;          // of its family: "backward_data"
  std::string shape;           // "n64 c3 32x32 k64 3x3", "m64 n10 k512", "(64, 512, 2, 2)"
  std::string algorithm = {};  // of a convolution
  double flops = 0.0;          // as the direct formula counts; 0 where memory is what limits
  double bytes = 0.0;          // of what is read and what is written, each array once
  std::function<void()> run = {};
};

struct KernelSizes {
  int64_t batch_size = 64;
  double megabytes = 64.0;  // 10^6 bytes: of each array of what memory limits
};

// The families of kernels/backend.h, and "memory" for its copies.
std::vector<std::string> KernelFamilies();

// visit(work) for each work of a family: the layers of VGG and of the MLP at that batch size, and
// arrays far larger than those. A work's memory is there during its visit alone.
void VisitKernelWorks(Backend& backend, const std::string& family, const KernelSizes& sizes,
                      const std::function<void(const KernelWork&)>& visit);

}  // namespace lockstep::tools

#endif  // LOCKSTEP_TOOLS_KERNEL_WORKS_H_
