// The matrix products of float32: C[m × n] += A[m × k] B[k × n], A(i, l) = a[i·row + l·column].
//
// B is read as it lies, n contiguous, a panel of at most 3 or 4 vectors at a time, which stays in
// the first cache; 24 sums stay in registers, so that 11 loads feed 24 multiplications.
#pragma once

#include "vectors.h"

namespace {

#ifdef GENRANK_AVX512
constexpr int kColumns = 4;  // vectors of B at a time, at most
constexpr int strip(int vectors) { return vectors == 4 ? 6 : vectors == 3 ? 8 : 12; }
#else
constexpr int kColumns = 2;
constexpr int strip(int vectors) { return vectors == 2 ? 6 : 12; }
#endif
constexpr int kStrip = 24;  // every strip of rows divides it

template <int M, int N>
inline __attribute__((always_inline)) void kernel(int k, const float* a, long row, long column,
                                                  const float* b, long ldb, float* c, long ldc,
                                                  bool add) {
  Vec sum[M][N];
  for (int i = 0; i < M; ++i)
    for (int j = 0; j < N; ++j) sum[i][j] = Vec{};
  for (int l = 0; l < k; ++l) {
    Vec right[N];
    for (int j = 0; j < N; ++j) right[j] = load(b + j * kLanes);
    for (int i = 0; i < M; ++i) {
      const Vec left = all(a[i * row]);
      for (int j = 0; j < N; ++j) sum[i][j] += left * right[j];
    }
    a += column;
    b += ldb;
  }
  for (int i = 0; i < M; ++i)
    for (int j = 0; j < N; ++j) {
      float* to = c + i * ldc + j * kLanes;
      store(to, add ? load(to) + sum[i][j] : sum[i][j]);  // sums of sums lose less
    }
}

// How many of `left` vectors to take at once: 3 and 4 keep the processor busiest.
inline int columns_of(int left) {
  if (left <= kColumns) return left;
  return kColumns == 4 && left != 8 ? 3 : kColumns;
}

template <int N, class Range>
void accumulate_strips(int begin, int end, Range range, const float* a, long row, long column,
                       const float* b, long ldb, float* c, long ldc) {
  constexpr int M = strip(N);
  for (int i = begin / M * M; i < end; i += M) {
    const auto [from, to] = range(i, i + M);
    if (from < to)
      kernel<M, N>(to - from, a + i * row + from * column, row, column, b + from * ldb, ldb,
                   c + i * ldc, ldc, true);
  }
}

// Rows [begin, end) of C, in whole strips; of A and B, for each strip, the terms `range` gives.
template <class Range>
void accumulate(int begin, int end, int vectors, Range range, const float* a, long row, long column,
                const float* b, long ldb, float* c, long ldc) {
  for (int left = vectors, n; left > 0; left -= n, b += n * kLanes, c += n * kLanes) {
    n = columns_of(left);
    if (n == 1) accumulate_strips<1>(begin, end, range, a, row, column, b, ldb, c, ldc);
    if (n == 2) accumulate_strips<2>(begin, end, range, a, row, column, b, ldb, c, ldc);
#ifdef GENRANK_AVX512
    if (n == 3) accumulate_strips<3>(begin, end, range, a, row, column, b, ldb, c, ldc);
    if (n == 4) accumulate_strips<4>(begin, end, range, a, row, column, b, ldb, c, ldc);
#endif
  }
}

#ifdef GENRANK_AVX512
constexpr int kScoreStrip = 8;
#else
constexpr int kScoreStrip = 4;
#endif
constexpr int kScoreColumns = 3;

// 8 rows of C, set to A B: `vectors` columns of it.
inline void multiply8(int vectors, int k, const float* a, long row, const float* b, long ldb,
                      float* c, long ldc) {
  for (int i = 0; i < 8; i += kScoreStrip, a += kScoreStrip * row, c += kScoreStrip * ldc) {
    if (vectors == 3) kernel<kScoreStrip, 3>(k, a, row, 1, b, ldb, c, ldc, false);
    if (vectors == 2) kernel<kScoreStrip, 2>(k, a, row, 1, b, ldb, c, ldc, false);
    if (vectors == 1) kernel<kScoreStrip, 1>(k, a, row, 1, b, ldb, c, ldc, false);
  }
}

}  // namespace
