// A decode step of Llama-3.1-8B from the kernels that have a step's joints fused into them: every
// product alone, attention alone, and layer after layer, each plainly and with overlap (pdl).
#include <algorithm>
#include <memory>
#include <numeric>
#include <random>
#include <span>

#include "kernels/cuda/bench/measure.h"
#include "kernels/cuda/decode_attention.h"
#include "kernels/cuda/decode_matmul.h"

namespace hc::kernels::cuda::bench {
namespace {

constexpr std::int32_t kQo = 32, kKv = 8, kDim = 128, kPageSize = 64;
constexpr std::int64_t kHidden = 4096, kMlp = 14336, kVocabulary = 128256;
constexpr std::int64_t kQkvRows = (kQo + 2 * kKv) * kDim;
constexpr std::int32_t kMaxTokens = 8;
constexpr double kRotation = 400e6;  // bytes of weights in turn, several times any L2
constexpr int kLayers = 8;           // with weights of their own

std::unique_ptr<DeviceMemory> put(const std::vector<std::int32_t>& v) {
    auto memory = std::make_unique<DeviceMemory>(4 * v.size(), false);
    require(cudaMemcpy(memory->as<void>(), v.data(), 4 * v.size(), cudaMemcpyHostToDevice),
            "cudaMemcpy");
    return memory;
}

// The cache of one layer with `tokens` in every pair, the last one appended in this step.
struct Cache {
    Cache(std::int32_t tokens, std::int32_t sequences) {
        const std::int32_t pairs = sequences * kKv;
        const std::int32_t per_pair = (tokens + kPageSize - 1) / kPageSize;
        std::vector<std::int32_t> indices(static_cast<std::size_t>(pairs * per_pair));
        std::iota(indices.begin(), indices.end(), 0);
        std::shuffle(indices.begin(), indices.end(), std::mt19937(1));
        std::vector<std::int32_t> indptr;
        for (std::int32_t p = 0; p < pairs; ++p) indptr.push_back(p * per_pair);
        pages_ = std::make_unique<DeviceMemory>(indices.size() * 4 * kPageSize * kDim);
        indices_ = put(indices);
        indptr_ = put(indptr);
        lengths_ = put(std::vector<std::int32_t>(static_cast<std::size_t>(pairs), tokens - 1));
        view = {pages_->as<Bf16>(),
                indices_->as<std::int32_t>(),
                indptr_->as<std::int32_t>(),
                lengths_->as<std::int32_t>(),
                pairs,
                kPageSize,
                kDim,
                1};
        bytes = 4.0 * kDim * pairs * tokens;
    }
    std::unique_ptr<DeviceMemory> pages_, indices_, indptr_, lengths_;
    PagedKvCache view;
    double bytes = 0;
};

// What the kernels of a step read and write besides weights and cache.
struct Activations {
    DeviceMemory residual{kMaxTokens * kHidden * 4, false};
    DeviceMemory norm_weight{kHidden * 2};
    DeviceMemory q{kMaxTokens * kHidden * 2};
    DeviceMemory attended{kMaxTokens * kHidden * 2};
    DeviceMemory middle{kMaxTokens * kMlp * 2};
    DeviceMemory logits{kMaxTokens * kVocabulary * 4, false};
    std::unique_ptr<DeviceMemory> positions = put(std::vector<std::int32_t>(kMaxTokens, 32000));
    DeviceMemory inv_freq{kDim / 2 * 4, false};
};

enum class Product : std::uint8_t { kQkv, kO, kGateUp, kDown, kLmHead };

struct Shape {
    Product product;
    const char* name;
    std::int64_t rows;
    std::int64_t cols;
    [[nodiscard]] std::size_t bytes() const { return static_cast<std::size_t>(2 * rows * cols); }
};

constexpr Shape kShapes[] = {{Product::kQkv, "qkv", kQkvRows, kHidden},
                             {Product::kO, "o", kHidden, kHidden},
                             {Product::kGateUp, "gate_up", 2 * kMlp, kHidden},
                             {Product::kDown, "down", kHidden, kMlp},
                             {Product::kLmHead, "lm_head", kVocabulary, kHidden}};

void enqueue(const Shape& shape, const DeviceMemory& w, std::int32_t n, const Activations& act,
             const PagedKvCache& cache, bool pdl, cudaStream_t stream) {
    DecodeMatmulArguments a;
    a.w = w.as<Bf16>();
    a.rows = shape.rows;
    a.cols = shape.cols;
    a.n = n;
    a.norm_weight = act.norm_weight.as<Bf16>();
    a.eps = 1e-5f;
    a.x_f32 = act.residual.as<float>();
    a.out_f32 = act.residual.as<float>();
    switch (shape.product) {
        case Product::kQkv:
            a.prologue = MatmulPrologue::kRmsNorm;
            a.epilogue = MatmulEpilogue::kRopeAppend;
            a.out = act.q.as<Bf16>();
            a.positions = act.positions->as<std::int32_t>();
            a.inv_freq = act.inv_freq.as<float>();
            a.num_qo_heads = kQo;
            a.num_kv_heads = kKv;
            a.cache = cache;
            break;
        case Product::kO:
            a.epilogue = MatmulEpilogue::kAddF32;
            a.x = act.attended.as<Bf16>();
            break;
        case Product::kGateUp:
            a.prologue = MatmulPrologue::kRmsNorm;
            a.epilogue = MatmulEpilogue::kSiluMul;
            a.out = act.middle.as<Bf16>();
            break;
        case Product::kDown:
            a.epilogue = MatmulEpilogue::kAddF32;
            a.x = act.middle.as<Bf16>();
            break;
        case Product::kLmHead:
            a.prologue = MatmulPrologue::kRmsNorm;
            a.epilogue = MatmulEpilogue::kStoreF32;
            a.out_f32 = act.logits.as<float>();
            break;
    }
    require(decode_matmul(a, pdl, stream), "decode_matmul");
}

std::string with_pdl(const std::string& name, bool pdl) {
    return pdl ? name + " pdl" : name;
}

void bench_products(Report& report, const Activations& act) {
    for (const Shape& shape : kShapes) {
        const int copies = static_cast<int>(kRotation / static_cast<double>(shape.bytes())) + 1;
        std::vector<std::unique_ptr<DeviceMemory>> weights;
        for (int i = 0; i < copies; ++i) {
            weights.push_back(std::make_unique<DeviceMemory>(shape.bytes()));
        }
        for (const std::int32_t n : {1, 2, 4, 5, 8}) {
            const Cache cache(1024, n);
            for (const bool pdl : {false, true}) {
                const double us = median_us(2 * copies, 31, [&](int i, cudaStream_t stream) {
                    enqueue(shape, *weights[static_cast<std::size_t>(i % copies)], n, act,
                            cache.view, pdl && i > 0, stream);
                });
                report.add({with_pdl(std::string("decode matmul ") + shape.name + " batch " +
                                         std::to_string(n),
                                     pdl),
                            us, static_cast<double>(shape.bytes())});
            }
        }
    }
}

void bench_attention(Report& report, const Activations& act) {
    DecodeAttentionPlan plan;
    require(plan_decode_attention(kKv, kQo / kKv, kDim, plan), "plan");
    const DeviceMemory workspace(plan.workspace_bytes, false);
    for (const std::int32_t kilo : {32, 64, 128, 224}) {
        const int copies = kilo > 64 ? 2 : 4;
        std::vector<std::unique_ptr<Cache>> caches;
        for (int i = 0; i < copies; ++i) caches.push_back(std::make_unique<Cache>(1024 * kilo, 1));
        for (const bool pdl : {false, true}) {
            const double us = median_us(4 * copies, 31, [&](int i, cudaStream_t stream) {
                require(decode_attention(plan, caches[static_cast<std::size_t>(i % copies)]->view,
                                         act.q.as<Bf16>(), act.attended.as<Bf16>(),
                                         workspace.as<void>(), stream, pdl && i > 0),
                        "decode_attention");
            });
            report.add({with_pdl("attention appended " + std::to_string(kilo) + "K", pdl), us,
                        caches[0]->bytes});
        }
    }
}

// One call is a layer. The cache is the same for all: what lies between two uses is several times
// any L2.
void bench_layers(Report& report, const Activations& act) {
    std::vector<std::vector<std::unique_ptr<DeviceMemory>>> weights(kLayers);
    double weight_bytes = 0;
    for (const Shape& shape : std::span(kShapes).first<4>()) {
        for (auto& layer : weights) layer.push_back(std::make_unique<DeviceMemory>(shape.bytes()));
        weight_bytes += static_cast<double>(shape.bytes());
    }
    for (const std::int32_t n : {1, 4}) {
        DecodeAttentionPlan plan;
        require(plan_decode_attention(n * kKv, kQo / kKv, kDim, plan), "plan");
        const DeviceMemory workspace(plan.workspace_bytes, false);
        for (const std::int32_t kilo : {32, 128, 224}) {
            const Cache cache(1024 * kilo, n);
            for (const bool pdl : {false, true}) {
                const double us = median_us(kLayers, 31, [&](int i, cudaStream_t stream) {
                    const auto& w = weights[static_cast<std::size_t>(i)];
                    enqueue(kShapes[0], *w[0], n, act, cache.view, pdl && i > 0, stream);
                    require(decode_attention(plan, cache.view, act.q.as<Bf16>(),
                                             act.attended.as<Bf16>(), workspace.as<void>(), stream,
                                             pdl),
                            "decode_attention");
                    for (std::size_t k = 1; k < 4; ++k) {
                        enqueue(kShapes[k], *w[k], n, act, cache.view, pdl, stream);
                    }
                });
                report.add({with_pdl("decode chain, layer at " + std::to_string(kilo) +
                                         "K, batch " + std::to_string(n),
                                     pdl),
                            us, weight_bytes + cache.bytes});
            }
        }
    }
}

}  // namespace

void bench_decode_chain(Report& report) {
    const Activations act;
    bench_products(report, act);
    bench_attention(report, act);
    bench_layers(report, act);
}

}  // namespace hc::kernels::cuda::bench
