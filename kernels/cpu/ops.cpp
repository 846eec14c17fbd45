/// The operators of ops.h at the machine's best level, and those that need no vectors.

#include "kernels/cpu/ops.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "engine/core/error.h"
#include "kernels/cpu/dispatch.h"

namespace hc::kernels::cpu {
namespace {

const KernelTable& best() {
    return kernels_for(best_level());
}

}  // namespace

std::string instruction_sets() {
    return std::string(level_name(best_level()));
}

void rms_norm(const float* x, const float* weight, std::int64_t n, std::int64_t dim, float eps,
              float* y) {
    best().rms_norm(x, weight, n, dim, eps, y);
}

void rope_table(float* x, std::int64_t num_heads, std::int64_t head_dim, const float* cos,
                const float* sin, bool interleaved) {
    best().rope_table(x, num_heads, head_dim, cos, sin, interleaved);
}

void rope(float* x, std::int64_t num_heads, std::int64_t head_dim, std::int64_t position,
          const float* inv_freq, bool interleaved) {
    constexpr std::int64_t kMostPairs = 512;
    float cos[kMostPairs];
    float sin[kMostPairs];
    const std::int64_t pairs = head_dim / 2;
    HC_CHECK(pairs <= kMostPairs);
    for (std::int64_t i = 0; i < pairs; ++i) {
        const float angle = static_cast<float>(position) * inv_freq[i];
        cos[i] = std::cos(angle);
        sin[i] = std::sin(angle);
    }
    rope_table(x, num_heads, head_dim, cos, sin, interleaved);
}

void silu_mul(const float* gate, const float* up, std::int64_t count, float* y) {
    best().silu_mul(gate, up, count, y);
}

void add(float* x, const float* y, std::int64_t count) {
    best().add(x, y, count);
}

void store_kv(const float* src, std::int64_t count, KvType type, std::byte* dst) {
    best().store_kv(src, count, type, dst);
}

void decode_attention(const PagedKv& kv, const float* q, std::int64_t group, float* out,
                      float* scratch, float* probs) {
    best().decode_attention(kv, q, group, out, scratch, probs);
}

void decode_attention_piece(const PagedKv& kv, std::int64_t begin, std::int64_t end, const float* q,
                            std::int64_t group, float* out, float* max, float* sum,
                            float* scratch) {
    best().decode_attention_piece(kv, begin, end, q, group, out, max, sum, scratch);
}

void merge_attention_pieces(const float* partial, const float* max, const float* sum,
                            std::int64_t pieces, std::int64_t group, std::int64_t head_dim,
                            float* out) {
    for (std::int64_t g = 0; g < group; ++g) {
        float top = -std::numeric_limits<float>::infinity();
        for (std::int64_t p = 0; p < pieces; ++p) {
            if (sum[p * group + g] > 0) top = std::max(top, max[p * group + g]);
        }
        float* to = out + g * head_dim;
        std::fill(to, to + head_dim, 0.0f);
        float total = 0;
        for (std::int64_t p = 0; p < pieces; ++p) {
            const std::int64_t at = p * group + g;
            if (!(sum[at] > 0)) continue;  // an empty piece has no maximum
            const float weight = std::exp(max[at] - top);
            total += weight * sum[at];
            for (std::int64_t d = 0; d < head_dim; ++d)
                to[d] += weight * partial[at * head_dim + d];
        }
        if (total > 0) {
            for (std::int64_t d = 0; d < head_dim; ++d) to[d] /= total;
        }
    }
}

void prefill_attention(const PagedKv& kv, const float* q, std::int64_t n, std::int64_t group,
                       std::int64_t q_stride, float* out, float* scratch) {
    best().prefill_attention(kv, q, n, group, q_stride, out, scratch);
}

std::int64_t prefill_attention_scratch(std::int64_t /*max_length*/, std::int64_t head_dim) {
    return best().prefill_attention_scratch(head_dim);
}

void selection_score(const PagedKv& kv, std::int64_t prompt, const float* q, std::int64_t group,
                     std::int32_t pool_width, bool half_precision, float* out, float* scratch) {
    best().selection_score(kv, prompt, q, group, pool_width, half_precision, out, scratch);
}

std::int64_t gather_rows(const std::byte* src, std::int64_t src_row_bytes,
                         const std::uint32_t* rows, std::int64_t count, std::byte* dst) {
    std::int64_t runs = 0;
    for (std::int64_t i = 0; i < count; ++runs) {
        std::int64_t end = i + 1;
        while (end < count && rows[end] == rows[end - 1] + 1) ++end;
        std::memcpy(dst + i * src_row_bytes,
                    src + static_cast<std::int64_t>(rows[i]) * src_row_bytes,
                    static_cast<std::size_t>((end - i) * src_row_bytes));
        i = end;
    }
    return runs;
}

}  // namespace hc::kernels::cpu
