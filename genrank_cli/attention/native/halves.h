// A tile's products in bfloat16 with float32 sums. Weights and gradients are rounded to bfloat16
// before they are multiplied again.
//
// Legend: D, E the widths of q and k and of v, padded to blocks ("wide"); tiles are [keys][rows];
// "paired" is [n / 2][m][2], the pairs of rows of `half.h`.
#pragma once

#include "half.h"
#include "tiles.h"

namespace {

class HalfMath {
 public:
  using Number = Bf16;
  static constexpr bool kExact = false;
  static constexpr int kUnit = kHalf;
  static constexpr int kBackwardKeys = kHalf;  // what the first cache holds
  const int d, e, d_wide, e_wide;

  HalfMath(const Item& item, bool backward)
      : d(int(item.p.width)),
        e(int(item.p.value_width)),
        d_wide(padded(d, kHalf)),
        e_wide(padded(e, kHalf)),
        item_(item),
        p_(item.p),
        side_(item.side()) {
    Arena& memory = item.memory;
    keys_ = memory.take<Bf16>(item.heads() * side_ * d_wide);
    values_ = memory.take<Bf16>((backward ? item.heads() : 1) * side_ * e_wide);
    const int turned = backward ? d_wide : e_wide;
    turned_ = memory.take<Bf16>(item.heads() * side_ * turned);
    q_turned_ = memory.take<Bf16>(kPanel * d_wide);
    rows_ = memory.take<Bf16>(kPanel * std::max(d_wide, e_wide));
    scores_ = memory.take<float>(kKeys * kPanel);
    cells_paired_ = memory.take<Bf16>(kKeys * kPanel);
    out_ = memory.take<float>(kPanel * turned);
    out_turned_ = memory.take<float>(kPanel * turned);
    for (int h = 0; h < item.heads(); ++h) {
      Bf16* k = keys_ + h * side_ * d_wide;
      Bf16* v = values_ + (backward ? h : 0) * side_ * e_wide;
      take_keys(p_.k, p_.k_token, p_.k_head, h, d, d_wide, k);
      take_keys(p_.v, p_.v_token, p_.v_head, h, e, e_wide, v);
      turn_blocks(backward ? k : v, turned, turned_ + h * side_ * turned);
    }
    if (!backward) return;
    score_gradients_ = memory.take<float>(kKeys * kPanel);
    q_paired_ = memory.take<Bf16>(kPanel * d_wide);
    g_paired_ = memory.take<Bf16>(kPanel * e_wide);
    g_turned_ = memory.take<Bf16>(kPanel * e_wide);
    weights_ = memory.take<Bf16>(kKeys * kPanel);
    gradients_ = memory.take<Bf16>(kKeys * kPanel);
    dk_ = item.zeros<float>(item.heads() * side_ * d_wide);
    dv_ = item.zeros<float>(item.heads() * side_ * e_wide);
  }

  float* weights() { return scores_; }
  float* gradients() { return score_gradients_; }
  float* dk(int h, long key) { return dk_ + (h * side_ + key) * d_wide; }
  float* dv(int h, long key) { return dv_ + (h * side_ + key) * e_wide; }
  int vectors(const Panel& panel) const { return padded(panel.rows, kHalf) / kLanes; }

  void take(const Panel& panel, int h) {
    take_panel(panel, p_.q, p_.q_token, p_.q_head, h, d, d_wide, q_turned_, q_paired_);
    if (g_turned_)
      take_panel(panel, p_.grad, p_.grad_token, p_.grad_head, h, e, e_wide, g_turned_, g_paired_);
    std::memset(out_turned_, 0, sizeof(float) * kPanel * out_wide());
    rows_here_ = padded(panel.rows, kHalf);
  }

  void scores(const Tile& tile, int h, int from, int to) {
    multiply(tile, from, to, keys_ + (h * side_ + tile.begin) * d_wide, d_wide, q_turned_, scores_);
  }
  void weight_gradients(const Tile& tile, int h, int from, int to) {
    multiply(tile, from, to, values_ + (h * side_ + tile.begin) * e_wide, e_wide, g_turned_,
             score_gradients_);
  }

  // Keys j − 1 and j are done: bfloat16 of them, for the products that follow.
  void settle_weights(int j) {
    if (j % 2) pair(scores_ + (j - 1) * kPanel, cells_paired_ + (j - 1) * kPanel);
  }
  void settle_gradients(int j) {
    round(scores_ + j * kPanel, weights_ + j * kPanel);
    round(score_gradients_ + j * kPanel, gradients_ + j * kPanel);
    if (j % 2) pair(score_gradients_ + (j - 1) * kPanel, cells_paired_ + (j - 1) * kPanel);
  }

  void rescale(const float* factor) {
    for (int c = 0; c < out_wide(); ++c)
      for (int i = 0; i < rows_here_; i += kLanes)
        store(out_turned_ + c * kPanel + i, load(out_turned_ + c * kPanel + i) * load(factor + i));
  }

  void add_outputs(const Tile& tile, int h, const Panel&) { gather(tile, h); }
  void add_row_gradients(const Tile& tile, int h, const Panel&) { gather(tile, h); }

  void add_key_gradients(const Tile& tile, int h) {
    settle();
    for (int j = tile.keys.first / kHalf * kHalf; j < tile.keys.last; j += kHalf) {
      auto [from, to] = tile.of_key.united(j, j + kHalf);
      if (from >= to) continue;
      from = from / kHalf * kHalf;
      const int steps = padded(to - from, kHalf) / kHalf;
      const long at = j * kPanel + from;
      for (int c = 0; c < e_wide; c += kHalf)
        half_block(item_.level, steps, weights_ + at, kPanel, g_paired_ + from * e_wide + 2 * c,
                   2 * e_wide, dv(h, tile.begin + j) + c, e_wide, true);
      for (int c = 0; c < d_wide; c += kHalf)
        half_block(item_.level, steps, gradients_ + at, kPanel, q_paired_ + from * d_wide + 2 * c,
                   2 * d_wide, dk(h, tile.begin + j) + c, d_wide, true);
    }
    settle();
  }

  float* finished() {
    transpose(out_turned_, kPanel, out_wide(), rows_here_, out_, out_wide());
    return out_;
  }

 private:
  int out_wide() const { return g_turned_ ? d_wide : e_wide; }

  static void take_row(const Bf16* from, int width, int wide, Bf16* to) {
    std::memcpy(to, from, width * sizeof(Bf16));
    std::memset(static_cast<void*>(to + width), 0, (wide - width) * sizeof(Bf16));
  }

  void take_keys(const void* x, long token, long head, int h, int width, int wide, Bf16* to) {
    for (long j = 0; j < item_.keys; ++j)
      take_row(numbers<Bf16>(x, item_.first_key + j, token, item_.head_begin + h, head), width,
               wide, to + j * wide);
    std::memset(static_cast<void*>(to + item_.keys * wide), 0,
                (side_ - item_.keys) * wide * sizeof(Bf16));
  }

  // [side][wide] → [blocks][wide][kKeys].
  void turn_blocks(const Bf16* from, int wide, Bf16* to) {
    BitVec pairs[kLanes];
    Vec x[kLanes];
    for (long j = 0; j < side_; j += 2 * kLanes)
      for (int c = 0; c < wide; c += kLanes) {
        for (int i = 0; i < kLanes; ++i) {
          const Bf16* low = from + (j + 2 * i) * wide + c;
          pairs[i] = paired(low, low + wide);
          x[i] = as_floats(pairs[i]);
        }
        transpose(x);
        Bf16* corner = to + (j / kKeys * wide + c) * kKeys + j % kKeys;
        for (int i = 0; i < kLanes; ++i) store(reinterpret_cast<float*>(corner + i * kKeys), x[i]);
      }
  }

  void take_panel(const Panel& panel, const void* x, long token, long head, int h, int width,
                  int wide, Bf16* turned, Bf16* by_rows) {
    const int count = padded(panel.rows, kHalf);
    for (int i = 0; i < count; ++i)
      take_row(numbers<Bf16>(x, panel.token[i], token, item_.head_begin + h, head), width, wide,
               rows_ + i * wide);
    transpose(reinterpret_cast<const float*>(rows_), wide / 2, count, wide / 2,
              reinterpret_cast<float*>(turned), kPanel);
    if (!by_rows) return;
    for (int i = 0; i < count; i += 2)
      for (int c = 0; c < wide; c += kLanes) {
        const BitVec both = paired(rows_ + i * wide + c, rows_ + (i + 1) * wide + c);
        store(reinterpret_cast<float*>(by_rows + i * wide + 2 * c), as_floats(both));
      }
  }

  void multiply(const Tile& tile, int from, int to, const Bf16* a, int wide, const Bf16* b,
                float* c) {
    settle();
    for (int j = from; j < to; j += kHalf) {
      Hull hull;
      for (int s = j / 8; s < (j + kHalf) / 8; ++s) hull.add(tile.vectors[s]);
      if (hull.empty()) continue;
      const int last = hull.last * kLanes;
      for (int i = hull.first * kLanes / kHalf * kHalf; i < last; i += kHalf)
        half_block(item_.level, wide / kHalf, a + j * wide, wide, b + 2 * i, 2 * kPanel,
                   c + j * kPanel + i, kPanel, false);
    }
    settle();
  }

  void pair(const float* rows, Bf16* to) {
    for (int i = 0; i < rows_here_; i += kLanes)
      store(reinterpret_cast<float*>(to + 2 * i),
            as_floats(paired(load(rows + i), load(rows + kPanel + i))));
  }
  void round(const float* row, Bf16* to) {
    for (int i = 0; i < rows_here_; i += 2 * kLanes)
      store_halves(to + i, load(row + i), load(row + i + kLanes));
  }

  void gather(const Tile& tile, int h) {
    settle();
    const int wide = out_wide();
    const Bf16* a = turned_ + (h * side_ + tile.begin) * wide;
    for (int i = 0; i < rows_here_; i += kHalf) {
      auto [from, to] = tile.of_row.united(i, i + kHalf);
      if (from >= to) continue;
      from = from / kHalf * kHalf;
      const int steps = padded(to - from, kHalf) / kHalf;
      for (int c = 0; c < wide; c += kHalf)
        half_block(item_.level, steps, a + c * kKeys + from, kKeys,
                   cells_paired_ + from * kPanel + 2 * i, 2 * kPanel, out_turned_ + c * kPanel + i,
                   kPanel, true);
    }
    settle();
  }

  const Item& item_;
  const Problem& p_;
  const long side_;
  int rows_here_ = 0;
  Bf16 *keys_, *values_;       // [heads][side][wide]
  Bf16* turned_;               // [heads][blocks][wide][kKeys]: v, or k in the backward pass
  Bf16* rows_;                 // [kPanel][wide]
  Bf16 *q_turned_, *g_turned_ = nullptr;  // paired [wide / 2][kPanel][2]
  Bf16 *q_paired_ = nullptr, *g_paired_ = nullptr;  // paired [kPanel / 2][wide][2]
  float *scores_, *score_gradients_ = nullptr;      // [kKeys][kPanel]
  Bf16 *weights_ = nullptr, *gradients_ = nullptr;  // [kKeys][kPanel]
  Bf16* cells_paired_;         // [kKeys / 2][kPanel][2]: weights, or the scores' gradients
  float *dk_ = nullptr, *dv_ = nullptr;
  float *out_, *out_turned_;   // [kPanel][wide] and [wide][kPanel]
};

}  // namespace
