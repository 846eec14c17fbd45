/// AVX-512 with VNNI: vectors of sixteen floats, int8 dot products in one instruction.

#if defined(__x86_64__)

#include <immintrin.h>

#include "engine/core/half.h"
#include "kernels/cpu/dispatch.h"
#include "kernels/reference/ops.h"

#define HC_WIDTH 16
#define HC_TARGET                                                             \
    __attribute__((                                                           \
        target("avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx2,fma,f16c," \
               "prefer-vector-width=512")))

namespace hc::kernels::cpu::avx512 {
namespace {

#include "kernels/cpu/simd.inc"

constexpr int kFp32Tokens = 12;  // 24 sums, two weights, one input: 27 of 32 registers
constexpr int kInt8Tokens = 12;  // 12 sums, 12 dot products, codes, mask, scale, minimum
constexpr int kValueVectors = 4;
constexpr bool kFullIsSigned = false;

/// a * b + c, rounded once.
HC_INLINE vf fused(vf a, vf b, vf c) {
    return (vf)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
}

HC_INLINE vf load_half(const std::byte* p) {
    return (vf)_mm512_maskz_cvtph_ps(0xffff,
                                     _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
}

HC_INLINE float half_at(const std::byte* p) {
    std::uint16_t bits;
    __builtin_memcpy(&bits, p, 2);
    return _mm_cvtss_f32(_mm_cvtph_ps(_mm_cvtsi32_si128(bits)));
}

HC_INLINE void store_half(std::byte* p, vf v) {
    _mm256_storeu_si256(
        reinterpret_cast<__m256i*>(p),
        _mm512_maskz_cvtps_ph(0xffff, (__m512)v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}

/// kWidth bytes as ints, and ints in [-128, 127] as bytes.
HC_INLINE vi widen_unsigned(const std::byte* p) {
    return (vi)_mm512_maskz_cvtepu8_epi32(0xffff,
                                          _mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
}
HC_INLINE vi widen_signed(const std::byte* p) {
    return (vi)_mm512_maskz_cvtepi8_epi32(0xffff,
                                          _mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
}
HC_INLINE void store_bytes(std::int8_t* p, vi v) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm512_maskz_cvtepi32_epi8(0xffff, (__m512i)v));
}

/// sum + the products of four unsigned bytes of w and four signed bytes of x, per lane.
template <bool kFull>
HC_INLINE vi dot_bytes(vi sum, vi w, vi x) {
    return (vi)_mm512_dpbusd_epi32((__m512i)sum, (__m512i)w, (__m512i)x);
}

// Each builds on those before; the blank lines keep the formatter from sorting them.
#include "kernels/cpu/elementwise.inc"

#include "kernels/cpu/dequantize.inc"

#include "kernels/cpu/matrix.inc"

#include "kernels/cpu/decode_attention.inc"

#include "kernels/cpu/prefill_attention.inc"

}  // namespace

#include "kernels/cpu/table.inc"

}  // namespace hc::kernels::cpu::avx512

#endif
