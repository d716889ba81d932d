#include "kernels/cpu/conv/lower.h"

#include <algorithm>

namespace lockstep::cpu {
namespace {

// A tap's part of one output row: `count` pixels, the inner ones of which read inside the picture.
struct Run {
  int64_t count;         // pixels
  int64_t first, last;   // [first, last) of them lie inside
  int64_t input;         // element of the plane that pixel `first` reads
  int64_t input_stride;  // elements to what the next pixel reads
};

// Of any a.
int64_t CeilOf(int64_t a, int64_t b) { return a >= 0 ? (a + b - 1) / b : -(-a / b); }

// The run of output pixels [w0, w1) of output row oh through tap (r, q).
Run Intersect(const ConvShape& s, const Picture& p, int64_t oh, int64_t w0, int64_t w1, int64_t r,
              int64_t q) {
  const int64_t h = oh * s.stride_h - s.pad_h + r * s.dilation_h;
  const int64_t shift = q * s.dilation_w - s.pad_w;  // what output pixel 0 reads
  int64_t first = std::clamp(CeilOf(-shift, s.stride_w), w0, w1);
  int64_t last = std::clamp(CeilOf(s.w - shift, s.stride_w), first, w1);
  if (h < 0 || h >= s.h) first = last = w0;
  return {w1 - w0, first - w0, last - w0, (h * s.w + first * s.stride_w + shift) * p.block,
          s.stride_w * p.block};
}

template <typename T>
void CopyRun(const Run& run, const T* plane, T* out) {
  for (int64_t i = 0; i < run.first; ++i) out[i] = T{0};
  const int64_t inside = run.last - run.first;
  const T* in = plane + (inside > 0 ? run.input : 0);
  T* to = out + run.first;
  if (run.input_stride == 1) {
    for (int64_t i = 0; i < inside; ++i) to[i] = in[i];
  } else {
    for (int64_t i = 0; i < inside; ++i) to[i] = in[i * run.input_stride];
  }
  for (int64_t i = run.last; i < run.count; ++i) out[i] = T{0};
}

template <typename T>
void AddRun(const Run& run, const T* columns, T* plane) {
  const int64_t inside = run.last - run.first;
  T* to = plane + (inside > 0 ? run.input : 0);
  const T* from = columns + run.first;
  if (run.input_stride == 1) {
    for (int64_t i = 0; i < inside; ++i) to[i] += from[i];
  } else {
    for (int64_t i = 0; i < inside; ++i) to[i * run.input_stride] += from[i];
  }
}

// each(plane offset, run, element of `columns`) for every tap and output row of the part.
template <typename Each>
void ForEachRun(const ConvShape& s, const Picture& p, const LowerPart& part, int64_t row,
                Each&& each) {
  const int64_t channels = s.c / s.groups, out_w = s.out_w();
  for (int64_t c = 0; c < channels; ++c) {
    const int64_t plane = p.Plane(part.n, part.group * channels + c);
    for (int64_t r = 0; r < s.kh; ++r) {
      for (int64_t q = 0; q < s.kw; ++q) {
        const int64_t tap = ((c * s.kh + r) * s.kw + q) * row;
        for (int64_t pixel = part.begin; pixel < part.end;) {
          const int64_t oh = pixel / out_w, w0 = pixel % out_w;
          const int64_t w1 = std::min(out_w, w0 + part.end - pixel);
          each(plane, Intersect(s, p, oh, w0, w1, r, q), tap + pixel - part.begin);
          pixel += w1 - w0;
        }
      }
    }
  }
}

}  // namespace

template <typename T>
void Lower(const ConvShape& shape, const Picture& picture, const LowerPart& part, const T* x,
           T* columns, int64_t row) {
  ForEachRun(shape, picture, part, row, [&](int64_t plane, const Run& run, int64_t at) {
    CopyRun(run, x + plane, columns + at);
  });
}

template <typename T>
void Raise(const ConvShape& shape, const Picture& picture, const LowerPart& part, const T* columns,
           int64_t row, T* dx) {
  ForEachRun(shape, picture, part, row, [&](int64_t plane, const Run& run, int64_t at) {
    AddRun(run, columns + at, dx + plane);
  });
}

template void Lower(const ConvShape&, const Picture&, const LowerPart&, const float*, float*,
                    int64_t);
template void Lower(const ConvShape&, const Picture&, const LowerPart&, const double*, double*,
                    int64_t);
template void Raise(const ConvShape&, const Picture&, const LowerPart&, const float*, int64_t,
                    float*);
template void Raise(const ConvShape&, const Picture&, const LowerPart&, const double*, int64_t,
                    double*);

}  // namespace lockstep::cpu
