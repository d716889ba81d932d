#include "kernels/cpu/softmax.h"

#include <algorithm>

#include "kernels/cpu/parallel.h"
#include "kernels/math/bad_label.h"

namespace lockstep::cpu {
namespace {

// Chunks of items whose partial sums are added in order.
constexpr int64_t kChunks = 64;

// The size of a chunk, a function of the work alone.
int64_t ChunkSize(int64_t items, int64_t smallest) {
  return std::max(smallest, (items + kChunks - 1) / kChunks);
}

// The number of rows with a label; throws for one that is none.
int64_t CountLabels(int64_t rows, int64_t classes, const int32_t* labels) {
  int64_t count = 0;
  for (int64_t r = 0; r < rows; ++r) {
    if (labels[r] < -1 || labels[r] >= classes) {
      throw FormatError(math::Text({rows, r, classes, labels[r]}));
    }
    count += labels[r] >= 0 ? 1 : 0;
  }
  return count;
}

void StoreLoss(DType dtype, double total, void* loss) {
  if (loss == nullptr) return;
  if (dtype == DType::kFloat64) {
    *static_cast<double*>(loss) = total;
  } else {
    *static_cast<float*>(loss) = static_cast<float>(total);
  }
}

}  // namespace

void CpuSoftmax::Forward(DType dtype, int64_t rows, int64_t classes, const void* x, void* y) {
  if (classes <= 0) return;
  WithType(*isa_, dtype, [&](const auto& loops, auto* type) {
    ParallelFor(rows, GrainOf(8 * classes), [&](int64_t begin, int64_t end) {
      loops.softmax.forward(end - begin, classes, As(x, type) + begin * classes,
                            As(y, type) + begin * classes);
    });
  });
}

void CpuSoftmax::Backward(DType dtype, int64_t rows, int64_t classes, const void* y, const void* dy,
                          void* dx) {
  WithType(*isa_, dtype, [&](const auto& loops, auto* type) {
    ParallelFor(rows, GrainOf(classes), [&](int64_t begin, int64_t end) {
      const int64_t at = begin * classes;
      loops.softmax.backward(end - begin, classes, As(y, type) + at, As(dy, type) + at,
                             As(dx, type) + at);
    });
  });
}

void CpuSoftmax::CrossEntropy(DType dtype, int64_t rows, int64_t classes, const void* x,
                              const int32_t* labels, LossSums* sums, void* loss, void* dx) {
  const int64_t count = CountLabels(rows, classes, labels);
  const int64_t chunk = ChunkSize(rows, 16);
  const int64_t chunks = (rows + chunk - 1) / chunk;
  CrossEntropySums parts[kChunks];
  WithType(*isa_, dtype, [&](const auto& loops, auto* type) {
    ParallelFor(chunks, GrainOf(8 * chunk * classes), [&](int64_t begin, int64_t end) {
      for (int64_t k = begin; k < end; ++k) {
        const int64_t row = k * chunk;
        auto* gradient = dx == nullptr ? nullptr : As(dx, type) + row * classes;
        parts[k] = loops.softmax.cross_entropy(std::min(chunk, rows - row), classes,
                                               As(x, type) + row * classes, labels + row, gradient);
      }
    });
  });
  double total = 0;
  int64_t correct = 0;
  for (int64_t k = 0; k < chunks; ++k) {
    total += parts[k].loss;
    correct += parts[k].correct;
  }
  StoreLoss(dtype, total, loss);
  sums->loss += total;
  sums->count += count;
  sums->metric += static_cast<double>(correct);
  sums->metric_count += rows;
}

void CpuSoftmax::SquaredError(DType dtype, int64_t size, const void* x, const void* target,
                              LossSums* sums, void* loss, void* dx) {
  const int64_t chunk = ChunkSize(size, 4096);
  const int64_t chunks = (size + chunk - 1) / chunk;
  double parts[kChunks];
  WithType(*isa_, dtype, [&](const auto& loops, auto* type) {
    ParallelFor(chunks, GrainOf(chunk), [&](int64_t begin, int64_t end) {
      for (int64_t k = begin; k < end; ++k) {
        const int64_t at = k * chunk;
        auto* gradient = dx == nullptr ? nullptr : As(dx, type) + at;
        parts[k] = loops.softmax.squared_error(std::min(chunk, size - at), As(x, type) + at,
                                               As(target, type) + at, gradient);
      }
    });
  });
  double total = 0;
  for (int64_t k = 0; k < chunks; ++k) total += parts[k];
  StoreLoss(dtype, total, loss);
  sums->loss += total;
  sums->count += size;
  sums->metric += total;
  sums->metric_count += size;
}

}  // namespace lockstep::cpu
