// Which cells of a sequence are worked on, and which of those a row sees.
//
// Rows come sorted by the end of what they see (`order`), so that a panel of rows needs one short
// range of keys. Tiles hold keys × rows: a vector is one key and kLanes rows. A tile covers the first two
// intervals of its rows and their peers where those are many; a few peers, such as a candidate
// itself, are scattered and done one by one.
#pragma once

#include "problem.h"

namespace {

constexpr int kVectors = kPanel / kLanes;
constexpr int kStrips = kKeys / 8;
constexpr long kFewPeers = 8;

struct Interval {
  alignas(64) int32_t low[kPanel], high[kPanel];  // none: 0, 0

  void set(int row, long first, long end) {
    low[row] = end > first ? int32_t(first) : 0;
    high[row] = end > first ? int32_t(end) : 0;
  }
};

// Up to kPanel rows of a sequence, in the order of what they see.
struct Panel {
  int rows = 0, vectors = 0;
  long token[kPanel];  // of all rows
  Interval shown[3];   // context, own, peers (of rows with many)
  bool many_peers = false;
  long all_from = 0, all_to = 0;  // keys that every row sees

  void take(const Item& item, long at) {
    const Problem& p = item.p;
    rows = int(std::min<long>(kPanel, item.rows - at));
    vectors = (rows + kLanes - 1) / kLanes;
    many_peers = false;
    all_from = rows < kPanel ? item.keys : 0;
    all_to = item.keys;
    for (int i = 0; i < kPanel; ++i) {
      token[i] = p.order[item.first_row + at + std::min(i, rows - 1)];
      for (Interval& x : shown) x.set(i, 0, 0);
      if (i >= rows) continue;
      const long t = token[i];
      shown[0].set(i, 0, p.context[t]);
      shown[1].set(i, p.start[t], p.stop[t]);
      all_from = std::max<long>(all_from, p.start[t]);
      all_to = std::min<long>(all_to, p.stop[t]);
      if (few_peers(p, t)) continue;
      shown[2].set(i, p.peer_start[t], p.peer_stop[t]);
      many_peers = true;
    }
  }

  static bool few_peers(const Problem& p, long t) {
    return p.peer_stop[t] - p.peer_start[t] <= kFewPeers;
  }

  IntVec sees(int32_t key, int vector) const {
    IntVec seen = IntVec(key < load(shown[0].high + vector * kLanes));
    for (int i = 1; i < (many_peers ? 3 : 2); ++i)
      seen |= IntVec(key >= load(shown[i].low + vector * kLanes)) &
              IntVec(key < load(shown[i].high + vector * kLanes));
    return seen;
  }
};

// A range that grows.
struct Hull {
  int first = 1 << 20, last = 0;
  void add(int from, int to) {
    if (from >= to) return;
    first = std::min(first, from);
    last = std::max(last, to);
  }
  void add(const Hull& other) { add(other.first, other.last); }
  bool empty() const { return first >= last; }
};

// One for every row or every key, side by side.
template <int N>
struct Hulls {
  alignas(64) int32_t first[N], last[N];
  void fill(Hull x) {
    std::fill_n(first, N, x.first);
    std::fill_n(last, N, x.last);
  }
  Hull united(int from, int to) const {
    Hull all;
    for (int i = from; i < to; ++i) all.add(first[i], last[i]);
    return all;
  }
};

// A panel's rows against one block of keys; all places count from the tile's corner.
struct Tile {
  int begin = 0;            // first key of the block
  bool full = false;        // every row sees every key
  Hull keys;                // that any row sees
  Hulls<kPanel> of_row;     // the keys that a row sees, and maybe some between
  Hulls<kKeys> of_key;      // the rows that see a key, and maybe some between
  Hull vectors[kStrips];    // of rows, of 8 keys: what is computed

  void place(const Panel& panel, long block) {
    begin = int(block * kKeys);
    full = panel.all_from <= begin && panel.all_to >= begin + kKeys;
    if (full) {
      keys = {0, kKeys};
      of_row.fill(keys);
      of_key.fill({0, kPanel});
      for (Hull& x : vectors) x = {0, kVectors};
      return;
    }
    keys = Hull();
    for (int i = 0; i < kPanel; ++i) {
      Hull row;
      for (const Interval& x : panel.shown) {
        const int from = std::clamp(x.low[i] - begin, 0, kKeys);
        const int to = std::clamp(x.high[i] - begin, 0, kKeys);
        row.add(from, to);
      }
      of_row.first[i] = row.first;
      of_row.last[i] = row.last;
      keys.add(row);
    }
    if (keys.empty()) return;
    of_key.fill(Hull());
    mark_keys(panel.rows);
    for (int s = 0; s < kStrips; ++s) {
      const Hull rows = of_key.united(8 * s, 8 * s + 8);
      vectors[s] = Hull();
      if (!rows.empty()) vectors[s].add(rows.first / kLanes, (rows.last + kLanes - 1) / kLanes);
    }
  }

 private:
  void mark_keys(int rows) {
    for (int i = rows - 1; i >= 0; --i)
      for (int j = of_row.first[i]; j < of_row.last[i]; ++j) of_key.first[j] = i;
    for (int i = 0; i < rows; ++i)
      for (int j = of_row.first[i]; j < of_row.last[i]; ++j) of_key.last[j] = i + 1;
  }
};

// The tiles of a panel that hold visible cells; the same for all heads.
struct Tiles {
  std::vector<Tile> kept;
  int count = 0;

  void take(const Item& item, const Panel& panel) {
    count = 0;
    if (kept.size() < size_t(item.blocks())) kept.resize(item.blocks());
    long first = item.keys, last = 0;
    for (int i = 0; i < panel.rows; ++i)
      for (const Interval& x : panel.shown)
        if (x.high[i] > x.low[i]) {
          first = std::min<long>(first, x.low[i]);
          last = std::max<long>(last, x.high[i]);
        }
    for (long block = first / kKeys; block * kKeys < last; ++block) {
      kept[count].place(panel, block);
      if (!kept[count].keys.empty()) ++count;
    }
  }
  const Tile* begin() const { return kept.data(); }
  const Tile* end() const { return kept.data() + count; }
};

}  // namespace
