// What happens to every cell of a tile between its products: bias, mask, activation, dropout.
//
// Left to the end are factors that all cells share: `weight` and `kept_scale`.
#pragma once

#include "bias.h"

namespace {

constexpr float kHidden = -1e30f;

// What the rows of a panel bring to one head.
template <class T>
struct Rows {
  const Problem& p;
  const Panel* panel = nullptr;
  PanelBias<T>& bias;
  float slope = 1;
  long first_key = 0;  // of the sequence
  int vectors = 0;     // what products read of a tile's rows
  alignas(64) uint32_t hash[kPanel];
  alignas(64) float top[kPanel], total[kPanel];      // forward, softmax
  alignas(64) float log_sum[kPanel], mean[kPanel];   // backward, softmax

  Rows(const Item& item, PanelBias<T>& given) : p(item.p), bias(given), first_key(item.first_key) {}

  void take(const Panel& given, int head, int wide) {
    panel = &given;
    vectors = wide;
    slope = slope_of(p, head);
    if (p.dropout)
      for (int i = 0; i < kPanel; ++i) hash[i] = row_hash(p, given.token[i], head);
  }

  template <int Bias>
  Vec score(Vec s, const Tile& tile, int j, int v) const {
    const Vec x = s * p.scale;
    if (Bias == 1) {
      const Vec steps = load(bias.row_position + v * kLanes) - bias.key_position[tile.begin + j];
      return x - magnitude(steps) * slope;
    }
    if (Bias == 2) return x + load(bias.value + PanelBias<T>::cell(tile, j, v)) * slope;
    return x;
  }

  Vec dropped(Vec x, const Tile& tile, int j, int v) const {
    const uint32_t key = uint32_t(first_key + tile.begin + j) * kKeyStep;
    const BitVec cell = mixed(load(hash + v * kLanes) + key);
    return select(IntVec(cell >= uint32_t(p.threshold)), x, Vec{});
  }
};

// Calls vector(key, vector, place) for the vectors of the tile's keys [from, to) that are computed,
// writes 0 to the others that products read, and calls done(key) after each key.
template <class Vector, class Done>
inline void each_cell(const Tile& tile, int from, int to, int vectors, float* a, float* b,
                      Vector vector, Done done) {
  for (int j = from; j < to; ++j) {
    const bool seen = j >= tile.keys.first && j < tile.keys.last;
    const Hull hull = seen ? tile.vectors[j / 8] : Hull{0, 0};
    float* row = a + j * kPanel;
    for (int v = 0; v < vectors; ++v) {
      if (v >= hull.first && v < hull.last) {
        vector(j, v, v * kLanes + j * kPanel);
      } else {
        store(row + v * kLanes, Vec{});
        if (b) store(b + j * kPanel + v * kLanes, Vec{});
      }
    }
    done(j);
  }
}

// The tile's keys, and those that products take together with them.
template <class Math>
inline std::pair<int, int> taken(const Tile& tile) {
  return {tile.keys.first / Math::kUnit * Math::kUnit, padded(tile.keys.last, Math::kUnit)};
}

template <int Bias, bool Masked, class Math, class T>
void silu(Math& math, const Rows<T>& rows, const Tile& tile) {
  float* s = math.weights();
  const auto [from, to] = taken<Math>(tile);
  each_cell(
      tile, from, to, rows.vectors, s, nullptr,
      [&](int j, int v, int at) {
        const Vec x = rows.template score<Bias>(load(s + at), tile, j, v);
        Vec weight = x * sigmoid<Math::kExact>(x);
        if (Masked) weight = select(rows.panel->sees(tile.begin + j, v), weight, Vec{});
        if (rows.p.dropout) weight = rows.dropped(weight, tile, j, v);
        store(s + at, weight);
      },
      [&](int j) { math.settle_weights(j); });
}

// One step of a softmax that meets its keys a tile at a time.
template <int Bias, bool Masked, class Math, class T>
void soften(Math& math, Rows<T>& rows, const Tile& tile) {
  float* s = math.weights();
  alignas(64) float high[kPanel], factor[kPanel];
  std::memcpy(high, rows.top, sizeof high);
  const auto [from, to] = taken<Math>(tile);
  each_vector(tile, [&](int j, int v) {
    const int at = j * kPanel + v * kLanes;
    Vec x = rows.template score<Bias>(load(s + at), tile, j, v);
    if (Masked) x = select(rows.panel->sees(tile.begin + j, v), x, all(kHidden));
    store(s + at, x);
    store(high + v * kLanes, larger(load(high + v * kLanes), x));
  });
  bool moved = false;
  for (int i = 0; i < kPanel; i += kLanes) {
    moved |= any(IntVec(load(high + i) > load(rows.top + i)));
    const Vec by = exponential<true>(load(rows.top + i) - load(high + i));
    store(factor + i, by);
    store(rows.total + i, load(rows.total + i) * by);
    store(rows.top + i, load(high + i));
  }
  if (moved) math.rescale(factor);
  alignas(64) float more[kPanel] = {};  // sums of sums lose less
  each_cell(
      tile, from, to, rows.vectors, s, nullptr,
      [&](int j, int v, int at) {
        const Vec x = load(s + at);
        Vec weight = exponential<Math::kExact>(x - load(high + v * kLanes));
        if (Masked) weight = select(IntVec(x > all(kHidden)), weight, Vec{});
        store(more + v * kLanes, load(more + v * kLanes) + weight);
        if (rows.p.dropout) weight = rows.dropped(weight, tile, j, v);
        store(s + at, weight);
      },
      [&](int j) { math.settle_weights(j); });
  for (int i = 0; i < kPanel; i += kLanes)
    store(rows.total + i, load(rows.total + i) + load(more + i));
}

// Scores → weights, and the weights' gradient → the scores' gradient, of the keys [from, to).
template <bool Softmax, int Bias, bool Masked, class Math, class T>
void derive(Math& math, const Rows<T>& rows, const Tile& tile, int from, int to) {
  float *s = math.weights(), *g = math.gradients();
  float* sums = rows.bias.sums;
  each_cell(
      tile, from, to, rows.vectors, s, g,
      [&](int j, int v, int at) {
        const Vec x = rows.template score<Bias>(load(s + at), tile, j, v);
        Vec up = load(g + at);
        if (rows.p.dropout) up = rows.dropped(up * rows.p.kept_scale, tile, j, v);
        Vec weight, gradient;
        if (Softmax) {
          const Vec log_sum = load(rows.log_sum + v * kLanes);
          weight = exponential<Math::kExact>(smaller(x - log_sum, all(64.0f)));
          gradient = weight * (up - load(rows.mean + v * kLanes));
        } else {
          const Vec sigma = sigmoid<Math::kExact>(x);
          weight = x * sigma;
          gradient = up * (sigma + weight * (1.0f - sigma));
        }
        if (Masked) {
          const IntVec seen = rows.panel->sees(tile.begin + j, v);
          weight = select(seen, weight, Vec{});
          gradient = select(seen, gradient, Vec{});
        }
        if (rows.p.dropout) weight = rows.dropped(weight, tile, j, v);
        store(s + at, weight);
        store(g + at, gradient);
        if (Bias == 2 && sums) {
          float* sum = sums + PanelBias<T>::cell(tile, j, v);
          store(sum, load(sum) + gradient);
        }
      },
      [&](int j) { math.settle_gradients(j); });
}

// Calls work(bias, masked) with the numbers as types: 0 none, 1 steps, 2 values.
template <class Work>
inline void by_kind(int64_t bias, bool masked, Work work) {
  const auto with = [&](auto kind) {
    if (masked) work(kind, std::true_type());
    else work(kind, std::false_type());
  };
  if (bias == kNone) with(std::integral_constant<int, 0>());
  else if (bias == kSteps) with(std::integral_constant<int, 1>());
  else with(std::integral_constant<int, 2>());
}

}  // namespace
