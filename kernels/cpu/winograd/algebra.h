// The one-dimensional transforms of the bilinear algorithms (isa.h has the notation); include from
// files compiled once per instruction set only.
#ifndef LOCKSTEP_KERNELS_CPU_WINOGRAD_ALGEBRA_H_
#define LOCKSTEP_KERNELS_CPU_WINOGRAD_ALGEBRA_H_

#include "kernels/cpu/winograd/vector.h"

namespace lockstep::cpu::LOCKSTEP_ISA {
namespace {

// F(4, 3) on the points 0, a, -a, b, -b and infinity: Cook-Toom, with the rows of Bt the products
// of the other points' linear factors and G divided by the derivative of their product.
struct F4 {
  static constexpr int kPoints = 6, kInputs = 6, kOutputs = 4, kTaps = 3;
  static constexpr float a = 0.625F, b = 1.5F;
  static constexpr float aa = a * a, bb = b * b;
  static constexpr float g0 = 1 / (aa * bb), ga = 1 / (2 * aa * (aa - bb)),
                         gb = 1 / (2 * bb * (bb - aa));

  static LOCKSTEP_INLINE void Input(const Vec* x, Vec* v) {  // Bt
    const Vec p = x[4] - bb * x[2], q = a * (x[3] - bb * x[1]);
    const Vec r = x[4] - aa * x[2], s = b * (x[3] - aa * x[1]);
    v[0] = (aa * bb) * x[0] - (aa + bb) * x[2] + x[4];
    v[1] = p + q;
    v[2] = p - q;
    v[3] = r + s;
    v[4] = r - s;
    v[5] = (aa * bb) * x[1] - (aa + bb) * x[3] + x[5];
  }
  static LOCKSTEP_INLINE void Output(const Vec* m, Vec* y) {  // At
    const Vec p = m[1] + m[2], q = m[1] - m[2], r = m[3] + m[4], s = m[3] - m[4];
    y[0] = m[0] + p + r;
    y[1] = a * q + b * s;
    y[2] = aa * p + bb * r;
    y[3] = m[5] + (aa * a) * q + (bb * b) * s;
  }
  static LOCKSTEP_INLINE void OutputGradient(const Vec* y, Vec* n) {  // A
    const Vec p = y[0] + aa * y[2], q = a * (y[1] + aa * y[3]);
    const Vec r = y[0] + bb * y[2], s = b * (y[1] + bb * y[3]);
    n[0] = y[0];
    n[1] = p + q;
    n[2] = p - q;
    n[3] = r + s;
    n[4] = r - s;
    n[5] = y[3];
  }
  static LOCKSTEP_INLINE void Weights(const Vec* w, Vec* u) {  // G
    const Vec p = ga * w[0] + (ga * aa) * w[2], q = (ga * a) * w[1];
    const Vec r = gb * w[0] + (gb * bb) * w[2], s = (gb * b) * w[1];
    u[0] = g0 * w[0];
    u[1] = p + q;
    u[2] = p - q;
    u[3] = r + s;
    u[4] = r - s;
    u[5] = w[2];
  }
  static LOCKSTEP_INLINE void WeightsGradient(const Vec* d, Vec* w) {  // Gt
    const Vec p = ga * (d[1] + d[2]), q = d[1] - d[2], r = gb * (d[3] + d[4]), s = d[3] - d[4];
    w[0] = g0 * d[0] + p + r;
    w[1] = (ga * a) * q + (gb * b) * s;
    w[2] = d[5] + aa * p + bb * r;
  }
};

// F(2, 5) on the points of F(4, 3): as many inputs, other shares of taps and outputs.
struct F2Of5 {
  static constexpr int kPoints = 6, kInputs = 6, kOutputs = 2, kTaps = 5;
  static constexpr float a = F4::a, b = F4::b, aa = F4::aa, bb = F4::bb;

  static LOCKSTEP_INLINE void Input(const Vec* x, Vec* v) { F4::Input(x, v); }
  static LOCKSTEP_INLINE void Output(const Vec* m, Vec* y) {
    y[0] = m[0] + (m[1] + m[2]) + (m[3] + m[4]);
    y[1] = m[5] + a * (m[1] - m[2]) + b * (m[3] - m[4]);
  }
  static LOCKSTEP_INLINE void Weights(const Vec* w, Vec* u) {
    const Vec p = F4::ga * (w[0] + aa * (w[2] + aa * w[4]));
    const Vec q = (F4::ga * a) * (w[1] + aa * w[3]);
    const Vec r = F4::gb * (w[0] + bb * (w[2] + bb * w[4]));
    const Vec s = (F4::gb * b) * (w[1] + bb * w[3]);
    u[0] = F4::g0 * w[0];
    u[1] = p + q;
    u[2] = p - q;
    u[3] = r + s;
    u[4] = r - s;
    u[5] = w[4];
  }
  static LOCKSTEP_INLINE void OutputGradient(const Vec* y, Vec* n) {
    n[0] = y[0];
    n[1] = y[0] + a * y[1];
    n[2] = y[0] - a * y[1];
    n[3] = y[0] + b * y[1];
    n[4] = y[0] - b * y[1];
    n[5] = y[1];
  }
  static LOCKSTEP_INLINE void WeightsGradient(const Vec* d, Vec* w) {
    const Vec p = F4::ga * (d[1] + d[2]), q = (F4::ga * a) * (d[1] - d[2]);
    const Vec r = F4::gb * (d[3] + d[4]), s = (F4::gb * b) * (d[3] - d[4]);
    w[0] = F4::g0 * d[0] + p + r;
    w[1] = q + s;
    w[2] = aa * p + bb * r;
    w[3] = aa * q + bb * s;
    w[4] = d[5] + (aa * aa) * p + (bb * bb) * r;
  }
};

// F(4, 5) on the points 0, 1/2, -1/2, 1, -1, 2, -2 and infinity.
struct F4Of5 {
  static constexpr int kPoints = 8, kInputs = 8, kOutputs = 4, kTaps = 5;
  static constexpr float a = 0.5F, b = 1, c = 2;
  static constexpr float aa = a * a, bb = b * b, cc = c * c;
  static constexpr float g0 = -1 / (aa * bb * cc), ga = 1 / (2 * aa * (aa - bb) * (aa - cc)),
                         gb = 1 / (2 * bb * (bb - aa) * (bb - cc)),
                         gc = 1 / (2 * cc * (cc - aa) * (cc - bb));

  // Of the points p and -p, where qq and rr are the squares of the others.
  static LOCKSTEP_INLINE void InputPair(float p, float qq, float rr, const Vec* x, Vec* v) {
    const Vec even = x[6] - (qq + rr) * x[4] + (qq * rr) * x[2];
    const Vec odd = p * (x[5] - (qq + rr) * x[3] + (qq * rr) * x[1]);
    v[0] = even + odd;
    v[1] = even - odd;
  }
  // Of 0 where x is the first of its inputs, of infinity where it is the second.
  static LOCKSTEP_INLINE void InputEnd(const Vec* x, Vec& v) {
    v = x[6] - (aa + bb + cc) * x[4] + (aa * bb + aa * cc + bb * cc) * x[2] - (aa * bb * cc) * x[0];
  }
  static LOCKSTEP_INLINE void Input(const Vec* x, Vec* v) {
    InputEnd(x, v[0]);
    InputPair(a, bb, cc, x, v + 1);
    InputPair(b, aa, cc, x, v + 3);
    InputPair(c, aa, bb, x, v + 5);
    InputEnd(x + 1, v[7]);
  }
  static LOCKSTEP_INLINE void Output(const Vec* m, Vec* y) {
    const Vec p = m[1] + m[2], q = a * (m[1] - m[2]);
    const Vec r = m[3] + m[4], s = b * (m[3] - m[4]);
    const Vec t = m[5] + m[6], u = c * (m[5] - m[6]);
    y[0] = m[0] + p + r + t;
    y[1] = q + s + u;
    y[2] = aa * p + bb * r + cc * t;
    y[3] = m[7] + aa * q + bb * s + cc * u;
  }
  static LOCKSTEP_INLINE void OutputGradientPair(float p, const Vec* y, Vec* n) {
    const Vec even = y[0] + (p * p) * y[2], odd = p * (y[1] + (p * p) * y[3]);
    n[0] = even + odd;
    n[1] = even - odd;
  }
  static LOCKSTEP_INLINE void OutputGradient(const Vec* y, Vec* n) {
    n[0] = y[0];
    OutputGradientPair(a, y, n + 1);
    OutputGradientPair(b, y, n + 3);
    OutputGradientPair(c, y, n + 5);
    n[7] = y[3];
  }
  static LOCKSTEP_INLINE void WeightsPair(float p, float g, const Vec* w, Vec* u) {
    const Vec even = g * (w[0] + p * p * (w[2] + p * p * w[4]));
    const Vec odd = (g * p) * (w[1] + p * p * w[3]);
    u[0] = even + odd;
    u[1] = even - odd;
  }
  static LOCKSTEP_INLINE void Weights(const Vec* w, Vec* u) {
    u[0] = g0 * w[0];
    WeightsPair(a, ga, w, u + 1);
    WeightsPair(b, gb, w, u + 3);
    WeightsPair(c, gc, w, u + 5);
    u[7] = w[4];
  }
  static LOCKSTEP_INLINE void WeightsGradient(const Vec* d, Vec* w) {
    const Vec p = ga * (d[1] + d[2]), q = (ga * a) * (d[1] - d[2]);
    const Vec r = gb * (d[3] + d[4]), s = (gb * b) * (d[3] - d[4]);
    const Vec t = gc * (d[5] + d[6]), u = (gc * c) * (d[5] - d[6]);
    w[0] = g0 * d[0] + p + r + t;
    w[1] = q + s + u;
    w[2] = aa * p + bb * r + cc * t;
    w[3] = aa * q + bb * s + cc * u;
    w[4] = d[7] + (aa * aa) * p + (bb * bb) * r + (cc * cc) * t;
  }
};

// F(2, 3) on the points 0, 1, -1 and infinity.
struct F2 {
  static constexpr int kPoints = 4, kInputs = 4, kOutputs = 2, kTaps = 3;

  static LOCKSTEP_INLINE void Input(const Vec* x, Vec* v) {
    v[0] = x[0] - x[2];
    v[1] = x[1] + x[2];
    v[2] = x[2] - x[1];
    v[3] = x[3] - x[1];
  }
  static LOCKSTEP_INLINE void Output(const Vec* m, Vec* y) {
    y[0] = m[0] + m[1] + m[2];
    y[1] = m[1] - m[2] + m[3];
  }
  static LOCKSTEP_INLINE void OutputGradient(const Vec* y, Vec* n) {
    n[0] = y[0];
    n[1] = y[0] + y[1];
    n[2] = y[0] - y[1];
    n[3] = y[1];
  }
  static LOCKSTEP_INLINE void Weights(const Vec* w, Vec* u) {
    const Vec p = 0.5F * (w[0] + w[2]), q = 0.5F * w[1];
    u[0] = w[0];
    u[1] = p + q;
    u[2] = p - q;
    u[3] = w[2];
  }
  static LOCKSTEP_INLINE void WeightsGradient(const Vec* d, Vec* w) {
    const Vec p = 0.5F * (d[1] + d[2]);
    w[0] = d[0] + p;
    w[1] = 0.5F * (d[1] - d[2]);
    w[2] = d[3] + p;
  }
};

// Two outputs from two inputs with zeros around: y0 = w1 x0 + w2 x1, y1 = w0 x0 + w1 x1, from the
// products w1 (x0 + x1), (w2 - w1) x1 and (w0 - w1) x0.
struct Toeplitz2 {
  static constexpr int kPoints = 3, kInputs = 2, kOutputs = 2, kTaps = 3;

  static LOCKSTEP_INLINE void Input(const Vec* x, Vec* v) {
    v[0] = x[0] + x[1];
    v[1] = x[1];
    v[2] = x[0];
  }
  static LOCKSTEP_INLINE void Output(const Vec* m, Vec* y) {
    y[0] = m[0] + m[1];
    y[1] = m[0] + m[2];
  }
  static LOCKSTEP_INLINE void OutputGradient(const Vec* y, Vec* n) {
    n[0] = y[0] + y[1];
    n[1] = y[0];
    n[2] = y[1];
  }
  static LOCKSTEP_INLINE void Weights(const Vec* w, Vec* u) {
    u[0] = w[1];
    u[1] = w[2] - w[1];
    u[2] = w[0] - w[1];
  }
  static LOCKSTEP_INLINE void WeightsGradient(const Vec* d, Vec* w) {
    w[0] = d[2];
    w[1] = d[0] - d[1] - d[2];
    w[2] = d[1];
  }
};

}  // namespace
}  // namespace lockstep::cpu::LOCKSTEP_ISA

#endif  // LOCKSTEP_KERNELS_CPU_WINOGRAD_ALGEBRA_H_
