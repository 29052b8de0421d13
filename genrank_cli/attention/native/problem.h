// The arguments of one call, and the piece of it that a thread works on.
#pragma once

#if defined(__linux__)
#include <sys/mman.h>
#endif

#include <cstdlib>
#include <new>
#include <vector>

#include "half.h"

extern "C" {

// Everything of one call; the Python side mirrors it field by field.
// Legend: S sequences, R rows, T keys, H heads, D width of q and k, E of v, I items.
struct Problem {
  int64_t sequences, heads, width, value_width;
  int64_t half, level;  // whether numbers are bfloat16, and what to compute those with
  // Elements from a token to the next and from a head to the next.
  int64_t q_token, q_head, k_token, k_head, v_token, v_head, grad_token, grad_head;
  int64_t out_token, out_head;
  const void *q, *k, *v;
  const int64_t *offsets, *row_offsets;  // [S+1]: the keys and the rows of each sequence
  const int64_t *context, *start, *stop, *peer_start, *peer_stop, *order;  // [R]
  int64_t softmax;
  float scale, weight;  // of the scores; of SiLU's output, 1/N (softmax: 1)
  int64_t dropout, seed, threshold;  // whether; a cell is kept from this hash on
  float kept_scale;                  // 1 / (1 − p)
  void* out;       // [R, H, E]
  float* log_sum;  // [R, H], softmax
  // bias: 0 none, 1 slope · distance in positions, 2 slope · log distance in time, 3 tables,
  // 4 given for every cell
  int64_t bias, positions, buckets;
  const float* slopes;                      // [H]
  const int64_t *position, *row_position;   // [T], [R]
  const double *time, *row_time;            // [T], [R]
  const double* edges;                      // [buckets + 1]: the smallest distance of each bucket
  const float *position_table, *time_table;  // [2 · positions − 1], [buckets]
  const void* cells;           // each sequence's [rows][keys], one after the other
  const int64_t* cells_first;  // [S+1]: where a sequence's begin
  // backward
  const void* grad;        // of the output
  void *dq, *dk, *dv;      // [R, H, D], [T, H, D], [T, H, E]
  // Gradients of the bias, null where none is wanted; every item has its own tables, every range of
  // heads its own cells.
  double *position_grad, *time_grad;  // [I, 2 · positions − 1], [I, buckets]
  float* cells_grad;                  // [ranges of heads][cells]
  int64_t item_heads;                 // heads of a range
  // items: sequence, first head, end of heads; `next` is the first that no thread has taken
  int64_t items;
  const int64_t* item;  // [I, 3]
  int64_t* next;
};
}

namespace {

constexpr int kKeys = 96;   // keys of a tile
constexpr int kPanel = 96;  // rows that go through the keys together

// Asks for large pages of memory that is written soon: it comes zeroed, 4 KB at a time otherwise.
inline void use_large_pages(void* start, size_t bytes) {
#if defined(__linux__) && defined(MADV_HUGEPAGE)
  const uintptr_t page = size_t(2) << 20;
  const uintptr_t begin = (reinterpret_cast<uintptr_t>(start) + page - 1) / page * page;
  const uintptr_t end = (reinterpret_cast<uintptr_t>(start) + bytes) / page * page;
  if (end > begin) madvise(reinterpret_cast<void*>(begin), end - begin, MADV_HUGEPAGE);
#else
  (void)start, (void)bytes;
#endif
}

// Memory that one thread uses item after item. What it gives out is not zero.
class Arena {
 public:
  Arena() = default;
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;
  ~Arena() {
    clear();
    std::free(base_);
  }

  template <class T>
  T* take(size_t count) {
    // A little more, so that equal places of two matrices are not equal places of the cache.
    const size_t bytes = (count * sizeof(T) + 63) / 64 * 64 + 320;
    wanted_ += bytes;
    if (used_ + bytes <= size_) {
      used_ += bytes;
      return reinterpret_cast<T*>(base_ + used_ - bytes);
    }
    more_.push_back(nullptr);
    more_.back() = allocate(bytes);
    return reinterpret_cast<T*>(more_.back());
  }

  // Forgets what was given out; the next item finds one piece of what this one needed.
  void reset(size_t keep) {
    clear();
    if (wanted_ > size_ || size_ > keep) {
      std::free(base_);
      base_ = nullptr;
      size_ = 0;
      if (wanted_ <= keep) {
        base_ = allocate(wanted_);
        size_ = wanted_;
      }
    }
    used_ = wanted_ = 0;
  }

 private:
  static char* allocate(size_t bytes) {
    void* p = std::aligned_alloc(64, (bytes + 63) / 64 * 64);
    if (!p) throw std::bad_alloc();
    use_large_pages(p, bytes);
    std::memset(p, 0, bytes);  // no denormal numbers in what is never written
    return static_cast<char*>(p);
  }
  void clear() {
    for (char* p : more_) std::free(p);
    more_.clear();
  }

  char* base_ = nullptr;
  size_t size_ = 0, used_ = 0, wanted_ = 0;
  std::vector<char*> more_;
};

// One sequence and a range of heads.
struct Item {
  const Problem& p;
  Arena& memory;
  Level level;
  long number, sequence;
  long first_row, rows;  // of the sequence
  long first_key, keys;
  int head_begin, head_end;

  Item(const Problem& problem, Arena& arena, Level given, long at)
      : p(problem),
        memory(arena),
        level(given),
        number(at),
        sequence(problem.item[3 * at]),
        first_row(problem.row_offsets[sequence]),
        rows(problem.row_offsets[sequence + 1] - first_row),
        first_key(problem.offsets[sequence]),
        keys(problem.offsets[sequence + 1] - first_key),
        head_begin(int(problem.item[3 * at + 1])),
        head_end(int(problem.item[3 * at + 2])) {}

  int heads() const { return head_end - head_begin; }
  long blocks() const { return (keys + kKeys - 1) / kKeys; }
  long side() const { return blocks() * kKeys; }  // keys, padded

  template <class T>
  T* zeros(size_t count) const {
    T* p = memory.take<T>(count);
    std::memset(static_cast<void*>(p), 0, count * sizeof(T));
    return p;
  }
};

// One token and head of q, k, v or a gradient.
template <class T>
inline const T* numbers(const void* x, long token, long token_step, int head, long head_step) {
  return static_cast<const T*>(x) + token * token_step + head * head_step;
}

// The cells that dropout keeps: a pure function of seed, row, head and key.
inline uint32_t mixed(uint32_t x) {
  x = (x ^ x >> 16) * 0x85EBCA6Bu;
  x = (x ^ x >> 13) * 0xC2B2AE35u;
  return x ^ x >> 16;
}
inline BitVec mixed(BitVec x) {
  x = (x ^ x >> 16) * 0x85EBCA6Bu;
  x = (x ^ x >> 13) * 0xC2B2AE35u;
  return x ^ x >> 16;
}
inline uint32_t row_hash(const Problem& p, long row, int head) {
  return mixed(mixed(uint32_t(p.seed)) + uint32_t(row) * uint32_t(p.heads) + uint32_t(head));
}
constexpr uint32_t kKeyStep = 0x9E3779B1u;
inline bool kept(const Problem& p, uint32_t of_row, long key) {
  return mixed(of_row + uint32_t(key) * kKeyStep) >= uint32_t(p.threshold);
}

}  // namespace
