#include <cmath>
#include <vector>

#include "kernels/reference/ops.h"

namespace hc::kernels::reference {

void matmul(const WeightView& w, const float* bias, const float* x, std::int64_t n, float* y) {
    std::vector<float> row(static_cast<std::size_t>(w.cols));
    for (std::int64_t r = 0; r < w.rows; ++r) {
        dequantize_row(w, r, row.data());
        for (std::int64_t i = 0; i < n; ++i) {
            double sum = bias != nullptr ? bias[r] : 0.0;
            for (std::int64_t c = 0; c < w.cols; ++c) {
                sum += static_cast<double>(row[static_cast<std::size_t>(c)]) * x[i * w.cols + c];
            }
            y[i * w.rows + r] = static_cast<float>(sum);
        }
    }
}

void rms_norm(const float* x, const float* weight, std::int64_t n, std::int64_t dim, float eps,
              float* y) {
    for (std::int64_t i = 0; i < n; ++i) {
        double squares = 0;
        for (std::int64_t c = 0; c < dim; ++c) {
            squares += static_cast<double>(x[i * dim + c]) * x[i * dim + c];
        }
        const auto scale =
            static_cast<float>(1.0 / std::sqrt(squares / static_cast<double>(dim) + eps));
        for (std::int64_t c = 0; c < dim; ++c) y[i * dim + c] = x[i * dim + c] * scale * weight[c];
    }
}

void rope(float* x, std::int64_t num_heads, std::int64_t head_dim, std::int64_t position,
          const float* inv_freq, bool interleaved) {
    const std::int64_t half = head_dim / 2;
    for (std::int64_t h = 0; h < num_heads; ++h) {
        float* head = x + h * head_dim;
        for (std::int64_t i = 0; i < half; ++i) {
            // The product is rounded to fp32 first, as the models were trained and as every
            // common implementation has it.
            const float angle = static_cast<float>(position) * inv_freq[i];
            const float c = std::cos(angle);
            const float s = std::sin(angle);
            float& a = head[interleaved ? 2 * i : i];
            float& b = head[interleaved ? 2 * i + 1 : i + half];
            const float a0 = a;
            const float b0 = b;
            a = a0 * c - b0 * s;
            b = a0 * s + b0 * c;
        }
    }
}

void silu_mul(const float* gate, const float* up, std::int64_t count, float* y) {
    for (std::int64_t i = 0; i < count; ++i) y[i] = gate[i] / (1.0f + std::exp(-gate[i])) * up[i];
}

}  // namespace hc::kernels::reference
