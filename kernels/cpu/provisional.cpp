#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "engine/core/half.h"
#include "kernels/cpu/ops.h"
#include "kernels/reference/ops.h"

namespace hc::kernels::cpu {

struct PreparedWeight::Impl {
    WeightView view;
};
struct MatmulWorkspace::Impl {
    std::vector<std::vector<float>> rows;
};

std::string instruction_sets() {
    return "plain";
}

PreparedWeight::PreparedWeight() : impl_(std::make_unique<Impl>()) {}
PreparedWeight::PreparedWeight(const WeightView& view, Precision, ThreadPool&)
    : impl_(std::make_unique<Impl>(Impl{view})) {}
PreparedWeight::~PreparedWeight() = default;
PreparedWeight::PreparedWeight(PreparedWeight&&) noexcept = default;
PreparedWeight& PreparedWeight::operator=(PreparedWeight&&) noexcept = default;
std::int64_t PreparedWeight::rows() const {
    return impl_->view.rows;
}
std::int64_t PreparedWeight::cols() const {
    return impl_->view.cols;
}
std::int64_t PreparedWeight::size_bytes() const {
    return impl_->view.data == nullptr ? 0 : static_cast<std::int64_t>(impl_->view.size_bytes());
}

MatmulWorkspace::MatmulWorkspace(std::int64_t, std::int64_t max_cols, std::int64_t, int threads)
    : impl_(std::make_unique<Impl>()) {
    impl_->rows.assign(static_cast<std::size_t>(threads),
                       std::vector<float>(static_cast<std::size_t>(max_cols)));
}
MatmulWorkspace::~MatmulWorkspace() = default;
MatmulWorkspace::MatmulWorkspace(MatmulWorkspace&&) noexcept = default;

void matmul(const PreparedWeight& w, const float* bias, const float* x, std::int64_t n, float* y,
            std::int64_t y_stride, MatmulWorkspace& workspace, ThreadPool& pool) {
    const WeightView& v = w.impl().view;
    pool.parallel_for(v.rows, 16, [&](std::int64_t begin, std::int64_t end, int worker) {
        std::vector<float>& row = workspace.impl().rows[static_cast<std::size_t>(worker)];
        for (std::int64_t r = begin; r < end; ++r) {
            reference::dequantize_row(v, r, row.data());
            for (std::int64_t i = 0; i < n; ++i) {
                float lanes[16] = {};
                std::int64_t c = 0;
                for (; c + 16 <= v.cols; c += 16) {
                    for (int l = 0; l < 16; ++l)
                        lanes[l] += row[static_cast<std::size_t>(c + l)] * x[i * v.cols + c + l];
                }
                float sum = bias != nullptr ? bias[r] : 0.0f;
                for (; c < v.cols; ++c) sum += row[static_cast<std::size_t>(c)] * x[i * v.cols + c];
                for (const float lane : lanes) sum += lane;
                y[i * y_stride + r] = sum;
            }
        }
    });
}

void matmul_many(const MatmulTarget* targets, int count, const float* x, std::int64_t n,
                 MatmulWorkspace& workspace, ThreadPool& pool) {
    for (int t = 0; t < count; ++t) {
        matmul(*targets[t].w, targets[t].bias, x, n, targets[t].y, targets[t].y_stride, workspace,
               pool);
    }
}

void rms_norm(const float* x, const float* weight, std::int64_t n, std::int64_t dim, float eps,
              float* y) {
    reference::rms_norm(x, weight, n, dim, eps, y);
}
void rope(float* x, std::int64_t num_heads, std::int64_t head_dim, std::int64_t position,
          const float* inv_freq, bool interleaved) {
    reference::rope(x, num_heads, head_dim, position, inv_freq, interleaved);
}
void rope_table(float* x, std::int64_t num_heads, std::int64_t head_dim, const float* cos,
                const float* sin, bool interleaved) {
    const std::int64_t half = head_dim / 2;
    for (std::int64_t h = 0; h < num_heads; ++h) {
        for (std::int64_t i = 0; i < half; ++i) {
            float& a = x[h * head_dim + (interleaved ? 2 * i : i)];
            float& b = x[h * head_dim + (interleaved ? 2 * i + 1 : i + half)];
            const float a0 = a;
            a = a0 * cos[i] - b * sin[i];
            b = a0 * sin[i] + b * cos[i];
        }
    }
}
void silu_mul(const float* gate, const float* up, std::int64_t count, float* y) {
    reference::silu_mul(gate, up, count, y);
}
void add(float* x, const float* y, std::int64_t count) {
    for (std::int64_t i = 0; i < count; ++i) x[i] += y[i];
}
void store_kv(const float* src, std::int64_t count, KvType type, std::byte* dst) {
    for (std::int64_t i = 0; i < count; ++i) {
        if (type == KvType::kF32) {
            std::memcpy(dst + 4 * i, src + i, 4);
        } else {
            const std::uint16_t half = float_to_half(src[i]);
            std::memcpy(dst + 2 * i, &half, 2);
        }
    }
}
void decode_attention(const PagedKv& kv, const float* q, std::int64_t group, float* out, float*,
                      float* probs) {
    reference::decode_attention(kv, q, group, out, probs);
}
void decode_attention_piece(const PagedKv& kv, std::int64_t begin, std::int64_t end, const float* q,
                            std::int64_t group, float* out, float* max, float* sum, float*) {
    const float scale = 1.0f / std::sqrt(static_cast<float>(kv.head_dim));
    for (std::int64_t g = 0; g < group; ++g) {
        float* o = out + g * kv.head_dim;
        std::fill(o, o + kv.head_dim, 0.0f);
        max[g] = -INFINITY;
        sum[g] = 0;
        for (std::int64_t t = begin; t < end; ++t) {
            const std::byte* page = kv.pages[t / kv.page_size];
            const auto at = [&](std::int64_t row, std::int64_t d) {
                const std::int64_t i = row * kv.head_dim + d;
                if (kv.type == KvType::kF32) {
                    float v = 0;
                    std::memcpy(&v, page + 4 * i, 4);
                    return v;
                }
                std::uint16_t v = 0;
                std::memcpy(&v, page + 2 * i, 2);
                return half_to_float(v);
            };
            float s = 0;
            for (std::int64_t d = 0; d < kv.head_dim; ++d)
                s += q[g * kv.head_dim + d] * at(t % kv.page_size, d);
            s *= scale;
            const float top = std::max(max[g], s);
            const float shrink = std::exp(max[g] - top);
            const float p = std::exp(s - top);
            for (std::int64_t d = 0; d < kv.head_dim; ++d) {
                o[d] = o[d] * shrink + p * at(t % kv.page_size + kv.page_size, d);
            }
            sum[g] = sum[g] * shrink + p;
            max[g] = top;
        }
    }
}
void merge_attention_pieces(const float* partial, const float* max, const float* sum,
                            std::int64_t pieces, std::int64_t group, std::int64_t head_dim,
                            float* out) {
    for (std::int64_t g = 0; g < group; ++g) {
        float top = -INFINITY;
        for (std::int64_t p = 0; p < pieces; ++p) {
            if (sum[p * group + g] > 0) top = std::max(top, max[p * group + g]);
        }
        float* o = out + g * head_dim;
        std::fill(o, o + head_dim, 0.0f);
        float total = 0;
        for (std::int64_t p = 0; p < pieces; ++p) {
            if (!(sum[p * group + g] > 0)) continue;
            const float weight = std::exp(max[p * group + g] - top);
            total += weight * sum[p * group + g];
            for (std::int64_t d = 0; d < head_dim; ++d) {
                o[d] += weight * partial[(p * group + g) * head_dim + d];
            }
        }
        if (total > 0) {
            for (std::int64_t d = 0; d < head_dim; ++d) o[d] /= total;
        }
    }
}
void prefill_attention(const PagedKv& kv, const float* q, std::int64_t n, std::int64_t group,
                       std::int64_t q_stride, float* out, float*) {
    reference::prefill_attention(kv, q, n, group, q_stride, out);
}
std::int64_t prefill_attention_scratch(std::int64_t, std::int64_t head_dim) {
    return head_dim;
}
void selection_score(const PagedKv& kv, std::int64_t prompt, const float* q, std::int64_t group,
                     std::int32_t pool_width, bool half_precision, float* out, float*) {
    reference::selection_score(kv, prompt, q, group, pool_width, half_precision, out);
}
std::int64_t gather_rows(const std::byte* src, std::int64_t src_row_bytes,
                         const std::uint32_t* rows, std::int64_t count, std::byte* dst) {
    std::int64_t runs = 0;
    for (std::int64_t i = 0; i < count;) {
        std::int64_t end = i + 1;
        while (end < count && rows[end] == rows[end - 1] + 1) ++end;
        const auto bytes = static_cast<std::size_t>((end - i) * src_row_bytes);
        std::memcpy(dst + i * src_row_bytes,
                    src + static_cast<std::int64_t>(rows[i]) * src_row_bytes, bytes);
        ++runs;
        i = end;
    }
    return runs;
}

}  // namespace hc::kernels::cpu
