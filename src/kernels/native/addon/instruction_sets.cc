#include "instruction_sets.h"

#if defined(HAS_OPERANDS_AMX) && defined(__linux__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace attention {

// Those that scripts/build-native.mjs found a compiler for.
#if defined(HAS_KERNELS_AVX2)
namespace avx2 {
extern const Kernels kernels;
}
#endif
#if defined(HAS_KERNELS_AVX512)
namespace avx512 {
extern const Kernels kernels;
}
#endif
#if defined(HAS_OPERANDS_AVX512BF16)
namespace avx512bf16 {
extern const Operands bfloat16;
}
#endif
#if defined(HAS_OPERANDS_AMX)
namespace amx {
extern const Operands float32, bfloat16;
}
#endif
#if defined(HAS_KERNELS_NEON)
namespace neon {
extern const Kernels kernels;
}
#endif

namespace {

#if defined(HAS_OPERANDS_AMX)
/// Whether the processor has tiles for bfloat16 and the system lets this process use them, which it wants to
/// be asked for: their registers are 8 KB more that it keeps for each thread that has used them.
bool mayUseTiles() {
#if defined(__linux__)
  constexpr unsigned kTileBf16 = 1u << 22, kTiles = 1u << 24;
  constexpr long kRequestPermission = 0x1023, kTileData = 18;  // ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA
  unsigned a, b, c, d;
  if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) return false;
  if ((d & kTileBf16) == 0 || (d & kTiles) == 0) return false;
  return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
#else
  return false;
#endif
}
#endif

std::vector<InstructionSet> findSets() {
  std::vector<InstructionSet> float32, bfloat16;
  [[maybe_unused]] const auto add = [&](const char* name, const char* roundingName, const Kernels& kernels) {
    float32.push_back({name, "float32", &kernels, kernels.float32});
    bfloat16.push_back({roundingName, "bfloat16", &kernels, kernels.bfloat16});
  };
#if defined(__x86_64__)
  __builtin_cpu_init();
#endif
#if defined(HAS_KERNELS_AVX512)
  const bool hasAvx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                         __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
  if (hasAvx512) add("avx512", "avx512-bfloat16", avx512::kernels);
#if defined(HAS_OPERANDS_AVX512BF16)
  if (hasAvx512 && __builtin_cpu_supports("avx512bf16")) {
    // On Intel's processors vdpbf16ps takes 2.3 cycles, as long as four fused multiply-adds do: two are
    // sooner done, with what it takes to unpack their operands. On AMD's it takes as long as one.
    const auto at = __builtin_cpu_is("intel") ? bfloat16.end() : bfloat16.begin();
    bfloat16.insert(at, {"avx512bf16", "bfloat16", &avx512::kernels, &avx512bf16::bfloat16});
  }
#endif
#if defined(HAS_OPERANDS_AMX)
  if (hasAvx512 && __builtin_cpu_supports("avx512bf16") && mayUseTiles()) {
    float32.insert(float32.begin(), {"amx", "float32", &avx512::kernels, &amx::float32});
    bfloat16.insert(bfloat16.begin(), {"amx-bfloat16", "bfloat16", &avx512::kernels, &amx::bfloat16});
  }
#endif
#endif
#if defined(HAS_KERNELS_AVX2)
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
    add("avx2", "avx2-bfloat16", avx2::kernels);
#endif
#if defined(HAS_KERNELS_NEON)
  add("neon", "neon-bfloat16", neon::kernels);
#endif
  float32.insert(float32.end(), bfloat16.begin(), bfloat16.end());
  return float32;
}

}  // namespace

const std::vector<InstructionSet>& instructionSets() {
  static const std::vector<InstructionSet> sets = findSets();
  return sets;
}

}  // namespace attention
