// What the tests of the kernel families share: backends, data, layouts.
#ifndef LOCKSTEP_TESTS_KERNELS_KERNEL_TEST_H_
#define LOCKSTEP_TESTS_KERNELS_KERNEL_TEST_H_

#include <gtest/gtest.h>

#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include "kernels/cpu/backend.h"
#include "kernels/cpu/parallel.h"
#include "kernels/math/philox.h"

namespace lockstep::test {

// A backend for each instruction set that this machine runs, so that all of them are tested.
inline std::vector<std::shared_ptr<Backend>> Backends(int threads = 2) {
  std::vector<std::shared_ptr<Backend>> backends;
  for (const cpu::Isa isa : cpu::SupportedIsas()) {
    backends.push_back(std::make_shared<cpu::CpuBackend>(threads, isa));
  }
  return backends;
}

// The best one, on `threads` threads.
inline std::shared_ptr<Backend> BestBackend(int threads = 2) { return Backends(threads).back(); }

// `size` numbers uniform in [low, high), the same on every machine.
template <typename T>
std::vector<T> Numbers(int64_t size, uint64_t seed, double low = -1, double high = 1) {
  std::vector<T> v(static_cast<size_t>(size));
  for (size_t i = 0; i < v.size(); ++i) {
    const double unit = static_cast<double>(Mix64(seed * 1000003 + i) >> 11) * 0x1p-53;
    v[i] = static_cast<T>(low + (high - low) * unit);
  }
  return v;
}

inline int64_t Size(const PictureShape& s) { return s.n * s.c * s.h * s.w; }

// The formula of kernels/layout.h.
inline size_t At(const PictureShape& s, Layout l, int64_t n, int64_t c, int64_t h, int64_t w) {
  return static_cast<size_t>((((n * (s.c / l.block) + c / l.block) * s.h + h) * s.w + w) * l.block +
                             c % l.block);
}

// body(n, c, h, w) in plain order.
template <typename Body>
void ForEach(const PictureShape& s, const Body& body) {
  for (int64_t n = 0; n < s.n; ++n) {
    for (int64_t c = 0; c < s.c; ++c) {
      for (int64_t h = 0; h < s.h; ++h) {
        for (int64_t w = 0; w < s.w; ++w) body(n, c, h, w);
      }
    }
  }
}

// Every block that divides c, up to 32, and c itself.
inline std::vector<Layout> Layouts(int64_t c) {
  std::vector<Layout> layouts;
  for (int64_t block = 1; block <= c; ++block) {
    if (c % block == 0 && (block <= 32 || block == c)) layouts.push_back({block});
  }
  return layouts;
}

template <typename T>
constexpr double Tolerance() {
  return sizeof(T) == 4 ? 2e-5 : 1e-12;
}

// |a - b| <= tolerance * max(1, |b|) for every element.
template <typename T, typename U>
void ExpectClose(const std::vector<T>& a, const std::vector<U>& b, double tolerance,
                 const std::string& what) {
  ASSERT_EQ(a.size(), b.size()) << what;
  for (size_t i = 0; i < a.size(); ++i) {
    const double found = static_cast<double>(a[i]);
    const double wanted = static_cast<double>(b[i]);
    if (found == wanted) continue;  // infinities too
    ASSERT_NEAR(found, wanted, tolerance * std::max(1.0, std::abs(wanted)))
        << what << " at " << i << " of " << a.size();
  }
}

}  // namespace lockstep::test

#endif  // LOCKSTEP_TESTS_KERNELS_KERNEL_TEST_H_
