// Listing the elements of a row that are not zero; include from files compiled once per instruction
// set only.
#ifndef LOCKSTEP_KERNELS_CPU_GEMM_LIST_ISA_H_
#define LOCKSTEP_KERNELS_CPU_GEMM_LIST_ISA_H_

#include <cstdint>

#include "kernels/cpu/gemm/nonzeros_isa.h"

#if !defined(LOCKSTEP_ISA_baseline)
#include <immintrin.h>
#endif

namespace lockstep::cpu::LOCKSTEP_ISA {
namespace {

// Where the rows of the elements come from: one every `distance`, or a table.
class EveryRow {
 public:
  explicit EveryRow(int64_t distance) : distance_(distance) {}
  int64_t operator()(int64_t i) const { return i * distance_; }

 private:
  int64_t distance_;
};

class TableRow {
 public:
  explicit TableRow(const uint32_t* rows) : rows_(rows) {}
  uint32_t operator()(int64_t i) const { return rows_[i]; }
  const uint32_t* at(int64_t i) const { return rows_ + i; }

 private:
  const uint32_t* rows_;
};

// Lists whole groups of elements as ListNonzeros does, where a faster way exists; advances `to` and
// returns how many elements it took.
template <typename T, typename Row>
int64_t ListGroups(const T* /*values*/, int64_t /*size*/, const Row& /*row*/, Nonzero<T>** /*to*/) {
  return 0;
}

#if defined(LOCKSTEP_ISA_avx512)

// The rows of elements 0 to 7, then of the next eight, in the upper halves.
class EveryRows {
 public:
  explicit EveryRows(EveryRow row)
      : rows_(_mm512_mullo_epi64(_mm512_set_epi64(7, 6, 5, 4, 3, 2, 1, 0),
                                 _mm512_set1_epi64(row(1) << 32))),
        step_(_mm512_set1_epi64(row(8) << 32)) {}
  __m512i Next() {
    const __m512i rows = rows_;
    rows_ = _mm512_add_epi64(rows_, step_);
    return rows;
  }

 private:
  __m512i rows_, step_;
};

class TableRows {
 public:
  explicit TableRows(TableRow row) : next_(row.at(0)) {}
  __m512i Next() {
    const __m256i rows = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(next_));
    next_ += 8;
    return _mm512_slli_epi64(_mm512_cvtepu32_epi64(rows), 32);
  }

 private:
  const uint32_t* next_;
};

// Eight at a time: widened to (value, row), the zeros squeezed out.
template <typename Rows>
int64_t ListEights(const float* values, int64_t size, Rows rows, Nonzero<float>** to) {
  Nonzero<float>* next = *to;
  int64_t i = 0;
  for (; i + 8 <= size; i += 8) {
    const __m256 value = _mm256_loadu_ps(values + i);
    const __mmask8 mask = _mm256_cmp_ps_mask(value, _mm256_setzero_ps(), _CMP_NEQ_UQ);
    const __m512i pairs =
        _mm512_or_si512(_mm512_cvtepu32_epi64(_mm256_castps_si256(value)), rows.Next());
    _mm512_storeu_si512(next, _mm512_maskz_compress_epi64(mask, pairs));
    next += __builtin_popcount(mask);
  }
  *to = next;
  return i;
}

inline int64_t ListGroups(const float* values, int64_t size, const EveryRow& row,
                          Nonzero<float>** to) {
  return ListEights(values, size, EveryRows(row), to);
}
inline int64_t ListGroups(const float* values, int64_t size, const TableRow& row,
                          Nonzero<float>** to) {
  return ListEights(values, size, TableRows(row), to);
}

#elif defined(LOCKSTEP_ISA_avx2)

// places[mask]: the halves of those of four 64-bit lanes whose bit is set, one after the other.
struct Places {
  alignas(32) int32_t of[16][8];
};

constexpr Places MakePlaces() {
  Places places{};
  for (int mask = 0; mask < 16; ++mask) {
    int next = 0;
    for (int lane = 0; lane < 4; ++lane) {
      if ((mask >> lane & 1) == 0) continue;
      places.of[mask][next++] = 2 * lane;
      places.of[mask][next++] = 2 * lane + 1;
    }
  }
  return places;
}

// The rows of elements 0 to 3, then of the next four, in the upper halves.
class EveryRows {
 public:
  explicit EveryRows(EveryRow row)
      : rows_(_mm256_set_epi64x(row(3) << 32, row(2) << 32, row(1) << 32, 0)),
        step_(_mm256_set1_epi64x(row(4) << 32)) {}
  __m256i Next() {
    const __m256i rows = rows_;
    rows_ = _mm256_add_epi64(rows_, step_);
    return rows;
  }

 private:
  __m256i rows_, step_;
};

class TableRows {
 public:
  explicit TableRows(TableRow row) : next_(row.at(0)) {}
  __m256i Next() {
    const __m128i rows = _mm_loadu_si128(reinterpret_cast<const __m128i*>(next_));
    next_ += 4;
    return _mm256_slli_epi64(_mm256_cvtepu32_epi64(rows), 32);
  }

 private:
  const uint32_t* next_;
};

// Four at a time: widened to (value, row), the zeros squeezed out.
template <typename Rows>
int64_t ListFours(const float* values, int64_t size, Rows rows, Nonzero<float>** to) {
  static constexpr Places kPlaces = MakePlaces();
  Nonzero<float>* next = *to;
  int64_t i = 0;
  for (; i + 4 <= size; i += 4) {
    const __m128 value = _mm_loadu_ps(values + i);
    const int mask = _mm_movemask_ps(_mm_cmpneq_ps(value, _mm_setzero_ps()));
    const __m256i pairs =
        _mm256_or_si256(_mm256_cvtepu32_epi64(_mm_castps_si128(value)), rows.Next());
    const __m256i places = _mm256_load_si256(reinterpret_cast<const __m256i*>(kPlaces.of[mask]));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(next),
                        _mm256_permutevar8x32_epi32(pairs, places));
    next += __builtin_popcount(static_cast<unsigned>(mask));
  }
  *to = next;
  return i;
}

inline int64_t ListGroups(const float* values, int64_t size, const EveryRow& row,
                          Nonzero<float>** to) {
  return ListFours(values, size, EveryRows(row), to);
}
inline int64_t ListGroups(const float* values, int64_t size, const TableRow& row,
                          Nonzero<float>** to) {
  return ListFours(values, size, TableRows(row), to);
}

#endif

// Lists values[i] where it is neither 0 nor -0, with row(i), an EveryRow or TableRow; `to` has room
// for all. Returns the list's end.
template <typename T, typename Row>
Nonzero<T>* ListAllNonzeros(const T* values, int64_t size, const Row& row, Nonzero<T>* to) {
  const int64_t done = ListGroups(values, size, row, &to);
  return ListNonzeros(
      values + done, size - done, [&](int64_t i) { return row(done + i); }, to);
}

}  // namespace
}  // namespace lockstep::cpu::LOCKSTEP_ISA

#endif  // LOCKSTEP_KERNELS_CPU_GEMM_LIST_ISA_H_
