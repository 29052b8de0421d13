// Jagged attention on a CPU: mask, bias and activation inside the tile, forward and backward.
// C++17 with the compiler's vector types, loaded through a C interface.
//
// A thread takes one item after the other, a sequence and a few heads; which items there are does
// not depend on the threads, so results do not either.

#include "backward.h"
#include "floats.h"
#include "forward.h"
#include "halves.h"

#if defined(__SSE2__)
#include <xmmintrin.h>
#endif

namespace {

// Numbers below 1e-38 count as 0 in this thread, as long as it lives: they slow every product.
struct QuietUnderflow {
#if defined(__SSE2__)
  unsigned before = _mm_getcsr();
  QuietUnderflow() { _mm_setcsr(before | 0x8040); }
  ~QuietUnderflow() { _mm_setcsr(before); }
#endif
};

constexpr size_t kKept = size_t(64) << 20;  // bytes that a thread keeps for the next call

template <template <class> class Pass>
void run(const Item& item) {
  if (!item.p.half) return Pass<FloatMath<float>>(item).run();
#ifdef GENRANK_DOTS
  if (item.level != kFloats) return Pass<HalfMath>(item).run();
#endif
  Pass<FloatMath<Bf16>>(item).run();
}

// 0, or 1 where memory ran out.
template <template <class> class Pass>
int all_items(const Problem& p) {
  static thread_local Arena memory;
  try {
    const QuietUnderflow quiet;
    const Level level = level_of(p.half ? p.level : kFloats);
    const TileState state(level);
    for (;;) {
      const int64_t at = __atomic_fetch_add(p.next, 1, __ATOMIC_RELAXED);
      if (at >= p.items) break;
      run<Pass>(Item(p, memory, level, at));
      memory.reset(kKept);
    }
    return 0;
  } catch (const std::bad_alloc&) {
    memory.reset(0);
    return 1;
  }
}

}  // namespace

extern "C" {

int genrank_forward(const Problem* problem) { return all_items<Forward>(*problem); }
int genrank_backward(const Problem* problem) { return all_items<Backward>(*problem); }

void genrank_large_pages(void* start, int64_t bytes) { use_large_pages(start, size_t(bytes)); }

// What bfloat16 is computed with here, if `asked` for: see `Level`.
int genrank_level(int64_t asked) { return int(level_of(asked)); }
}
