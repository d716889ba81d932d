// A part of a matrix product.
#ifndef LOCKSTEP_KERNELS_CPU_GEMM_SUB_PRODUCT_H_
#define LOCKSTEP_KERNELS_CPU_GEMM_SUB_PRODUCT_H_

#include <cstdint>

#include "kernels/cpu/gemm/product.h"

namespace lockstep::cpu::gemm {

struct Range {
  int64_t begin, end;
};

// Rows m and columns n of C.
template <typename T>
Product<T> SubProduct(const Product<T>& whole, Range m, Range n) {
  Product<T> p = whole;
  p.m = m.end - m.begin;
  p.n = n.end - n.begin;
  p.a += m.begin * p.a_m;
  p.b += n.begin * p.b_n;
  p.c += m.begin * p.c_m + n.begin * p.c_n;
  if (p.bias_m != nullptr) p.bias_m += m.begin;
  if (p.bias_n != nullptr) p.bias_n += n.begin;
  return p;
}

}  // namespace lockstep::cpu::gemm

#endif  // LOCKSTEP_KERNELS_CPU_GEMM_SUB_PRODUCT_H_
