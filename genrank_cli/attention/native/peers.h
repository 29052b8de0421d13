// The few peers of a row, one by one: a candidate itself, mostly.
#pragma once

#include "bias.h"

namespace {

inline float sum_of(Vec x) {
  float total = 0;
  for (int lane = 0; lane < kLanes; ++lane) total += x[lane];
  return total;
}

template <class T>
inline float dot(const T* a, const T* b, int n) {
  Vec sum{};
  int d = 0;
  for (; d + kLanes <= n; d += kLanes) sum += load(a + d) * load(b + d);
  if (d < n) sum += load_some(a + d, n - d) * load_some(b + d, n - d);
  return sum_of(sum);
}

// to += from · by; `to` is padded to vectors.
template <class T>
inline void add_row(float* to, const T* from, float by, int n) {
  for (int d = 0; d < n; d += kLanes)
    store(to + d, load(to + d) + load_some(from + d, n - d) * by);
}

template <class T>
inline void write_row(T* to, const float* from, float by, int n) {
  int d = 0;
  for (; d + kLanes <= n; d += kLanes) store(to + d, load(from + d) * by);
  for (; d < n; ++d) put(to + d, from[d] * by);
}

inline float sigmoid_of(float x) { return 1.0f / (1.0f + std::exp(-x)); }

// Calls work(row of the panel, key) for the peers that no tile holds.
template <class Work>
inline void each_peer(const Problem& p, const Panel& panel, Work work) {
  for (int i = 0; i < panel.rows; ++i) {
    const long t = panel.token[i];
    if (!Panel::few_peers(p, t)) continue;
    for (long j = p.peer_start[t]; j < p.peer_stop[t]; ++j) work(i, j);
  }
}

}  // namespace
