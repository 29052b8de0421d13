// The backward pass of one item: scores are computed again, nothing of them was kept.
#pragma once

#include "cells.h"
#include "peers.h"

namespace {

template <class Math>
class Backward {
  using T = typename Math::Number;

 public:
  explicit Backward(const Item& item)
      : item_(item), p_(item.p), math_(item, true), bias_(item, true), rows_(item, bias_) {}

  void run() {
    for (long at = 0; at < item_.rows; at += kPanel) {
      panel_.take(item_, at);
      tiles_.take(item_, panel_);
      bias_.take(panel_, tiles_);
      for (int h = 0; h < item_.heads(); ++h) head(h);
      bias_.collect(tiles_);
    }
    bias_.finish();
    for (int h = 0; h < item_.heads(); ++h) write_keys(h);
  }

 private:
  void head(int h) {
    math_.take(panel_, h);
    rows_.take(panel_, item_.head_begin + h, math_.vectors(panel_));
    if (p_.softmax)
      for (int i = 0; i < kPanel; ++i) take_sums(h, i);
    for (const Tile& tile : tiles_) cells(tile, h);
    float* dq = math_.finished();
    each_peer(p_, panel_, [&](int i, long j) { peer(h, i, j, dq + i * math_.d_wide); });
    for (int i = 0; i < panel_.rows; ++i) {
      const long place = panel_.token[i] * p_.heads + item_.head_begin + h;
      write_row(static_cast<T*>(p_.dq) + place * math_.d, dq + i * math_.d_wide,
                p_.scale * p_.weight, math_.d);
    }
  }

  void take_sums(int h, int i) {
    const int head = item_.head_begin + h;
    const long t = panel_.token[i];
    rows_.log_sum[i] = p_.log_sum[t * p_.heads + head];
    rows_.mean[i] = dot(numbers<T>(p_.grad, t, p_.grad_token, head, p_.grad_head),
                        numbers<T>(p_.out, t, p_.out_token, head, p_.out_head), math_.e);
  }

  void cells(const Tile& tile, int h) {
    const auto [first, last] = taken<Math>(tile);
    for (int from = first; from < last; from += Math::kBackwardKeys) {
      const int to = std::min(last, from + Math::kBackwardKeys);
      math_.scores(tile, h, from, to);
      math_.weight_gradients(tile, h, from, to);
      by_kind(p_.bias, !tile.full, [&](auto kind, auto masked) {
        if (p_.softmax) derive<true, kind(), masked()>(math_, rows_, tile, from, to);
        else derive<false, kind(), masked()>(math_, rows_, tile, from, to);
      });
    }
    math_.add_key_gradients(tile, h);
    math_.add_row_gradients(tile, h, panel_);
  }

  void peer(int h, int i, long j, float* dq) {
    const int head = item_.head_begin + h;
    const long t = panel_.token[i], key = item_.first_key + j;
    const T* q = numbers<T>(p_.q, t, p_.q_token, head, p_.q_head);
    const T* k = numbers<T>(p_.k, key, p_.k_token, head, p_.k_head);
    const T* v = numbers<T>(p_.v, key, p_.v_token, head, p_.v_head);
    const T* up = numbers<T>(p_.grad, t, p_.grad_token, head, p_.grad_head);
    const Cell cell = cell_of<T>(item_, t, j);
    const bool dropped = p_.dropout && !kept(p_, rows_.hash[i], key);
    const float s = dot(q, k, math_.d) * p_.scale + cell.value * slope_of(p_, head);
    const float g = dropped ? 0.0f : dot(up, v, math_.e) * p_.kept_scale;
    float weight, ds;
    if (p_.softmax) {
      weight = std::exp(s - rows_.log_sum[i]);
      ds = weight * (g - rows_.mean[i]);
    } else {
      const float sigma = sigmoid_of(s);
      weight = s * sigma;
      ds = g * (sigma + weight * (1.0f - sigma));
    }
    if (!dropped) add_row(math_.dv(h, j), up, weight, math_.e);
    add_row(dq, k, ds, math_.d);
    add_row(math_.dk(h, j), q, ds, math_.d);
    bias_.add(t, j, cell, ds);
  }

  void write_keys(int h) {
    for (long j = 0; j < item_.keys; ++j) {
      const long place = (item_.first_key + j) * p_.heads + item_.head_begin + h;
      write_row(static_cast<T*>(p_.dk) + place * math_.d, math_.dk(h, j), p_.scale * p_.weight,
                math_.d);
      write_row(static_cast<T*>(p_.dv) + place * math_.e, math_.dv(h, j), p_.weight * p_.kept_scale,
                math_.e);
    }
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
