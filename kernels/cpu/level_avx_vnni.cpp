/// AVX2 with AVX-VNNI: as level_avx2.cpp, int8 dot products in one instruction.

#if defined(__x86_64__)

#include <immintrin.h>

#include "engine/core/half.h"
#include "kernels/cpu/dispatch.h"
#include "kernels/reference/ops.h"

#define HC_WIDTH 8
#define HC_TARGET __attribute__((target("avx2,fma,f16c,avxvnni")))

namespace hc::kernels::cpu::avx_vnni {
namespace {

#include "kernels/cpu/simd.inc"

constexpr int kFp32Tokens = 4;  // 8 sums, two weights, one input of 16 registers
constexpr int kInt8Tokens = 4;
constexpr int kValueVectors = 2;
constexpr bool kFullIsSigned = false;

/// a * b + c, rounded once.
HC_INLINE vf fused(vf a, vf b, vf c) {
    return (vf)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
}

HC_INLINE vf load_half(const std::byte* p) {
    return (vf)_mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
}

HC_INLINE float half_at(const std::byte* p) {
    std::uint16_t bits;
    __builtin_memcpy(&bits, p, 2);
    return _mm_cvtss_f32(_mm_cvtph_ps(_mm_cvtsi32_si128(bits)));
}

HC_INLINE void store_half(std::byte* p, vf v) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p),
                     _mm256_cvtps_ph((__m256)v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}

/// kWidth bytes as ints, and ints in [-128, 127] as bytes.
HC_INLINE vi widen_unsigned(const std::byte* p) {
    return (vi)_mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p)));
}
HC_INLINE vi widen_signed(const std::byte* p) {
    return (vi)_mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p)));
}
HC_INLINE void store_bytes(std::int8_t* p, vi v) {
    const __m128i shorts = _mm_packs_epi32(_mm256_castsi256_si128((__m256i)v),
                                           _mm256_extracti128_si256((__m256i)v, 1));
    _mm_storel_epi64(reinterpret_cast<__m128i*>(p), _mm_packs_epi16(shorts, shorts));
}

/// sum + the products of four unsigned bytes of w and four signed bytes of x, per lane.
template <bool kFull>
HC_INLINE vi dot_bytes(vi sum, vi w, vi x) {
    return (vi)_mm256_dpbusd_avx_epi32((__m256i)sum, (__m256i)w, (__m256i)x);
}

// Each builds on those before; the blank lines keep the formatter from sorting them.
#include "kernels/cpu/elementwise.inc"

#include "kernels/cpu/dequantize.inc"

#include "kernels/cpu/matrix.inc"

#include "kernels/cpu/decode_attention.inc"

#include "kernels/cpu/prefill_attention.inc"

}  // namespace

#include "kernels/cpu/table.inc"

}  // namespace hc::kernels::cpu::avx_vnni

#endif
