// The bias of a panel, the same for all heads but for a slope; and the gradient of learned tables.
#pragma once

#include "tiles.h"

namespace {

constexpr double kBucketWidth = 0.301;
constexpr int kCopies = 8;  // of the time table's gradient: sums that do not wait for each other

enum BiasKind : int64_t { kNone = 0, kSteps = 1, kTime = 2, kTables = 3, kCells = 4 };

inline int bucket_of(const Problem& p, double distance) {
  if (distance < 1.0) return 0;
  int guess = int(std::log(float(distance)) * float(1.0 / kBucketWidth));
  guess = std::clamp<int>(guess, 0, int(p.buckets) - 1);
  // In float32 the guess is off by one at most; the edges are those of the float64 formula.
  if (guess > 0 && distance < p.edges[guess]) return guess - 1;
  if (guess + 1 < p.buckets && distance >= p.edges[guess + 1]) return guess + 1;
  return guess;
}

inline int32_t place_of(const Problem& p, int64_t distance) {
  const int64_t last = p.positions - 1;
  return int32_t(std::clamp(distance, -last, last) + last);
}

struct Cell {
  float value = 0;  // before a head's slope
  int32_t place = 0, bucket = 0;
};

inline long cell_index(const Item& item, long row, long key) {
  return item.p.cells_first[item.sequence] + (row - item.first_row) * item.keys + key;
}

// One cell; `key` counts from the sequence's first.
template <class T>
Cell cell_of(const Item& item, long row, long key) {
  const Problem& p = item.p;
  Cell cell;
  if (p.bias == kNone) return cell;
  if (p.bias == kCells) {
    cell.value = value_of(static_cast<const T*>(p.cells)[cell_index(item, row, key)]);
    return cell;
  }
  const long token = item.first_key + key;
  const int64_t steps = p.row_position[row] - p.position[token];
  if (p.bias == kSteps) {
    cell.value = -std::fabs(float(steps));
    return cell;
  }
  const double distance = std::fabs(p.row_time[row] - p.time[token]);
  if (p.bias == kTime) {
    cell.value = float(-std::log(std::max(1.0, distance)) / kBucketWidth);
    return cell;
  }
  cell.place = place_of(p, steps);
  cell.bucket = bucket_of(p, distance);
  cell.value = p.position_table[cell.place] + p.time_table[cell.bucket];
  return cell;
}

inline float slope_of(const Problem& p, int head) {
  return p.bias == kSteps || p.bias == kTime ? p.slopes[head] : 1.0f;
}

// Calls work(key, vector) for every vector of the tile that is computed.
template <class Work>
inline void each_vector(const Tile& tile, Work work) {
  for (int j = tile.keys.first; j < tile.keys.last; ++j)
    for (int v = tile.vectors[j / 8].first; v < tile.vectors[j / 8].last; ++v) work(j, v);
}

// Values and gradients of a panel, [side][kPanel] each, so that a tile's begin at `begin` · kPanel.
template <class T>
struct PanelBias {
  const Item& item;
  const Problem& p;
  const Panel* panel = nullptr;
  float* key_position = nullptr;  // [side], steps
  alignas(64) float row_position[kPanel];
  float* value = nullptr;    // all but steps
  float* sums = nullptr;     // the scores' gradient, all heads; where it is wanted
  uint8_t* bucket = nullptr;
  double* copies = nullptr;  // [buckets][kCopies]
  alignas(64) int32_t row_steps[kPanel];
  alignas(64) double row_time[kPanel];
  int32_t lowest[kVectors], span[kVectors];  // of the rows' positions

  PanelBias(const Item& given, bool backward) : item(given), p(given.p) {
    if (p.bias == kSteps) steps();
    if (p.bias <= kSteps) return;
    const size_t cells = item.side() * kPanel;
    value = item.memory.take<float>(cells);
    const bool learned = backward && (p.cells_grad || p.position_grad);
    if (learned) sums = item.memory.take<float>(cells);
    if (p.bias == kTables) bucket = item.memory.take<uint8_t>(cells);
    if (learned && p.bias == kTables) copies = item.zeros<double>(p.buckets * kCopies);
  }

  void steps() {
    key_position = item.memory.take<float>(item.side());
    for (long j = 0; j < item.keys; ++j) key_position[j] = float(p.position[item.first_key + j]);
  }

  void take(const Panel& given, const Tiles& tiles) {
    panel = &given;
    if (p.bias == kNone) return;
    if (p.bias == kSteps) {
      for (int i = 0; i < kPanel; ++i) row_position[i] = float(p.row_position[given.token[i]]);
      return;
    }
    if (p.bias != kCells) rows();
    for (const Tile& tile : tiles) {
      if (p.bias == kTime) times(tile);
      if (p.bias == kTables) tables(tile);
      if (p.bias == kCells) given_cells(tile);
      if (sums)
        each_vector(tile, [&](int j, int v) { store(sums + cell(tile, j, v), Vec{}); });
    }
  }

  // After all heads: the tables' gradients, from the scores' gradients of all heads together.
  void collect(const Tiles& tiles) {
    if (!sums) return;
    for (const Tile& tile : tiles)
      if (p.bias == kCells) collect_cells(tile);
      else collect_tables(tile);
  }

  void finish() {
    if (!copies) return;
    for (long b = 0; b < p.buckets; ++b)
      for (int i = 0; i < kCopies; ++i)
        p.time_grad[item.number * p.buckets + b] += copies[b * kCopies + i] * p.weight;
    double* own = position_grad();
    for (long i = 0; i < 2 * p.positions - 1; ++i) own[i] *= p.weight;
  }

  // The gradient of one cell, not yet times `weight`.
  void add(long row, long key, const Cell& at, float gradient) {
    if (p.bias == kCells && p.cells_grad) {
      cells_grad()[cell_index(item, row, key)] += gradient * p.weight;
    } else if (copies) {
      position_grad()[at.place] += gradient;
      copies[at.bucket * kCopies] += gradient;
    }
  }

  static long cell(const Tile& tile, int j, int v) {
    return long(tile.begin + j) * kPanel + v * kLanes;
  }

 private:
  double* position_grad() const { return p.position_grad + item.number * (2 * p.positions - 1); }
  float* cells_grad() const {
    const long sequences_end = p.cells_first[p.sequences];
    return p.cells_grad + item.head_begin / p.item_heads * sequences_end;
  }

  void rows() {
    for (int i = 0; i < kPanel; ++i) {
      row_time[i] = p.row_time[panel->token[i]];
      row_steps[i] = int32_t(p.row_position[panel->token[i]]);
    }
    for (int v = 0; v < kVectors; ++v) {
      const auto [low, high] =
          std::minmax_element(row_steps + v * kLanes, row_steps + (v + 1) * kLanes);
      lowest[v] = *low;
      span[v] = *high - *low;
    }
  }

  void times(const Tile& tile) {
    each_vector(tile, [&](int j, int v) {
      const double key = p.time[item.first_key + tile.begin + j];
      const Vec distance = larger(distances(row_time + v * kLanes, key), all(1.0f));
      store(value + cell(tile, j, v), logarithm(distance) * float(-1.0 / kBucketWidth));
    });
  }

  void tables(const Tile& tile) {
    each_vector(tile, [&](int j, int v) {
      const long token = item.first_key + tile.begin + j;
      const long at = cell(tile, j, v);
      const IntVec buckets = buckets_of(v, p.time[token]);
      *reinterpret_cast<ByteVec*>(bucket + at) = __builtin_convertvector(buckets, ByteVec);
      store(value + at, gather(p.time_table, buckets) + of_position(v, p.position[token]));
    });
  }

  IntVec buckets_of(int v, double key) const {
    const double* times = row_time + v * kLanes;
    const Vec distance = larger(distances(times, key), all(1.0f));
    const Vec exact = logarithm(distance) * float(1.0 / kBucketWidth);
    IntVec guess = __builtin_convertvector(exact, IntVec);
    guess = guess < int32_t(p.buckets - 1) ? guess : IntVec{} + int32_t(p.buckets - 1);
    // Near to an edge float32 may guess wrong.
    const Vec near = magnitude(exact - whole(exact));
    const IntVec unsure = IntVec(near < all(1e-3f)) & IntVec(exact > all(0.5f));
    if (any(unsure))
      for (int i = 0; i < kLanes; ++i)
        if (unsure[i]) guess[i] = bucket_of(p, std::fabs(times[i] - key));
    return guess;
  }

  // Neighbouring rows mostly have neighbouring positions: two loads instead of kLanes.
  Vec of_position(int v, int64_t key) const {
    const int64_t last = p.positions - 1;
    const int64_t base = lowest[v] - key + last;
    const IntVec steps = load(row_steps + v * kLanes) - lowest[v];
    if (base >= 0 && base + 2 * kLanes <= 2 * last + 1 && span[v] < 2 * kLanes) {
      const float* from = p.position_table + base;
      return shuffled(load(from), load(from + kLanes), steps);
    }
    IntVec places;
    for (int i = 0; i < kLanes; ++i) places[i] = place_of(p, row_steps[v * kLanes + i] - key);
    return gather(p.position_table, places);
  }

  const T* given_row(int i) const {
    return static_cast<const T*>(p.cells) + cell_index(item, panel->token[i], 0);
  }

  void given_cells(const Tile& tile) {
    for (int j = tile.keys.first / kLanes * kLanes; j < tile.keys.last; j += kLanes)
      for (int v = 0; v < panel->vectors; ++v) {
        Vec x[kLanes];
        for (int i = 0; i < kLanes; ++i)
          x[i] = load_some(given_row(v * kLanes + i) + tile.begin + j,
                           int(std::min<long>(kLanes, item.keys - tile.begin - j)));
        transpose(x);
        for (int i = 0; i < kLanes; ++i) store(value + cell(tile, j + i, v), x[i]);
      }
  }

  void collect_cells(const Tile& tile) {
    for (int i = 0; i < panel->rows; ++i) {
      float* to = cells_grad() + cell_index(item, panel->token[i], tile.begin);
      const float* from = sums + long(tile.begin) * kPanel + i;
      for (int j = tile.of_row.first[i]; j < tile.of_row.last[i]; ++j)
        to[j] += from[j * kPanel] * p.weight;
    }
  }

  void collect_tables(const Tile& tile) {
    double* own = position_grad();
    const int64_t last = p.positions - 1;
    each_vector(tile, [&](int j, int v) {
      const long at = cell(tile, j, v);
      const float* sum = sums + at;
      const int64_t key = p.position[item.first_key + tile.begin + j];
      const int64_t base = lowest[v] - key + last;
      const int32_t* steps = row_steps + v * kLanes;
      if (base >= 0 && base + span[v] <= 2 * last) {
        double* to = own + base - lowest[v];
        for (int i = 0; i < kLanes; ++i) to[steps[i]] += sum[i];
      } else {
        for (int i = 0; i < kLanes; ++i) own[place_of(p, steps[i] - key)] += sum[i];
      }
      for (int i = 0; i < kLanes; ++i)
        copies[bucket[at + i] * kCopies + i % kCopies] += sum[i];
    });
  }
};

}  // namespace
