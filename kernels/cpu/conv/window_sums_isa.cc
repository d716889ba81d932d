// WindowTable, compiled once per instruction set.
#include "kernels/cpu/conv/window_sums.h"
#include "kernels/cpu/gemm/list_isa.h"

namespace lockstep::cpu::LOCKSTEP_ISA {
namespace {

bool AllFinite(const float* values, int64_t size) {
  float sum = 0;  // of 0 * element: 0 or NaN
  int64_t i = 0;
  Vector<float> sums[4] = {};
  for (; i + 4 * kLanes<float> <= size; i += 4 * kLanes<float>) {
#pragma GCC unroll 4
    for (int q = 0; q < 4; ++q) {
      sums[q] += *reinterpret_cast<const Vector<float>*>(values + i + q * kLanes<float>) * 0.0F;
    }
  }
  for (; i < size; ++i) sum += values[i] * 0.0F;
  const Vector<float> all = (sums[0] + sums[1]) + (sums[2] + sums[3]);
  for (int lane = 0; lane < kLanes<float>; ++lane) sum += all[lane];
  return sum == 0.0F;
}

Nonzero<float>* List(const float* values, int64_t size, const uint32_t* rows, Nonzero<float>* to) {
  return ListAllNonzeros(values, size, TableRow(rows), to);
}

void Add(const Nonzero<float>* begin, const Nonzero<float>* end, const float* from, int64_t columns,
         float* to) {
  using V = Vector<float>;
  alignas(64) float sums[kStripColumns<float>];
  for (int64_t j0 = 0; j0 < columns; j0 += kStripColumns<float>) {
    const int64_t left = columns - j0;
    const int64_t some = left < kStripColumns<float> ? left : kStripColumns<float>;
    const int64_t vectors = (some + kLanes<float> - 1) / kLanes<float>;
    AddNonzerosOf<float>(static_cast<int>(vectors))(begin, end, from + j0, nullptr, sums);
    float* const at = to + j0;
    int64_t j = 0;
    for (; j + kLanes<float> <= some; j += kLanes<float>) {
      *reinterpret_cast<V*>(at + j) += *reinterpret_cast<const V*>(sums + j);
    }
    for (; j < some; ++j) at[j] += sums[j];
  }
}

}  // namespace

extern const WindowTable kWindowTable;
const WindowTable kWindowTable = {kLanes<float>, CountNonzeros<float>, AllFinite, List, Add};

}  // namespace lockstep::cpu::LOCKSTEP_ISA
