// Vectors of the processor: the compiler's vector types, with intrinsics where those say less.
//
// Everything has a plain form, so that any processor can run it.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>

#if defined(__AVX512F__) && defined(__AVX512BW__) && defined(__AVX512DQ__) && defined(__AVX512VL__)
#define GENRANK_AVX512 1
#include <immintrin.h>
#endif

namespace {

#ifdef GENRANK_AVX512
constexpr int kLanes = 16;
#else
constexpr int kLanes = 8;
#endif

typedef float Vec __attribute__((vector_size(kLanes * 4), aligned(4), may_alias));
typedef int32_t IntVec __attribute__((vector_size(kLanes * 4), aligned(4), may_alias));
typedef uint32_t BitVec __attribute__((vector_size(kLanes * 4), aligned(4), may_alias));
typedef uint16_t HalfVec __attribute__((vector_size(kLanes * 2), aligned(2), may_alias));

typedef uint8_t ByteVec __attribute__((vector_size(kLanes), aligned(1), may_alias));

struct Bf16 {
  uint16_t bits;
};

inline int padded(int n, int to) { return (n + to - 1) / to * to; }

inline Vec load(const float* p) { return *reinterpret_cast<const Vec*>(p); }
inline void store(float* p, Vec x) { *reinterpret_cast<Vec*>(p) = x; }
inline IntVec load(const int32_t* p) { return *reinterpret_cast<const IntVec*>(p); }
inline BitVec load(const uint32_t* p) { return *reinterpret_cast<const BitVec*>(p); }
inline Vec all(float x) { return x - Vec{}; }
inline Vec select(IntVec mask, Vec yes, Vec no) { return mask ? yes : no; }
inline Vec as_floats(BitVec x) { return reinterpret_cast<const Vec&>(x); }
inline BitVec as_bits(Vec x) { return reinterpret_cast<const BitVec&>(x); }
inline Vec magnitude(Vec x) { return as_floats(as_bits(x) & 0x7fffffffu); }

inline Vec load(const Bf16* p) {
  const HalfVec half = *reinterpret_cast<const HalfVec*>(p);
  return as_floats(__builtin_convertvector(half, BitVec) << 16);
}

// Rounded to the nearest, ties to even; NaN stays one.
inline BitVec rounded(Vec x) {
  const BitVec bits = as_bits(x);
  const BitVec near = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
  return (x == x) ? near : BitVec{} + 0x7fc0u;
}

inline void store(Bf16* p, Vec x) {
#if defined(GENRANK_AVX512) && defined(__AVX512BF16__)
  const __m256bh half = _mm512_cvtneps_pbh(reinterpret_cast<const __m512&>(x));
  std::memcpy(p, &half, sizeof half);
#else
  *reinterpret_cast<HalfVec*>(p) = __builtin_convertvector(rounded(x), HalfVec);
#endif
}

inline float value_of(float x) { return x; }
inline float value_of(Bf16 x) {
  const uint32_t bits = uint32_t(x.bits) << 16;
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}
inline void put(float* p, float x) { *p = x; }
inline void put(Bf16* p, float x) {
  const BitVec half = rounded(all(x));
  p->bits = uint16_t(half[0]);
}

// The first `count` of a vector, zeros behind; nothing beyond is read.
template <class T>
inline Vec load_some(const T* p, int count) {
  if (count >= kLanes) return load(p);
  Vec out{};
  for (int i = 0; i < count; ++i) out[i] = value_of(p[i]);
  return out;
}

inline bool any(IntVec mask) {
#ifdef GENRANK_AVX512
  return _mm512_movepi32_mask(__m512i(mask)) != 0;
#else
  int32_t found = 0;
  for (int i = 0; i < kLanes; ++i) found |= mask[i];
  return found != 0;
#endif
}

// p · 2^n for whole n.
inline Vec power(Vec p, Vec n) {
#ifdef GENRANK_AVX512
  return Vec(_mm512_scalef_ps(__m512(p), __m512(n)));
#else
  const BitVec scale = BitVec(__builtin_convertvector(n, IntVec) + 127) << 23;
  return p * as_floats(scale);
#endif
}

inline Vec whole(Vec x) {
#ifdef GENRANK_AVX512
  return Vec(_mm512_roundscale_ps(__m512(x), 8));
#else
  return (x + 12582912.0f) - 12582912.0f;  // 1.5 · 2^23: adding it rounds to whole numbers
#endif
}

inline Vec larger(Vec a, Vec b) {
#ifdef GENRANK_AVX512
  return Vec(_mm512_max_ps(__m512(a), __m512(b)));
#else
  return select(a > b, a, b);
#endif
}

inline Vec smaller(Vec a, Vec b) { return -larger(-a, -b); }

// e^x for |x| ≤ 64, to 1 ulp (`Exact`) or to 5e-6; smaller x count as −64, where weights are below
// 1e-27: less would become denormal numbers, which slow every product that they enter.
template <bool Exact>
inline Vec exponential(Vec x) {
  x = larger(x, all(-64.0f));
  const Vec n = whole(x * 1.44269504088896341f);
  const Vec r = x - n * 0.693147180559945f;
  Vec p;  // the least largest error for |r| ≤ ln 2 / 2
  if (Exact) {
    p = all(1.3814539878e-3f);
    p = p * r + 8.3687451271e-3f;
    p = p * r + 4.1668390790e-2f;
    p = p * r + 1.6666520399e-1f;
    p = p * r + 4.9999993432e-1f;
  } else {
    p = all(4.1277367457e-2f);
    p = p * r + 1.6753600683e-1f;
    p = p * r + 5.0005126168e-1f;
  }
  p = p * r + 1.0f;
  p = p * r + 1.0f;
  return power(p, n);
}

// 1 / x to about 1 ulp, of positive x that are neither tiny nor huge.
template <bool Exact>
inline Vec inverse(Vec x) {
#ifdef GENRANK_AVX512
  const Vec guess = Vec(_mm512_rcp14_ps(__m512(x)));
  if (!Exact) return guess;
  return guess * (2.0f - x * guess);
#else
  return 1.0f / x;
#endif
}

template <bool Exact>
inline Vec sigmoid(Vec x) {
  const Vec e = exponential<Exact>(smaller(-x, all(64.0f)));
  return inverse<Exact>(e + 1.0f);
}

// ln x for normal x ≥ 1, to about 1 ulp (the coefficients are those of Cephes' logf).
inline Vec logarithm(Vec x) {
  BitVec bits = as_bits(x);
  const BitVec up = BitVec((bits & 0x7fffffu) > 0x3504f3u) & 1u;  // mantissa beyond √2
  const Vec e = __builtin_convertvector(IntVec((bits >> 23) + up) - 127, Vec);
  const Vec m = as_floats((bits & 0x7fffffu) | ((127u - up) << 23)) - 1.0f;
  const Vec z = m * m;
  Vec p = all(7.0376836292e-2f);
  p = p * m - 1.1514610310e-1f;
  p = p * m + 1.1676998740e-1f;
  p = p * m - 1.2420140846e-1f;
  p = p * m + 1.4249322787e-1f;
  p = p * m - 1.6668057665e-1f;
  p = p * m + 2.0000714765e-1f;
  p = p * m - 2.4999993993e-1f;
  p = p * m + 3.3333331174e-1f;
  Vec y = p * m * z - e * 2.12194440e-4f - 0.5f * z;
  return (m + y) + e * 0.693359375f;
}

inline Vec gather(const float* table, IntVec at) {
#ifdef GENRANK_AVX512
  return Vec(_mm512_i32gather_ps(__m512i(at), table, 4));
#else
  Vec out;
  for (int lane = 0; lane < kLanes; ++lane) out[lane] = table[at[lane]];
  return out;
#endif
}

// |row − key| of kLanes float64 numbers.
inline Vec distances(const double* rows, double key) {
#ifdef GENRANK_AVX512
  const __m512d k = _mm512_set1_pd(key);
  const __m256 low = _mm512_cvtpd_ps(_mm512_sub_pd(_mm512_loadu_pd(rows), k));
  const __m256 high = _mm512_cvtpd_ps(_mm512_sub_pd(_mm512_loadu_pd(rows + 8), k));
  return magnitude(Vec(_mm512_insertf32x8(_mm512_castps256_ps512(low), high, 1)));
#else
  Vec out;
  for (int lane = 0; lane < kLanes; ++lane) out[lane] = float(std::fabs(rows[lane] - key));
  return out;
#endif
}

inline Vec shuffled(Vec a, Vec b, IntVec order) {
#ifdef __clang__
  Vec out;
  for (int i = 0; i < kLanes; ++i) out[i] = order[i] < kLanes ? a[order[i]] : b[order[i] - kLanes];
  return out;
#else
  return __builtin_shuffle(a, b, order);
#endif
}

// Swaps blocks of `Step` lanes between vectors that are `Step` apart.
template <int Step>
inline __attribute__((always_inline)) void swap_blocks(Vec (&x)[kLanes]) {
  IntVec low, high;
#pragma GCC unroll 16
  for (int i = 0; i < kLanes; ++i) {
    low[i] = i & Step ? kLanes + i - Step : i;
    high[i] = i & Step ? kLanes + i : i + Step;
  }
#pragma GCC unroll 16
  for (int i = 0; i < kLanes; ++i) {
    if (i & Step) continue;
    const Vec a = x[i], b = x[i + Step];
    x[i] = shuffled(a, b, low);
    x[i + Step] = shuffled(a, b, high);
  }
}

// Rows ↔ columns of kLanes vectors; moves bits only.
inline __attribute__((always_inline)) void transpose(Vec (&x)[kLanes]) {
  swap_blocks<1>(x);
  swap_blocks<2>(x);
  swap_blocks<4>(x);
  if (kLanes == 16) swap_blocks<kLanes / 2>(x);
}

// to[c][r] = from[r][c], both in blocks of kLanes; strides in floats.
inline void transpose(const float* from, long from_step, int rows, int columns, float* to,
                      long to_step) {
  for (int c = 0; c < columns; c += kLanes)
    for (int r = 0; r < rows; r += kLanes) {
      Vec x[kLanes];
#pragma GCC unroll 16
      for (int i = 0; i < kLanes; ++i) x[i] = load(from + (r + i) * from_step + c);
      transpose(x);
#pragma GCC unroll 16
      for (int i = 0; i < kLanes; ++i) store(to + (c + i) * to_step + r, x[i]);
    }
}

}  // namespace
