// A tile's products in float32, of float32 or bfloat16 inputs.
//
// Legend: D, E the widths of q and k and of v, padded to vectors ("wide"); tiles are [keys][rows].
#pragma once

#include "products.h"
#include "tiles.h"

namespace {

// Rows `token` of x as float32: [count][wide], zeros behind the width.
template <class T, class Token>
void take_rows(int count, Token token, int width, int wide, float* to) {
  for (int i = 0; i < count; ++i, to += wide) {
    const T* from = token(i);
    for (int d = 0; d < wide; d += kLanes) store(to + d, load_some(from + d, width - d));
  }
}

template <class T>
class FloatMath {
 public:
  using Number = T;
  static constexpr bool kExact = true;
  static constexpr int kUnit = kStrip;          // keys that products take together
  static constexpr int kBackwardKeys = kKeys;   // keys whose scores are computed at a time
  const int d, e, d_wide, e_wide;

  FloatMath(const Item& item, bool backward)
      : d(int(item.p.width)),
        e(int(item.p.value_width)),
        d_wide(padded(d, kLanes)),
        e_wide(padded(e, kLanes)),
        item_(item),
        p_(item.p),
        side_(item.side()) {
    Arena& memory = item.memory;
    keys_ = memory.take<float>(item.heads() * side_ * d_wide);
    values_ = memory.take<float>(item.heads() * side_ * e_wide);
    q_ = memory.take<float>(kPanel * d_wide);
    q_turned_ = memory.take<float>(kPanel * d_wide);
    weights_ = memory.take<float>(kKeys * kPanel);
    out_ = memory.take<float>(kPanel * (backward ? d_wide : e_wide));
    for (int h = 0; h < item.heads(); ++h) {
      take_keys(p_.k, p_.k_token, p_.k_head, h, d, d_wide, keys_);
      take_keys(p_.v, p_.v_token, p_.v_head, h, e, e_wide, values_);
    }
    if (!backward) return;
    g_ = memory.take<float>(kPanel * e_wide);
    g_turned_ = memory.take<float>(kPanel * e_wide);
    gradients_ = memory.take<float>(kKeys * kPanel);
    dk_ = item.zeros<float>(item.heads() * side_ * d_wide);
    dv_ = item.zeros<float>(item.heads() * side_ * e_wide);
  }

  float* weights() { return weights_; }
  float* gradients() { return gradients_; }
  float* dk(int h, long key) { return dk_ + (h * side_ + key) * d_wide; }
  float* dv(int h, long key) { return dv_ + (h * side_ + key) * e_wide; }
  int vectors(const Panel& panel) const { return panel.vectors; }

  void take(const Panel& panel, int h) {
    take_panel(panel, p_.q, p_.q_token, p_.q_head, h, d, d_wide, q_, q_turned_);
    if (g_) take_panel(panel, p_.grad, p_.grad_token, p_.grad_head, h, e, e_wide, g_, g_turned_);
    std::memset(out_, 0, sizeof(float) * kPanel * (g_ ? d_wide : e_wide));
  }

  void scores(const Tile& tile, int h, int from, int to) {
    multiply(tile, from, to, d, keys_ + (h * side_ + tile.begin) * d_wide, d_wide, q_turned_,
             weights_);
  }
  void weight_gradients(const Tile& tile, int h, int from, int to) {
    multiply(tile, from, to, e, values_ + (h * side_ + tile.begin) * e_wide, e_wide, g_turned_,
             gradients_);
  }

  void settle_weights(int) {}
  void settle_gradients(int) {}

  void rescale(const float* factor) {
    for (int i = 0; i < kPanel; ++i)
      for (int c = 0; c < e_wide; c += kLanes)
        store(out_ + i * e_wide + c, load(out_ + i * e_wide + c) * factor[i]);
  }

  void add_outputs(const Tile& tile, int h, const Panel& panel) {
    gather(tile, panel, weights_, values_ + (h * side_ + tile.begin) * e_wide, e_wide);
  }
  void add_row_gradients(const Tile& tile, int h, const Panel& panel) {
    gather(tile, panel, gradients_, keys_ + (h * side_ + tile.begin) * d_wide, d_wide);
  }
  void add_key_gradients(const Tile& tile, int h) {
    const auto rows = [&](int from, int to) { return tile.of_key.united(from, to); };
    accumulate(tile.keys.first, tile.keys.last, e_wide / kLanes, rows, weights_, kPanel, 1, g_,
               e_wide, dv(h, tile.begin), e_wide);
    accumulate(tile.keys.first, tile.keys.last, d_wide / kLanes, rows, gradients_, kPanel, 1, q_,
               d_wide, dk(h, tile.begin), d_wide);
  }

  float* finished() { return out_; }

 private:
  void take_keys(const void* x, long token, long head, int h, int width, int wide, float* all) {
    const auto row = [&](long j) {
      return numbers<T>(x, item_.first_key + j, token, item_.head_begin + h, head);
    };
    float* to = all + h * side_ * wide;
    take_rows<T>(int(item_.keys), row, width, wide, to);
    std::memset(to + item_.keys * wide, 0, sizeof(float) * (side_ - item_.keys) * wide);
  }

  void take_panel(const Panel& panel, const void* x, long token, long head, int h, int width,
                  int wide, float* rows, float* turned) {
    const auto row = [&](int i) {
      return numbers<T>(x, panel.token[i], token, item_.head_begin + h, head);
    };
    const int count = panel.vectors * kLanes;
    take_rows<T>(count, row, width, wide, rows);
    transpose(rows, wide, count, wide, turned, kPanel);
  }

  static void multiply(const Tile& tile, int from, int to, int k, const float* a, long lda,
                       const float* b, float* c) {
    for (int v = 0; v < kVectors; v += kScoreColumns)
      for (int j = from; j < to; j += 8) {
        const int first = std::max(v, tile.vectors[j / 8].first);
        const int last = std::min(v + kScoreColumns, tile.vectors[j / 8].last);
        if (first < last)
          multiply8(last - first, k, a + j * lda, lda, b + first * kLanes, kPanel,
                    c + j * kPanel + first * kLanes, kPanel);
      }
  }

  void gather(const Tile& tile, const Panel& panel, const float* cells, const float* b, int wide) {
    const auto keys = [&](int from, int to) { return tile.of_row.united(from, to); };
    accumulate(0, panel.rows, wide / kLanes, keys, cells, 1, kPanel, b, wide, out_, wide);
  }

  const Item& item_;
  const Problem& p_;
  const long side_;
  float *keys_, *values_;            // [heads][side][wide]
  float *q_, *q_turned_;             // [kPanel][wide] and [wide][kPanel]
  float *g_ = nullptr, *g_turned_ = nullptr;
  float *weights_, *gradients_ = nullptr;  // [kKeys][kPanel]: scores first
  float *dk_ = nullptr, *dv_ = nullptr;
  float* out_;  // [kPanel][wide]: the output; in the backward pass, q's gradient
};

}  // namespace
