/// The level that every processor has: vectors of four floats, which the compiler maps to
/// whatever the architecture guarantees.

#include "engine/core/half.h"
#include "kernels/cpu/dispatch.h"
#include "kernels/reference/ops.h"

#define HC_WIDTH 4
#define HC_TARGET

namespace hc::kernels::cpu::plain {
namespace {

#include "kernels/cpu/simd.inc"

constexpr int kFp32Tokens = 4;
constexpr int kInt8Tokens = 4;
constexpr int kValueVectors = 2;
constexpr bool kFullIsSigned = false;

/// a * b + c, rounded twice.
HC_INLINE vf fused(vf a, vf b, vf c) {
    return a * b + c;
}

HC_INLINE vf load_half(const std::byte* p) {
    vf v;
    for (int i = 0; i < kWidth; ++i) {
        std::uint16_t bits;
        __builtin_memcpy(&bits, p + 2 * i, 2);
        v[i] = half_to_float(bits);
    }
    return v;
}

HC_INLINE float half_at(const std::byte* p) {
    std::uint16_t bits;
    __builtin_memcpy(&bits, p, 2);
    return half_to_float(bits);
}

HC_INLINE void store_half(std::byte* p, vf v) {
    for (int i = 0; i < kWidth; ++i) {
        const std::uint16_t bits = float_to_half(v[i]);
        __builtin_memcpy(p + 2 * i, &bits, 2);
    }
}

/// kWidth bytes as ints, and ints in [-128, 127] as bytes.
HC_INLINE vi widen_unsigned(const std::byte* p) {
    vi v;
    for (int i = 0; i < kWidth; ++i) v[i] = static_cast<std::uint8_t>(p[i]);
    return v;
}
HC_INLINE vi widen_signed(const std::byte* p) {
    vi v;
    for (int i = 0; i < kWidth; ++i) v[i] = static_cast<std::int8_t>(p[i]);
    return v;
}
HC_INLINE void store_bytes(std::int8_t* p, vi v) {
    for (int i = 0; i < kWidth; ++i) p[i] = static_cast<std::int8_t>(v[i]);
}

/// sum + the products of four unsigned bytes of w and four signed bytes of x, per lane.
template <bool kFull>
HC_INLINE vi dot_bytes(vi sum, vi w, vi x) {
    for (int byte = 0; byte < 4; ++byte) {
        const vi unsigned_byte = (w >> (8 * byte)) & set1_int(255);
        const vi signed_byte = (vi)((vu)x << (24 - 8 * byte)) >> 24;
        sum += unsigned_byte * signed_byte;
    }
    return sum;
}

// Each builds on those before; the blank lines keep the formatter from sorting them.
#include "kernels/cpu/elementwise.inc"

#include "kernels/cpu/dequantize.inc"

#include "kernels/cpu/matrix.inc"

#include "kernels/cpu/decode_attention.inc"

#include "kernels/cpu/prefill_attention.inc"

}  // namespace

#include "kernels/cpu/table.inc"

}  // namespace hc::kernels::cpu::plain
