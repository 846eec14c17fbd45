#include "tests/runtime/slow_model.h"

#include <algorithm>
#include <cmath>

#include "kernels/reference/ops.h"

namespace hc::test {
namespace {

std::vector<float> product(const WeightView& w, const std::vector<float>& bias,
                           const std::vector<float>& x, std::int64_t n) {
    std::vector<float> y(static_cast<std::size_t>(n * w.rows));
    kernels::reference::matmul(w, bias.empty() ? nullptr : bias.data(), x.data(), n, y.data());
    return y;
}

std::vector<float> norm(const std::vector<float>& x, const std::vector<float>& weight,
                        std::int64_t n, double eps) {
    std::vector<float> y(x.size());
    kernels::reference::rms_norm(x.data(), weight.data(), n,
                                 static_cast<std::int64_t>(weight.size()), static_cast<float>(eps),
                                 y.data());
    return y;
}

/// Rotation written out here once more, from the definition.
void rotate(float* x, std::int64_t head_dim, std::int64_t position, double theta,
            bool interleaved) {
    for (std::int64_t i = 0; i < head_dim / 2; ++i) {
        const double angle =
            static_cast<double>(position) *
            std::pow(theta, -2.0 * static_cast<double>(i) / static_cast<double>(head_dim));
        float& a = interleaved ? x[2 * i] : x[i];
        float& b = interleaved ? x[2 * i + 1] : x[i + head_dim / 2];
        const double x0 = a;
        const double x1 = b;
        a = static_cast<float>(x0 * std::cos(angle) - x1 * std::sin(angle));
        b = static_cast<float>(x0 * std::sin(angle) + x1 * std::cos(angle));
    }
}

std::vector<double> softmax(std::vector<double> z, const std::vector<bool>& mask) {
    double largest = -1e300;
    for (std::size_t j = 0; j < z.size(); ++j) {
        if (mask.empty() || mask[j]) largest = std::max(largest, z[j]);
    }
    double sum = 0;
    for (std::size_t j = 0; j < z.size(); ++j) {
        z[j] = mask.empty() || mask[j] ? std::exp(z[j] - largest) : 0.0;
        sum += z[j];
    }
    for (double& value : z) value /= sum;
    return z;
}

struct Projections {
    std::vector<float> q, k, v;
};

/// Attention output [n, num_qo_heads, head_dim].
std::vector<float> attend(const ModelShape& s, std::int32_t layer, const Projections& p,
                          std::int64_t n, const Visibility& visible) {
    const std::int64_t dim = s.head_dim;
    std::vector<float> out(p.q.size());
    for (std::int64_t i = 0; i < n; ++i) {
        for (std::int64_t h = 0; h < s.num_kv_heads; ++h) {
            SlowHead head;
            head.layer = layer;
            head.head = static_cast<std::int32_t>(h);
            head.query = i;
            head.probability.resize(static_cast<std::size_t>(i + 1));
            std::vector<std::vector<double>> logits;
            for (std::int64_t g = 0; g < s.group(); ++g) {
                const float* q =
                    &p.q[static_cast<std::size_t>((i * s.num_qo_heads + h * s.group() + g) * dim)];
                std::vector<double> z(static_cast<std::size_t>(i + 1));
                for (std::int64_t j = 0; j <= i; ++j) {
                    const float* k = &p.k[static_cast<std::size_t>((j * s.num_kv_heads + h) * dim)];
                    double dot = 0;
                    for (std::int64_t d = 0; d < dim; ++d) dot += static_cast<double>(q[d]) * k[d];
                    z[static_cast<std::size_t>(j)] = dot / std::sqrt(static_cast<double>(dim));
                }
                logits.push_back(z);
                head.rows.push_back(softmax(z, {}));
                for (std::size_t j = 0; j < z.size(); ++j) {
                    head.probability[j] += head.rows.back()[j] / static_cast<double>(s.group());
                }
            }
            const std::vector<bool> mask = visible ? visible(head) : std::vector<bool>{};
            for (std::int64_t g = 0; g < s.group(); ++g) {
                const std::vector<double> weights =
                    softmax(logits[static_cast<std::size_t>(g)], mask);
                float* o =
                    &out[static_cast<std::size_t>((i * s.num_qo_heads + h * s.group() + g) * dim)];
                for (std::int64_t d = 0; d < dim; ++d) {
                    double sum = 0;
                    for (std::int64_t j = 0; j <= i; ++j) {
                        sum +=
                            weights[static_cast<std::size_t>(j)] *
                            static_cast<double>(
                                p.v[static_cast<std::size_t>((j * s.num_kv_heads + h) * dim + d)]);
                    }
                    o[d] = static_cast<float>(sum);
                }
            }
        }
    }
    return out;
}

void add_to(std::vector<float>& x, const std::vector<float>& y) {
    for (std::size_t i = 0; i < x.size(); ++i) x[i] += y[i];
}

}  // namespace

SlowResult slow_forward(const model::Model& model, std::span<const model::TokenId> tokens,
                        const Visibility& visible) {
    const ModelShape& s = model.shape;
    const auto n = static_cast<std::int64_t>(tokens.size());
    std::vector<float> x(static_cast<std::size_t>(n * s.hidden));
    for (std::int64_t i = 0; i < n; ++i) {
        kernels::reference::dequantize_row(model.weights.embedding,
                                           tokens[static_cast<std::size_t>(i)],
                                           &x[static_cast<std::size_t>(i * s.hidden)]);
    }
    for (std::int32_t layer = 0; layer < s.num_layers; ++layer) {
        const model::LayerWeights& l = model.weights.layers[static_cast<std::size_t>(layer)];
        const std::vector<float> h = norm(x, l.attn_norm, n, s.rms_eps);
        Projections p{product(l.q, l.q_bias, h, n), product(l.k, l.k_bias, h, n),
                      product(l.v, l.v_bias, h, n)};
        for (std::int64_t i = 0; i < n; ++i) {
            for (std::int64_t head = 0; head < s.num_qo_heads; ++head) {
                rotate(&p.q[static_cast<std::size_t>((i * s.num_qo_heads + head) * s.head_dim)],
                       s.head_dim, i, s.rope_theta, model.weights.rope_interleaved);
            }
            for (std::int64_t head = 0; head < s.num_kv_heads; ++head) {
                rotate(&p.k[static_cast<std::size_t>((i * s.num_kv_heads + head) * s.head_dim)],
                       s.head_dim, i, s.rope_theta, model.weights.rope_interleaved);
            }
        }
        add_to(x, product(l.o, {}, attend(s, layer, p, n, visible), n));
        const std::vector<float> m = norm(x, l.mlp_norm, n, s.rms_eps);
        std::vector<float> gate = product(l.gate, {}, m, n);
        const std::vector<float> up = product(l.up, {}, m, n);
        for (std::size_t i = 0; i < gate.size(); ++i) {
            gate[i] = gate[i] / (1.0F + std::exp(-gate[i])) * up[i];
        }
        add_to(x, product(l.down, {}, gate, n));
    }
    const std::vector<float> h = norm(x, model.weights.final_norm, n, s.rms_eps);
    const std::vector<float> logits = product(model.weights.lm_head, {}, h, n);
    SlowResult result;
    for (std::int64_t i = 0; i < n; ++i) {
        result.logits.emplace_back(logits.begin() + i * s.vocab,
                                   logits.begin() + (i + 1) * s.vocab);
    }
    return result;
}

std::vector<float> slow_selection_score(const SlowHead& head, std::size_t prompt) {
    std::vector<float> score(prompt, 0.0F);
    for (const std::vector<double>& row : head.rows) {
        double mass = 0;  // softmax over the prompt alone
        for (std::size_t j = 0; j < prompt; ++j) mass += row[j];
        for (std::size_t j = 0; j < prompt; ++j) {
            double sum = 0;
            for (std::size_t i = j < 2 ? 0 : j - 2; i < std::min(prompt, j + 3); ++i)
                sum += row[i] / mass;
            score[j] = std::max(score[j], static_cast<float>(sum / 5));
        }
    }
    return score;
}

}  // namespace hc::test
