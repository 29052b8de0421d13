// The matrix products of bfloat16 with float32 sums: C[32 × 32] (+)= A[32 × k] B[k × 32].
//
// A lies row by row, k contiguous; B in pairs of rows: [k / 2][n][2], as the processor wants it.
// By AMX tiles, or by AVX512-BF16; without both, bfloat16 is computed in float32.
#pragma once

#include "vectors.h"

#if defined(GENRANK_AVX512) && defined(__AVX512BF16__)
#define GENRANK_DOTS 1
#if defined(__AMX_BF16__) && defined(__linux__) && defined(__x86_64__)
#define GENRANK_AMX 1
#include <sys/syscall.h>
#include <unistd.h>
#endif
#endif

namespace {

constexpr int kHalf = 32;  // rows and columns of a block of C, and k of one step

// What bfloat16 is computed with; a problem may ask for less than the processor has.
enum Level : int64_t { kFloats = 0, kDots = 1, kTiles = 2 };

#ifdef GENRANK_AMX
// Linux gives the tiles' state to those who ask for it; false where it refuses.
inline bool tiles_allowed() {
  static const bool allowed = syscall(SYS_arch_prctl, 0x1023, 18) == 0;
  return allowed;
}
#endif

inline Level level_of(int64_t asked) {
#ifdef GENRANK_AMX
  if (asked >= kTiles && tiles_allowed()) return kTiles;
#endif
#ifdef GENRANK_DOTS
  if (asked >= kDots) return kDots;
#endif
  return kFloats;
}

// Tiles of 16 rows of 64 bytes in this thread, as long as it lives.
struct TileState {
  bool used;
  explicit TileState(Level level) : used(level == kTiles) {
#ifdef GENRANK_AMX
    if (!used) return;
    alignas(64) uint8_t layout[64] = {1};
    for (int i = 0; i < 8; ++i) {
      layout[16 + 2 * i] = 64;
      layout[48 + i] = 16;
    }
    _tile_loadconfig(layout);
#endif
  }
  ~TileState() {
#ifdef GENRANK_AMX
    if (used) _tile_release();
#endif
  }
};

#ifdef GENRANK_DOTS
template <int M>
inline void dots(int steps, const Bf16* a, long lda, const Bf16* b, long ldb, float* c, long ldc,
                 bool add) {
  __m512 sum[M][2];
  for (int i = 0; i < M; ++i)
    for (int j = 0; j < 2; ++j)
      sum[i][j] = add ? _mm512_loadu_ps(c + i * ldc + j * 16) : _mm512_setzero_ps();
  for (int l = 0; l < steps * kHalf / 2; ++l) {
    const __m512bh right[2] = {__m512bh(_mm512_loadu_si512(b + l * ldb)),
                               __m512bh(_mm512_loadu_si512(b + l * ldb + 32))};
    for (int i = 0; i < M; ++i) {
      int32_t pair;
      std::memcpy(&pair, a + i * lda + 2 * l, sizeof pair);
      const __m512bh left = __m512bh(_mm512_set1_epi32(pair));
      for (int j = 0; j < 2; ++j) sum[i][j] = _mm512_dpbf16_ps(sum[i][j], left, right[j]);
    }
  }
  for (int i = 0; i < M; ++i)
    for (int j = 0; j < 2; ++j) _mm512_storeu_ps(c + i * ldc + j * 16, sum[i][j]);
}
#endif

#ifdef GENRANK_AMX
// The compiler does not know that tile instructions read memory: nothing may be held back.
inline void settle() { __asm__ volatile("" ::: "memory"); }

inline void tiles(int steps, const Bf16* a, long lda, const Bf16* b, long ldb, float* c, long ldc,
                  bool add) {
  const long a_step = lda * 2, b_step = ldb * 2, c_step = ldc * 4;
  if (add) {
    _tile_loadd(0, c, c_step);
    _tile_loadd(1, c + 16, c_step);
    _tile_loadd(2, c + 16 * ldc, c_step);
    _tile_loadd(3, c + 16 * ldc + 16, c_step);
  } else {
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
  }
  for (int l = 0; l < steps; ++l, a += kHalf, b += kHalf / 2 * ldb) {
    _tile_loadd(4, a, a_step);
    _tile_loadd(6, b, b_step);
    _tile_dpbf16ps(0, 4, 6);
    _tile_loadd(7, b + 32, b_step);
    _tile_dpbf16ps(1, 4, 7);
    _tile_loadd(5, a + 16 * lda, a_step);
    _tile_dpbf16ps(2, 5, 6);
    _tile_dpbf16ps(3, 5, 7);
  }
  _tile_stored(0, c, c_step);
  _tile_stored(1, c + 16, c_step);
  _tile_stored(2, c + 16 * ldc, c_step);
  _tile_stored(3, c + 16 * ldc + 16, c_step);
}
#else
inline void settle() {}
#endif

// One block; `ldb` in numbers from a pair of rows of B to the next.
inline void half_block(Level level, int steps, const Bf16* a, long lda, const Bf16* b, long ldb,
                       float* c, long ldc, bool add) {
#ifdef GENRANK_AMX
  if (level == kTiles) return tiles(steps, a, lda, b, ldb, c, ldc, add);
#endif
#ifdef GENRANK_DOTS
  for (int i = 0; i < kHalf; i += 8)
    dots<8>(steps, a + i * lda, lda, b, ldb, c + i * ldc, ldc, add);
#endif
}

// Two vectors → the pairs that B is made of: (low[i], high[i]).
inline BitVec paired(Vec low, Vec high) {
#ifdef GENRANK_DOTS
  const __m512bh both = _mm512_cvtne2ps_pbh(__m512(high), __m512(low));
  const __m512i order = _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24,
                                         8, 23, 7, 22, 6, 21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
  return BitVec(_mm512_permutexvar_epi16(order, __m512i(both)));
#else
  return rounded(low) | rounded(high) << 16;
#endif
}

// The same of numbers that are halves already: (low[i], high[i]) of kLanes each.
inline BitVec paired(const Bf16* low, const Bf16* high) {
  const BitVec a = __builtin_convertvector(*reinterpret_cast<const HalfVec*>(low), BitVec);
  const BitVec b = __builtin_convertvector(*reinterpret_cast<const HalfVec*>(high), BitVec);
  return a | b << 16;
}

// 2 · kLanes numbers in a row.
inline void store_halves(Bf16* to, Vec low, Vec high) {
#ifdef GENRANK_DOTS
  const __m512bh both = _mm512_cvtne2ps_pbh(__m512(high), __m512(low));
  std::memcpy(to, &both, sizeof both);
#else
  store(to, low);
  store(to + kLanes, high);
#endif
}

}  // namespace
