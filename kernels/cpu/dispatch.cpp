#include "kernels/cpu/dispatch.h"

#include "engine/core/error.h"

#if defined(__x86_64__)
#include <cpuid.h>
#endif

namespace hc::kernels::cpu {
namespace {

#if defined(__x86_64__)
// AVX-VNNI has no name in the compiler's own feature test: CPUID leaf 7, subleaf 1, EAX bit 4
// (Intel SDM volume 2, CPUID). State saving needs no test of its own beyond AVX2's.
bool has_avx_vnni() {
    unsigned eax = 0;
    unsigned ebx = 0;
    unsigned ecx = 0;
    unsigned edx = 0;
    return __get_cpuid_count(7, 1, &eax, &ebx, &ecx, &edx) != 0 && (eax & (1u << 4)) != 0;
}
#endif

}  // namespace

std::string_view level_name(Level level) {
    switch (level) {
        case Level::kPlain:
            return "plain";
        case Level::kAvx2:
            return "avx2+fma+f16c";
        case Level::kAvxVnni:
            return "avx2+fma+f16c+avx_vnni";
        case Level::kAvx512Vnni:
            return "avx512+avx512_vnni";
    }
    return "unknown";
}

std::vector<Level> supported_levels() {
    std::vector<Level> levels{Level::kPlain};
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
        __builtin_cpu_supports("f16c")) {
        levels.push_back(Level::kAvx2);
        if (has_avx_vnni()) levels.push_back(Level::kAvxVnni);
        if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
            __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
            __builtin_cpu_supports("avx512vnni")) {
            levels.push_back(Level::kAvx512Vnni);
        }
    }
#endif
    return levels;
}

Level best_level() {
    static const Level best = supported_levels().back();
    return best;
}

const KernelTable& kernels_for(Level level) {
    switch (level) {
        case Level::kPlain:
            return plain::table();
#if defined(__x86_64__)
        case Level::kAvx2:
            return avx2::table();
        case Level::kAvxVnni:
            return avx_vnni::table();
        case Level::kAvx512Vnni:
            return avx512::table();
#else
        default:
            break;
#endif
    }
    HC_CHECK(false);
}

}  // namespace hc::kernels::cpu
