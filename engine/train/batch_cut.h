// Which rows of a batch are whose.
#ifndef LOCKSTEP_ENGINE_TRAIN_BATCH_CUT_H_
#define LOCKSTEP_ENGINE_TRAIN_BATCH_CUT_H_

#include <algorithm>
#include <cstdint>

namespace lockstep {

// A batch of n rows is cut at places that depend on n alone; a rank gets whole pieces, contiguous.
// Piece i of p: rows [n * i / p, n * (i + 1) / p).
struct BatchCut {
  int lanes = 0;              // pieces; 0: every row is one
  int64_t min_lane_rows = 1;  // where there are fewer rows there are fewer lanes

  int64_t PiecesOf(int64_t rows) const {
    if (lanes == 0) return rows;
    return rows == 0 ? 0 : std::clamp<int64_t>(rows / min_lane_rows, 1, lanes);
  }
};

struct Range {
  int64_t begin = 0, end = 0;
  int64_t size() const { return end - begin; }
};

// Part i of p contiguous, nearly equal parts of 0 .. n-1.
inline Range PartOf(int64_t n, int64_t i, int64_t p) { return {n * i / p, n * (i + 1) / p}; }

// The pieces that a rank gets of a batch of `rows`; perhaps none.
inline Range PiecesOfRank(const BatchCut& cut, int64_t rows, int rank, int ranks) {
  return PartOf(cut.PiecesOf(rows), rank, ranks);
}

// The same as rows of the batch.
inline Range RowsOfRank(const BatchCut& cut, int64_t rows, int rank, int ranks) {
  const int64_t pieces = cut.PiecesOf(rows);
  if (pieces == 0) return {};
  const Range mine = PartOf(pieces, rank, ranks);
  return {rows * mine.begin / pieces, rows * mine.end / pieces};
}

}  // namespace lockstep

#endif  // LOCKSTEP_ENGINE_TRAIN_BATCH_CUT_H_
