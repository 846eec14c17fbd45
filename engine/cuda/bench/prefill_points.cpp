#include <random>

#include "engine/core/clock.h"
#include "engine/cuda/bench/points.h"

namespace hc::cuda::bench {
namespace {

constexpr const char* kName = "prefill@32K";
constexpr std::int64_t kTokens = 32 * 1024;
constexpr int kRepeats = 2;
constexpr double kTarget = 0.45;  // share of the measured bf16 peak

/// Multiplications and additions of a prompt: matrices for every token, the output matrix for the
/// last, causal attention.
double prompt_flops(const ModelShape& shape, double tokens) {
    const std::int64_t table = policy::aligned_bytes(2 * shape.vocab * shape.hidden);
    const std::int64_t tables = shape.tied_embeddings ? 1 : 2;
    const double parameters =
        static_cast<double>(policy::device_weight_bytes(shape) - tables * table) / 2;
    const double pairs = tokens * (tokens + 1) / 2;
    return 2 * parameters * tokens + 2 * static_cast<double>(shape.vocab * shape.hidden) +
           4 * static_cast<double>(shape.head_dim * shape.num_qo_heads * shape.num_layers) * pairs;
}

double seconds_of_prompt(CudaBackend& backend, const runtime::SequenceOptions& options,
                         const std::vector<TokenId>& tokens) {
    const SequenceId id = backend.add_sequence(options);
    const std::int64_t begin = now_ns();
    static_cast<void>(backend.prefill(id, tokens, nullptr));
    const double seconds = 1e-9 * static_cast<double>(now_ns() - begin);
    backend.remove_sequence(id);
    return seconds;
}

}  // namespace

void prefill_points(Setup& setup) {
    setup.report.measure(kName, [&] {
        const std::unique_ptr<CudaBackend> backend = setup.backend({});
        std::mt19937 random(1);
        std::uniform_int_distribution<TokenId> any(
            0, static_cast<TokenId>(setup.model.shape.vocab - 1));
        std::vector<TokenId> tokens;
        for (std::int64_t i = 0; i < kTokens; ++i) tokens.push_back(any(random));
        // The first prompt also backs the pages and lets the library choose its kernels.
        const double first = seconds_of_prompt(*backend, setup.full(128), tokens);
        std::vector<double> times;
        for (int i = 0; i < kRepeats; ++i) {
            times.push_back(seconds_of_prompt(*backend, setup.full(128), tokens));
        }
        const double seconds = quantile(times, 0);
        const double rate =
            1e-12 * prompt_flops(setup.model.shape, static_cast<double>(kTokens)) / seconds;
        Json point;
        point["tokens"] = kTokens;
        point["chunk"] = kPrefillChunk;
        point["seconds"] = rounded(seconds);
        point["seconds_most"] = rounded(quantile(times, 1));
        point["seconds_first"] = rounded(first);
        point["tokens_per_s"] = rounded(static_cast<double>(kTokens) / seconds);
        point["tflop_per_s"] = rounded(rate);
        point["share_of_peak"] = setup.limits.bf16_tflop_per_s > 0
                                     ? Json(rounded(rate / setup.limits.bf16_tflop_per_s))
                                     : Json(nullptr);
        point["target_share"] = kTarget;
        return point;
    });
}

}  // namespace hc::cuda::bench
