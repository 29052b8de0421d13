// The forward pass of one item.
#pragma once

#include "cells.h"
#include "peers.h"

namespace {

template <class Math>
class Forward {
  using T = typename Math::Number;

 public:
  explicit Forward(const Item& item)
      : item_(item), p_(item.p), math_(item, false), bias_(item, false), rows_(item, bias_) {}

  void run() {
    for (long at = 0; at < item_.rows; at += kPanel) {
      panel_.take(item_, at);
      tiles_.take(item_, panel_);
      bias_.take(panel_, tiles_);
      for (int h = 0; h < item_.heads(); ++h) head(h);
    }
  }

 private:
  void head(int h) {
    math_.take(panel_, h);
    rows_.take(panel_, item_.head_begin + h, math_.vectors(panel_));
    std::fill_n(rows_.top, kPanel, kHidden);
    std::fill_n(rows_.total, kPanel, 0.0f);
    for (const Tile& tile : tiles_) {
      math_.scores(tile, h, tile.keys.first / Math::kUnit * Math::kUnit,
                   padded(tile.keys.last, Math::kUnit));
      by_kind(p_.bias, !tile.full, [&](auto kind, auto masked) {
        if (p_.softmax) soften<kind(), masked()>(math_, rows_, tile);
        else silu<kind(), masked()>(math_, rows_, tile);
      });
      math_.add_outputs(tile, h, panel_);
    }
    float* out = math_.finished();
    each_peer(p_, panel_, [&](int i, long j) { peer(h, i, j, out + i * math_.e_wide); });
    for (int i = 0; i < panel_.rows; ++i) write(h, i, out + i * math_.e_wide);
  }

  void peer(int h, int i, long j, float* out) {
    const int head = item_.head_begin + h;
    const long t = panel_.token[i], key = item_.first_key + j;
    const T* q = numbers<T>(p_.q, t, p_.q_token, head, p_.q_head);
    const T* k = numbers<T>(p_.k, key, p_.k_token, head, p_.k_head);
    const float s =
        dot(q, k, math_.d) * p_.scale + cell_of<T>(item_, t, j).value * slope_of(p_, head);
    float weight = s * sigmoid_of(s);
    if (p_.softmax) {
      const float high = std::max(s, rows_.top[i]);
      const float factor = std::exp(rows_.top[i] - high);
      for (int d = 0; d < math_.e_wide; ++d) out[d] *= factor;
      weight = std::exp(s - high);
      rows_.total[i] = rows_.total[i] * factor + weight;
      rows_.top[i] = high;
    }
    if (p_.dropout && !kept(p_, rows_.hash[i], key)) return;
    add_row(out, numbers<T>(p_.v, key, p_.v_token, head, p_.v_head), weight, math_.e);
  }

  void write(int h, int i, const float* out) {
    const long place = panel_.token[i] * p_.heads + item_.head_begin + h;
    const float whole = rows_.total[i];
    float factor = p_.weight;
    if (p_.softmax) {
      factor = whole > 0 ? 1.0f / whole : 0.0f;
      p_.log_sum[place] = whole > 0 ? rows_.top[i] + std::log(whole) : -INFINITY;
    }
    write_row(static_cast<T*>(p_.out) + place * math_.e, out, factor * p_.kept_scale, math_.e);
  }

  const Item& item_;
  const Problem& p_;
  Math math_;
  Panel panel_;
  Tiles tiles_;
  PanelBias<T> bias_;
  Rows<T> rows_;
};

}  // namespace
