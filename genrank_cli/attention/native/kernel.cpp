// Jagged attention of float32 on a CPU: mask, bias and activation inside the tile, forward and
// backward. Plain C++17 with the compiler's vector types; loaded through a C interface.
//
// Legend: T tokens (flat), S sequences, H heads, D width of q and k, E width of v. A work item is one
// sequence and a range of heads.
//
// Rows come sorted by the end of what they see (`order`), so that a tile of rows needs one short
// range of keys. A row's peers (a candidate itself, or the candidates of its request) are few and
// scattered: they are done row by row.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <new>
#include <vector>

namespace {

#if defined(__AVX512F__)
constexpr int kLanes = 16;
#else
constexpr int kLanes = 8;
#endif

typedef float Vec __attribute__((vector_size(kLanes * sizeof(float)), aligned(4), may_alias));
typedef int32_t IntVec __attribute__((vector_size(kLanes * sizeof(int32_t)), aligned(4), may_alias));

constexpr int kRows = 32;    // rows of a tile
constexpr int kKeys = 64;    // keys of a tile: its scores stay in the first cache
constexpr int kPanel = 128;  // rows that share their bias and go through one head's keys at a time
constexpr int kBlock = 6;  // rows of the matrix kernel

inline Vec load(const float* p) { return *reinterpret_cast<const Vec*>(p); }
inline void store(float* p, Vec x) { *reinterpret_cast<Vec*>(p) = x; }
inline Vec all(float x) { return x - Vec{}; }
inline int padded(int n) { return (n + kLanes - 1) / kLanes * kLanes; }

inline Vec select(IntVec mask, Vec yes, Vec no) { return mask ? yes : no; }

// e^x to about 1 ulp for |x| ≤ 64; clamped beyond, where SiLU and softmax weights are below 1e-26:
// smaller ones become denormal numbers, which slow every product that they enter.
inline Vec exponential(Vec x) {
  x = select(x < all(-64.0f), all(-64.0f), x);
  x = select(x > all(64.0f), all(64.0f), x);
  const Vec shift = all(12582912.0f);  // 1.5 · 2^23: adding it rounds to whole numbers
  const Vec n = (x * 1.44269504088896341f + shift) - shift;
  Vec r = x - n * 0.693359375f;
  r = r + n * 2.12194440e-4f;
  Vec p = all(1.9875691500e-4f);
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * (r * r) + r + 1.0f;
  const IntVec scale = (__builtin_convertvector(n, IntVec) + 127) << 23;
  return p * reinterpret_cast<const Vec&>(scale);
}

// C[m × n] (+)= A[m × k] B[k × n]; A(i, l) = a[i·row + l·column], n a multiple of the lanes.
template <int M, int N>
inline void kernel(int k, const float* a, long row, long column, const float* b, long ldb, float* c,
                   long ldc, bool add) {
  Vec sum[M][N];
  for (int i = 0; i < M; ++i)
    for (int j = 0; j < N; ++j) sum[i][j] = add ? load(c + i * ldc + j * kLanes) : Vec{};
  for (int l = 0; l < k; ++l) {
    Vec right[N];
    for (int j = 0; j < N; ++j) right[j] = load(b + l * ldb + j * kLanes);
    for (int i = 0; i < M; ++i) {
      const Vec left = all(a[i * row + l * column]);
      for (int j = 0; j < N; ++j) sum[i][j] += left * right[j];
    }
  }
  for (int i = 0; i < M; ++i)
    for (int j = 0; j < N; ++j) store(c + i * ldc + j * kLanes, sum[i][j]);
}

template <int M>
inline void kernel_rows(int n, int k, const float* a, long row, long column, const float* b,
                        long ldb, float* c, long ldc, bool add) {
  int j = 0;
  for (; j + 4 * kLanes <= n; j += 4 * kLanes)
    kernel<M, 4>(k, a, row, column, b + j, ldb, c + j, ldc, add);
  for (; j + 2 * kLanes <= n; j += 2 * kLanes)
    kernel<M, 2>(k, a, row, column, b + j, ldb, c + j, ldc, add);
  if (j < n) kernel<M, 1>(k, a, row, column, b + j, ldb, c + j, ldc, add);
}

void product(int m, int n, int k, const float* a, long row, long column, const float* b, long ldb,
             float* c, long ldc, bool add) {
  int i = 0;
  for (; i + kBlock <= m; i += kBlock)
    kernel_rows<kBlock>(n, k, a + i * row, row, column, b, ldb, c + i * ldc, ldc, add);
  a += i * row;
  c += i * ldc;
  switch (m - i) {
    case 5: kernel_rows<5>(n, k, a, row, column, b, ldb, c, ldc, add); break;
    case 4: kernel_rows<4>(n, k, a, row, column, b, ldb, c, ldc, add); break;
    case 3: kernel_rows<3>(n, k, a, row, column, b, ldb, c, ldc, add); break;
    case 2: kernel_rows<2>(n, k, a, row, column, b, ldb, c, ldc, add); break;
    case 1: kernel_rows<1>(n, k, a, row, column, b, ldb, c, ldc, add); break;
    default: break;
  }
}

}  // namespace

extern "C" {

// Everything of one call; the Python side mirrors it field by field.
struct Problem {
  int64_t heads, width, value_width;
  // Elements from a token to the next and from a head to the next.
  int64_t q_token, q_head, k_token, k_head, v_token, v_head, grad_token, grad_head;
  const float *q, *k, *v;
  const int64_t* offsets;                                      // [S+1]
  const int64_t *start, *stop, *peer_start, *peer_stop, *order;  // [T]
  int64_t softmax;
  float scale, weight;  // of the scores; of SiLU's output, 1/N
  float* out;           // [T, H, E]
  float* log_sum;       // [T, H], softmax
  // bias: 0 none, 1 slope · distance in positions, 2 slope · log distance in time, 3 tables,
  // 4 tables, but given for every cell of a row's first interval
  int64_t bias, positions, buckets;
  const float* slopes;           // [H]
  const int64_t* position;       // [T]
  const double* time;            // [T]
  const double* edges;           // [buckets + 1]: the smallest distance of each time bucket
  const float *position_table, *time_table;  // [2 · positions − 1], [buckets]
  const float* cells;            // each sequence's [length][side], one after the other
  const int64_t *cells_first, *cells_side;  // [S]: where a sequence's begin, and its side
  // backward
  const float* grad;             // of the output
  const float* mean;             // [T, H], softmax: Σ grad · out of each row
  float *dq, *dk, *dv;           // [T, H, D], [T, H, D], [T, H, E]
};
}

namespace {

constexpr double kBucketWidth = 0.301;

struct Item {
  const Problem& p;
  long sequence, first, length;  // the sequence's tokens
  int head_begin, head_end;

  Item(const Problem& problem, long number, int begin, int end)
      : p(problem),
        sequence(number),
        first(problem.offsets[sequence]),
        length(problem.offsets[sequence + 1] - problem.offsets[sequence]),
        head_begin(begin),
        head_end(end) {}
  int heads() const { return head_end - head_begin; }
  long blocks() const { return (length + kKeys - 1) / kKeys; }
  long side() const { return blocks() * kKeys; }
  // Where the cells of a row (token of the batch) are among those of its sequence.
  long cells(long token) const { return (token - first) * p.cells_side[sequence]; }
};

// k or v of a sequence, transposed in blocks of keys: [heads][blocks][padded width][kKeys].
void pack_transposed(const Item& item, const float* x, long token, long head, int width,
                     std::vector<float>& out) {
  const int wide = padded(width);
  const size_t block = size_t(wide) * kKeys;
  out.assign(size_t(item.heads()) * item.blocks() * block, 0.0f);
  for (int h = 0; h < item.heads(); ++h)
    for (long t = 0; t < item.length; ++t) {
      const float* from = x + (item.first + t) * token + (item.head_begin + h) * head;
      float* to = &out[(size_t(h) * item.blocks() + t / kKeys) * block + t % kKeys];
      for (int d = 0; d < width; ++d) to[d * kKeys] = from[d];
    }
}

// A panel: up to kPanel rows of a sequence, in the order of what they see.
struct Panel {
  int rows = 0;
  long token[kPanel];              // of the batch
  long low[kPanel], high[kPanel];  // keys that each row sees; none: high ≤ low
  long first_key = 0, last_key = 0;  // that any row sees

  void take(const Item& item, long at) {
    const Problem& p = item.p;
    rows = int(std::min<long>(kPanel, item.length - at));
    first_key = item.length;
    last_key = 0;
    for (int i = 0; i < rows; ++i) {
      const long t = p.order[item.first + at + i];
      token[i] = t;
      low[i] = p.start[t];
      high[i] = std::max(p.start[t], p.stop[t]);
      if (high[i] > low[i]) {
        first_key = std::min(first_key, low[i]);
        last_key = std::max(last_key, high[i]);
      }
    }
  }
};

// A tile: rows of a panel against one block of keys.
struct Tile {
  int row = 0, rows = 0;         // of the panel
  long begin = 0;                // first key of the block
  int count = 0, wide = 0;       // keys up to the last one seen, and the same padded
  int from[kRows], to[kRows];    // what each row sees of the block

  // Whether any row sees any key.
  bool place(const Panel& panel, int at, long block) {
    row = at;
    rows = std::min(kRows, panel.rows - at);
    begin = block * kKeys;
    count = 0;
    for (int i = 0; i < rows; ++i) {
      from[i] = int(std::clamp<long>(panel.low[at + i] - begin, 0, kKeys));
      to[i] = int(std::clamp<long>(panel.high[at + i] - begin, 0, kKeys));
      if (to[i] > from[i]) count = std::max(count, to[i]);
    }
    wide = padded(count);
    return count > 0;
  }

  void hide(float* scores, int i) const {
    if (to[i] <= from[i]) {
      std::fill(scores, scores + wide, 0.0f);
      return;
    }
    std::fill(scores, scores + from[i], 0.0f);
    std::fill(scores + to[i], scores + wide, 0.0f);
  }
};

int bucket_of(const Problem& p, double distance) {
  if (distance < 1.0) return 0;
  int guess = int(std::log(float(distance)) * float(1.0 / kBucketWidth));
  guess = std::clamp<int>(guess, 0, int(p.buckets) - 1);
  // In float32 the guess is off by one at most; the edges are those of the float64 formula.
  if (guess > 0 && distance < p.edges[guess]) return guess - 1;
  if (guess + 1 < p.buckets && distance >= p.edges[guess + 1]) return guess + 1;
  return guess;
}

// The bias of one cell before a head's slope; `place` and `bucket` are rows of the tables.
float bias_of(const Problem& p, long row, long key, int32_t* place, int32_t* bucket) {
  if (p.bias == 1) return -std::fabs(float(p.position[row] - p.position[key]));
  const double distance = std::fabs(p.time[row] - p.time[key]);
  if (p.bias == 2) return float(-std::log(std::max(1.0, distance)) / kBucketWidth);
  const long last = p.positions - 1;
  *place = int32_t(std::clamp<long>(p.position[row] - p.position[key], -last, last) + last);
  *bucket = bucket_of(p, distance);
  return p.position_table[*place] + p.time_table[*bucket];
}

// The gradients of a learned bias, of one item; null where none is wanted.
struct BiasGrad {
  double *position, *time;  // rows of the tables
  float* cells;             // [length][side], of a bias given cell by cell
};

// The bias of a panel, the same for all heads: [kPanel][side].
struct PanelBias {
  const Item& item;
  const Panel* panel = nullptr;
  std::vector<float> value;
  std::vector<int32_t> place, bucket;

  explicit PanelBias(const Item& given) : item(given) {
    const int64_t kind = item.p.bias;
    if (kind == 0 || kind == 4) return;
    value.resize(size_t(kPanel) * item.side());
    if (kind != 3) return;
    place.resize(value.size());
    bucket.resize(value.size());
  }

  void fill(const Panel& given) {
    panel = &given;
    int32_t unused_place = 0, unused_bucket = 0;
    const bool tables = item.p.bias == 3;
    if (value.empty()) return;
    for (int i = 0; i < given.rows; ++i)
      for (long j = given.low[i]; j < given.high[i]; ++j) {
        const size_t cell = i * item.side() + j;
        value[cell] = bias_of(item.p, given.token[i], item.first + j,
                              tables ? &place[cell] : &unused_place,
                              tables ? &bucket[cell] : &unused_bucket);
      }
  }

  const float* row(int i) const {
    const Problem& p = item.p;
    if (p.bias == 4) return p.cells + p.cells_first[item.sequence] + item.cells(panel->token[i]);
    return &value[i * item.side()];
  }

  // The bias between a row of the panel and a peer.
  float peer(int i, long j, int32_t* at_place, int32_t* at_bucket) const {
    if (item.p.bias == 0) return 0.0f;
    return bias_of(item.p, panel->token[i], item.first + j, at_place, at_bucket);
  }
};

inline float slope_of(const Problem& p, int head) { return p.bias >= 3 ? 1.0f : p.slopes[head]; }

// Adds the bias to a row's scores; cells outside of what the row sees are not read later.
inline void add_bias(float* scores, const float* bias, float slope, int wide) {
  for (int j = 0; j < wide; j += kLanes)
    store(scores + j, load(scores + j) + load(bias + j) * slope);
}

inline void add_row(float* to, const float* from, float weight, int n) {
  for (int d = 0; d < n; d += kLanes) store(to + d, load(to + d) + load(from + d) * weight);
}

inline float dot(const float* a, const float* b, int n) {
  Vec sum{};
  for (int d = 0; d < n; d += kLanes) sum += load(a + d) * load(b + d);
  float total = 0;
  for (int lane = 0; lane < kLanes; ++lane) total += sum[lane];
  return total;
}

inline float sigmoid(float x) { return 1.0f / (1.0f + std::exp(-x)); }

// Rows of a panel for all heads: [heads][kPanel][padded width].
struct Rows {
  int width, wide;
  std::vector<float> data;
  Rows(const Item& item, int64_t given) : width(int(given)), wide(padded(width)) {
    data.resize(size_t(item.heads()) * kPanel * wide);
  }
  float* at(int head, int row) { return &data[(size_t(head) * kPanel + row) * wide]; }
  void clear() { std::fill(data.begin(), data.end(), 0.0f); }

  void take(const Item& item, const Panel& panel, const float* x, long token, long head, float by) {
    for (int h = 0; h < item.heads(); ++h)
      for (int i = 0; i < panel.rows; ++i) {
        const float* from = x + panel.token[i] * token + (item.head_begin + h) * head;
        float* to = at(h, i);
        for (int d = 0; d < width; ++d) to[d] = from[d] * by;
        std::fill(to + width, to + wide, 0.0f);
      }
  }
};

// Keys or values of a sequence for all heads: [heads][length, padded to blocks][padded width].
struct Plane {
  long length;
  int width, wide;
  std::vector<float> data;
  Plane(const Item& item, int64_t given)
      : length(item.blocks() * kKeys), width(int(given)), wide(padded(width)) {
    data.assign(size_t(item.heads()) * length * wide, 0.0f);
  }
  float* at(int head, long row) { return &data[(size_t(head) * length + row) * wide]; }

  void take(const Item& item, const float* x, long token, long head) {
    for (int h = 0; h < item.heads(); ++h)
      for (long t = 0; t < item.length; ++t)
        std::memcpy(at(h, t), x + (item.first + t) * token + (item.head_begin + h) * head,
                    size_t(width) * sizeof(float));
  }

  void give(const Item& item, float* to) {
    for (int h = 0; h < item.heads(); ++h)
      for (long t = 0; t < item.length; ++t)
        std::memcpy(to + ((item.first + t) * item.p.heads + item.head_begin + h) * width, at(h, t),
                    size_t(width) * sizeof(float));
  }
};

// Calls `work(head, block)` with `tile` at every place of the panel that holds visible cells: all keys
// of one head before the next head, because the keys of all heads together do not fit the cache.
template <class Work>
void each_tile(const Item& item, const Panel& panel, Tile& tile, Work work) {
  for (int h = 0; h < item.heads(); ++h)
    for (long block = panel.first_key / kKeys; block * kKeys < panel.last_key; ++block)
      for (int row = 0; row < panel.rows; row += kRows)
        if (tile.place(panel, row, block)) work(h, block);
}

struct Forward {
  const Item& item;
  const Problem& p;
  std::vector<float> keys;  // transposed
  Plane key_rows, values;
  Rows queries, sum;
  std::vector<float> top, total;  // [heads][kPanel], softmax
  Panel panel;
  PanelBias bias;
  Tile tile;
  alignas(64) float scores[kRows * kKeys];

  explicit Forward(const Item& given)
      : item(given),
        p(given.p),
        key_rows(item, p.width),
        values(item, p.value_width),
        queries(item, p.width),
        sum(item, p.value_width),
        top(size_t(item.heads()) * kPanel),
        total(top.size()),
        bias(item) {
    pack_transposed(item, p.k, p.k_token, p.k_head, int(p.width), keys);
    key_rows.take(item, p.k, p.k_token, p.k_head);
    values.take(item, p.v, p.v_token, p.v_head);
  }

  void run() {
    for (long at = 0; at < item.length; at += kPanel) {
      panel.take(item, at);
      queries.take(item, panel, p.q, p.q_token, p.q_head, p.scale);
      sum.clear();
      std::fill(top.begin(), top.end(), -INFINITY);
      std::fill(total.begin(), total.end(), 0.0f);
      bias.fill(panel);
      each_tile(item, panel, tile, [this](int h, long block) { cells(h, block); });
      for (int i = 0; i < panel.rows; ++i) peers(i);
      write();
    }
  }

  void cells(int h, long block) {
    product(tile.rows, tile.wide, int(p.width), queries.at(h, tile.row), queries.wide, 1,
            &keys[(h * item.blocks() + block) * size_t(queries.wide) * kKeys], kKeys, scores, kKeys,
            false);
    for (int i = 0; i < tile.rows; ++i) {
      float* row = scores + i * kKeys;
      if (p.bias)
        add_bias(row, bias.row(tile.row + i) + tile.begin, slope_of(p, item.head_begin + h),
                 tile.wide);
      if (p.softmax) soften(h, i, row);
      else silu(row, i);
      tile.hide(row, i);
    }
    product(tile.rows, sum.wide, tile.count, scores, kKeys, 1, values.at(h, tile.begin), sum.wide,
            sum.at(h, tile.row), sum.wide, true);
  }

  void silu(float* row, int i) {
    for (int j = tile.from[i] / kLanes * kLanes; j < tile.to[i]; j += kLanes) {
      const Vec s = load(row + j);
      store(row + j, s * p.weight / (exponential(-s) + 1.0f));
    }
  }

  // One step of a softmax that meets its keys a block at a time.
  void soften(int h, int i, float* row) {
    if (tile.from[i] >= tile.to[i]) return;
    const int place = tile.row + i;
    float high = top[h * kPanel + place];
    for (int j = tile.from[i]; j < tile.to[i]; ++j) high = std::max(high, row[j]);
    rescale(h, place, high);
    for (int j = tile.from[i] / kLanes * kLanes; j < tile.to[i]; j += kLanes)
      store(row + j, exponential(load(row + j) - high));
    float more = 0;
    for (int j = tile.from[i]; j < tile.to[i]; ++j) more += row[j];
    total[h * kPanel + place] += more;
  }

  void rescale(int h, int row, float high) {
    float& best = top[h * kPanel + row];
    if (high <= best) return;
    const float factor = std::exp(best - high);
    total[h * kPanel + row] *= factor;
    float* out = sum.at(h, row);
    for (int d = 0; d < sum.wide; ++d) out[d] *= factor;
    best = high;
  }

  void peers(int i) {
    const long t = panel.token[i];
    for (long j = p.peer_start[t]; j < p.peer_stop[t]; ++j) {
      int32_t place = 0, bucket = 0;
      const float value = bias.peer(i, j, &place, &bucket);
      for (int h = 0; h < item.heads(); ++h) {
        float s = dot(queries.at(h, i), key_rows.at(h, j), queries.wide);
        if (p.bias) s += value * slope_of(p, item.head_begin + h);
        float weight;
        if (p.softmax) {
          rescale(h, i, std::max(s, top[h * kPanel + i]));
          weight = std::exp(s - top[h * kPanel + i]);
          total[h * kPanel + i] += weight;
        } else {
          weight = s * sigmoid(s) * p.weight;
        }
        add_row(sum.at(h, i), values.at(h, j), weight, sum.wide);
      }
    }
  }

  void write() {
    for (int h = 0; h < item.heads(); ++h)
      for (int i = 0; i < panel.rows; ++i) {
        const float* from = sum.at(h, i);
        const long place = panel.token[i] * p.heads + item.head_begin + h;
        const float whole = total[h * kPanel + i];
        const float factor = !p.softmax ? 1.0f : whole > 0 ? 1.0f / whole : 0.0f;
        float* to = p.out + place * p.value_width;
        for (int d = 0; d < p.value_width; ++d) to[d] = from[d] * factor;
        if (p.softmax) p.log_sum[place] = top[h * kPanel + i] + std::log(whole);
      }
  }
};

struct Backward {
  const Item& item;
  const Problem& p;
  BiasGrad learned;
  std::vector<float> keys, values;  // transposed
  Plane key_rows, value_rows, dk, dv;
  Rows queries, up, dq;
  Panel panel;
  PanelBias bias;
  std::vector<float> sums;  // [kPanel][side]: the scores' gradient, all heads; where it is wanted
  Tile tile;
  alignas(64) float scores[kRows * kKeys];
  alignas(64) float gradient[kRows * kKeys];

  Backward(const Item& given, const BiasGrad& wanted)
      : item(given),
        p(given.p),
        learned(wanted),
        key_rows(item, p.width),
        value_rows(item, p.value_width),
        dk(item, p.width),
        dv(item, p.value_width),
        queries(item, p.width),
        up(item, p.value_width),
        dq(item, p.width),
        bias(item) {
    pack_transposed(item, p.k, p.k_token, p.k_head, int(p.width), keys);
    pack_transposed(item, p.v, p.v_token, p.v_head, int(p.value_width), values);
    key_rows.take(item, p.k, p.k_token, p.k_head);
    value_rows.take(item, p.v, p.v_token, p.v_head);
    if (learned.position && !learned.cells) sums.resize(bias.value.size());
  }

  void run() {
    for (long at = 0; at < item.length; at += kPanel) {
      panel.take(item, at);
      queries.take(item, panel, p.q, p.q_token, p.q_head, p.scale);
      up.take(item, panel, p.grad, p.grad_token, p.grad_head, 1.0f);
      dq.clear();
      bias.fill(panel);
      std::fill(sums.begin(), sums.end(), 0.0f);
      each_tile(item, panel, tile, [this](int h, long block) { cells(h, block); });
      for (int i = 0; i < panel.rows; ++i) peers(i);
      if (!sums.empty()) collect();
      write();
    }
    dk.give(item, p.dk);
    dv.give(item, p.dv);
  }

  void cells(int h, long block) {
    const float* q = queries.at(h, tile.row);
    const float* g = up.at(h, tile.row);
    const size_t place = h * item.blocks() + block;
    product(tile.rows, tile.wide, int(p.width), q, queries.wide, 1,
            &keys[place * queries.wide * kKeys], kKeys, scores, kKeys, false);
    product(tile.rows, tile.wide, int(p.value_width), g, up.wide, 1,
            &values[place * up.wide * kKeys], kKeys, gradient, kKeys, false);
    for (int i = 0; i < tile.rows; ++i) {
      if (p.bias)
        add_bias(scores + i * kKeys, bias.row(tile.row + i) + tile.begin,
                 slope_of(p, item.head_begin + h), tile.wide);
      derive(h, i, scores + i * kKeys, gradient + i * kKeys);
      tile.hide(scores + i * kKeys, i);
      tile.hide(gradient + i * kKeys, i);
      if (float* to = sum_of(tile.row + i))
        add_row(to + tile.begin, gradient + i * kKeys, 1.0f, tile.wide);
    }
    product(tile.count, dv.wide, tile.rows, scores, 1, kKeys, g, up.wide, dv.at(h, tile.begin),
            dv.wide, true);
    product(tile.rows, dq.wide, tile.count, gradient, kKeys, 1, key_rows.at(h, tile.begin), dq.wide,
            dq.at(h, tile.row), dq.wide, true);
    product(tile.count, dk.wide, tile.rows, gradient, 1, kKeys, q, queries.wide,
            dk.at(h, tile.begin), dk.wide, true);
  }

  // Scores → weights, and the weights' gradient → the scores' gradient, in place.
  void derive(int h, int i, float* s, float* g) {
    const long place = panel.token[tile.row + i] * p.heads + item.head_begin + h;
    const float log_sum = p.softmax ? p.log_sum[place] : 0.0f;
    const float mean = p.softmax ? p.mean[place] : 0.0f;
    for (int j = tile.from[i] / kLanes * kLanes; j < tile.to[i]; j += kLanes) {
      const Vec x = load(s + j);
      if (p.softmax) {
        const Vec weight = exponential(x - log_sum);
        store(s + j, weight);
        store(g + j, weight * (load(g + j) - mean));
      } else {
        const Vec sigma = 1.0f / (exponential(-x) + 1.0f);
        const Vec weight = x * sigma;
        store(g + j, load(g + j) * p.weight * (sigma + weight * (1.0f - sigma)));
        store(s + j, weight * p.weight);
      }
    }
  }

  // Where the gradient of a row's scores is summed over the heads; null: nowhere.
  float* sum_of(int i) {
    if (learned.cells) return learned.cells + item.cells(panel.token[i]);
    return learned.position ? &sums[i * item.side()] : nullptr;
  }

  // The tables' gradient, from the scores' gradient of all heads together.
  void collect() {
    for (int i = 0; i < panel.rows; ++i)
      for (long j = panel.low[i]; j < panel.high[i]; ++j) {
        const size_t cell = i * item.side() + j;
        learned.position[bias.place[cell]] += sums[cell];
        learned.time[bias.bucket[cell]] += sums[cell];
      }
  }

  void peers(int i) {
    const long t = panel.token[i];
    for (long j = p.peer_start[t]; j < p.peer_stop[t]; ++j) {
      int32_t place = 0, bucket = 0;
      const float value = bias.peer(i, j, &place, &bucket);
      for (int h = 0; h < item.heads(); ++h) {
        float s = dot(queries.at(h, i), key_rows.at(h, j), queries.wide);
        if (p.bias) s += value * slope_of(p, item.head_begin + h);
        const float g = dot(up.at(h, i), value_rows.at(h, j), up.wide);
        float weight, ds;
        if (p.softmax) {
          const long row = t * p.heads + item.head_begin + h;
          weight = std::exp(s - p.log_sum[row]);
          ds = weight * (g - p.mean[row]);
        } else {
          const float sigma = sigmoid(s);
          weight = s * sigma * p.weight;
          ds = g * p.weight * (sigma + s * sigma * (1.0f - sigma));
        }
        add_row(dv.at(h, j), up.at(h, i), weight, dv.wide);
        add_row(dq.at(h, i), key_rows.at(h, j), ds, dq.wide);
        add_row(dk.at(h, j), queries.at(h, i), ds, dk.wide);
        if (learned.position) {
          learned.position[place] += ds;
          learned.time[bucket] += ds;
        }
      }
    }
  }

  void write() {
    for (int h = 0; h < item.heads(); ++h)
      for (int i = 0; i < panel.rows; ++i) {
        const float* from = dq.at(h, i);
        float* to = p.dq + (panel.token[i] * p.heads + item.head_begin + h) * p.width;
        for (int d = 0; d < p.width; ++d) to[d] = from[d] * p.scale;
      }
  }
};

}  // namespace

extern "C" {

// 0, or 1 where memory ran out.
int genrank_forward(const Problem* problem, int64_t sequence, int64_t head_begin, int64_t head_end) {
  try {
    const Item item(*problem, sequence, int(head_begin), int(head_end));
    if (item.length) Forward(item).run();
    return 0;
  } catch (const std::bad_alloc&) {
    return 1;
  }
}

// The last three: the item's own gradients of the bias, zero before; null where none is wanted.
int genrank_backward(const Problem* problem, int64_t sequence, int64_t head_begin, int64_t head_end,
                     double* position_grad, double* time_grad, float* cells_grad) {
  try {
    const Item item(*problem, sequence, int(head_begin), int(head_end));
    if (item.length) Backward(item, {position_grad, time_grad, cells_grad}).run();
    return 0;
  } catch (const std::bad_alloc&) {
    return 1;
  }
}
}
