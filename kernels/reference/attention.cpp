#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "engine/core/half.h"
#include "kernels/reference/ops.h"

namespace hc::kernels::reference {
namespace {

// Row `slot` of the keys (values: second half of the page) as fp32.
void load_row(const PagedKv& kv, std::int64_t slot, bool value, std::vector<float>& out) {
    const std::byte* page = kv.pages[slot / kv.page_size];
    const std::int64_t row = slot % kv.page_size + (value ? kv.page_size : 0);
    const auto dim = static_cast<std::size_t>(kv.head_dim);
    const std::byte* source = page + static_cast<std::size_t>(row) * dim * kv_bytes(kv.type);
    out.resize(dim);
    for (std::size_t d = 0; d < dim; ++d) {
        if (kv.type == KvType::kF32) {
            std::memcpy(&out[d], source + 4 * d, 4);
        } else {
            std::uint16_t bits = 0;
            std::memcpy(&bits, source + 2 * d, 2);
            out[d] = half_to_float(bits);
        }
    }
}

float dot(const float* q, const std::vector<float>& k) {
    double sum = 0;
    for (std::size_t d = 0; d < k.size(); ++d) sum += static_cast<double>(q[d]) * k[d];
    return static_cast<float>(sum);
}

void softmax(std::vector<float>& s) {
    if (s.empty()) return;
    const float top = *std::max_element(s.begin(), s.end());
    double sum = 0;
    for (float& v : s) {
        v = std::exp(v - top);
        sum += v;
    }
    for (float& v : s) v = static_cast<float>(v / sum);
}

// One query over the first `visible` tokens.
void attend(const PagedKv& kv, std::int64_t visible, const float* q, float* out, float* probs) {
    const float scale = 1.0f / std::sqrt(static_cast<float>(kv.head_dim));
    std::vector<float> row;
    std::vector<float> p(static_cast<std::size_t>(visible));
    for (std::int64_t t = 0; t < visible; ++t) {
        load_row(kv, t, false, row);
        p[static_cast<std::size_t>(t)] = dot(q, row) * scale;
    }
    softmax(p);
    std::vector<double> sum(static_cast<std::size_t>(kv.head_dim), 0.0);
    for (std::int64_t t = 0; t < visible; ++t) {
        load_row(kv, t, true, row);
        for (std::size_t d = 0; d < sum.size(); ++d) {
            sum[d] += static_cast<double>(p[static_cast<std::size_t>(t)]) * row[d];
        }
    }
    std::transform(sum.begin(), sum.end(), out, [](double v) { return static_cast<float>(v); });
    if (probs != nullptr) std::copy(p.begin(), p.end(), probs);
}

}  // namespace

void decode_attention(const PagedKv& kv, const float* q, std::int64_t group, float* out,
                      float* probs) {
    for (std::int64_t g = 0; g < group; ++g) {
        attend(kv, kv.length, q + g * kv.head_dim, out + g * kv.head_dim,
               probs == nullptr ? nullptr : probs + g * kv.length);
    }
}

void prefill_attention(const PagedKv& kv, const float* q, std::int64_t n, std::int64_t group,
                       std::int64_t q_stride, float* out) {
    for (std::int64_t i = 0; i < n; ++i) {
        for (std::int64_t g = 0; g < group; ++g) {
            const std::int64_t at = i * q_stride + g * kv.head_dim;
            attend(kv, kv.length - n + i + 1, q + at, out + at, nullptr);
        }
    }
}

void selection_score(const PagedKv& kv, std::int64_t prompt, const float* q, std::int64_t group,
                     std::int32_t pool_width, bool half_precision, float* out) {
    if (prompt <= 0) return;
    const float scale = 1.0f / std::sqrt(static_cast<float>(kv.head_dim));
    const std::int64_t width = std::min<std::int64_t>(pool_width, prompt);
    std::vector<float> row;
    std::vector<float> s(static_cast<std::size_t>(prompt));
    std::fill(out, out + prompt, -std::numeric_limits<float>::infinity());
    for (std::int64_t g = 0; g < group; ++g) {
        for (std::int64_t t = 0; t < prompt; ++t) {
            load_row(kv, t, false, row);
            const float product = dot(q + g * kv.head_dim, row);
            s[static_cast<std::size_t>(t)] =
                half_precision ? through_half(through_half(product) * scale) : product * scale;
        }
        softmax(s);
        if (half_precision) std::transform(s.begin(), s.end(), s.begin(), through_half);
        for (std::int64_t t = 0; t < prompt; ++t) {
            float sum = 0;  // left to right, as policy::mean_filter
            for (std::int64_t j = t - width / 2; j < t - width / 2 + width; ++j) {
                if (j >= 0 && j < prompt) sum += s[static_cast<std::size_t>(j)];
            }
            float mean = sum / static_cast<float>(width);
            if (half_precision) mean = through_half(mean);
            out[t] = std::max(out[t], mean);
        }
    }
}

}  // namespace hc::kernels::reference
