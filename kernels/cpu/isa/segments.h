// Cuts a range of positions into runs of rows that lie in one picture.
#ifndef LOCKSTEP_KERNELS_CPU_ISA_SEGMENTS_H_
#define LOCKSTEP_KERNELS_CPU_ISA_SEGMENTS_H_

#include "kernels/cpu/isa/channel_rows.h"
#include "kernels/math/host_device.h"

namespace lockstep::cpu::LOCKSTEP_ISA {

struct Segment {
  int64_t sample, row, rows;
  int64_t channel;  // of the group: the run's first
  int64_t offset;   // in memory, of the first row
  int64_t element;  // logical index in the sample of the first row's first element
};

// body(segment) over positions [begin, end) of samples * blocks * rows.
template <typename Body>
LOCKSTEP_FORMULA void ForSegments(const ChannelRows& g, int64_t begin, int64_t end,
                                  const Body& body) {
  int64_t run = begin / g.rows;
  int64_t row = begin % g.rows;
  while (begin < end) {
    const int64_t left = g.rows - row;
    const int64_t rows = left < end - begin ? left : end - begin;
    const int64_t sample = run / g.blocks;
    const int64_t b = run % g.blocks;
    const int64_t offset =
        g.base + sample * g.sample_stride + b * g.block_stride + row * g.row_stride;
    const int64_t channel = b * g.width;
    body(Segment{sample, row, rows, channel, offset, row * g.channels + g.c0 + channel});
    begin += rows;
    row = 0;
    ++run;
  }
}

// The same for one run: positions [begin, end) of samples * rows.
template <typename Body>
LOCKSTEP_FORMULA void ForSegmentsOfRun(const ChannelRows& g, int64_t b, int64_t begin, int64_t end,
                                       const Body& body) {
  int64_t sample = begin / g.rows;
  int64_t row = begin % g.rows;
  while (begin < end) {
    const int64_t left = g.rows - row;
    const int64_t rows = left < end - begin ? left : end - begin;
    body(g.base + sample * g.sample_stride + b * g.block_stride + row * g.row_stride, rows);
    begin += rows;
    row = 0;
    ++sample;
  }
}

}  // namespace lockstep::cpu::LOCKSTEP_ISA

#endif  // LOCKSTEP_KERNELS_CPU_ISA_SEGMENTS_H_
