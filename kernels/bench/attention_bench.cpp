/// Attention of one KV head on one core: decode in bytes of keys and values (each must be read
/// once), a prefill chunk in operations against the fp32 micro-kernel's rate.

#include <benchmark/benchmark.h>

#include <algorithm>
#include <random>
#include <vector>

#include "kernels/bench/limits.h"
#include "kernels/cpu/ops.h"

namespace hc::bench {
namespace {

using kernels::KvType;
using kernels::PagedKv;

constexpr std::int64_t kHeadDim = 64;
constexpr std::int64_t kGroup = 3;
constexpr std::int64_t kPageSize = 256;

// KV heads enough for `bytes` in all.
struct Heads {
    Heads(KvType type, std::int64_t length, std::int64_t bytes) {
        std::mt19937 random(1);
        std::normal_distribution<float> normal;
        std::vector<float> values(static_cast<std::size_t>(2 * kPageSize * kHeadDim));
        for (float& v : values) v = normal(random);
        const auto page_bytes = values.size() * kernels::kv_bytes(type);
        const std::int64_t pages = (length + kPageSize - 1) / kPageSize;
        const std::int64_t heads =
            std::max<std::int64_t>(1, bytes / (pages * static_cast<std::int64_t>(page_bytes)));
        for (std::int64_t h = 0; h < heads; ++h) {
            lists.emplace_back();
            for (std::int64_t p = 0; p < pages; ++p) {
                storage.emplace_back(page_bytes);
                kernels::cpu::store_kv(values.data(), static_cast<std::int64_t>(values.size()),
                                       type, storage.back().data());
                lists.back().push_back(storage.back().data());
            }
        }
        for (const auto& list : lists)
            views.push_back({list.data(), length, kPageSize, kHeadDim, type});
    }
    std::vector<std::vector<std::byte>> storage;
    std::vector<std::vector<const std::byte*>> lists;
    std::vector<PagedKv> views;
};

std::vector<float> random_queries(std::int64_t count) {
    std::mt19937 random(2);
    std::normal_distribution<float> normal;
    std::vector<float> q(static_cast<std::size_t>(count));
    for (float& v : q) v = normal(random);
    return q;
}

void run_decode(benchmark::State& state, KvType type, bool score_only) {
    const std::int64_t length = state.range(0);
    const Limits& most = limits();
    const Heads heads(type, length, 96 << 20);
    const std::vector<float> q = random_queries(kGroup * kHeadDim);
    std::vector<float> out(static_cast<std::size_t>(std::max(kGroup * kHeadDim, length)));
    std::vector<float> scratch(static_cast<std::size_t>((kGroup + 1) * (length + 5)));
    std::size_t next = 0;
    for (auto _ : state) {
        const PagedKv& kv = heads.views[next];
        if (score_only) {
            kernels::cpu::selection_score(kv, length, q.data(), kGroup, 5, false, out.data(),
                                          scratch.data());
        } else {
            kernels::cpu::decode_attention(kv, q.data(), kGroup, out.data(), scratch.data(),
                                           nullptr);
        }
        next = (next + 1) % heads.views.size();
        benchmark::ClobberMemory();
    }
    const double bytes = static_cast<double>(state.iterations()) *
                         static_cast<double>((score_only ? 1 : 2) * length * kHeadDim) *
                         static_cast<double>(kernels::kv_bytes(type));
    using benchmark::Counter;
    state.counters["GB/s"] = Counter(bytes * 1e-9, Counter::kIsRate);
    state.counters["of_reads"] = Counter(bytes / most.read_bytes_per_s, Counter::kIsRate);
}

void run_prefill(benchmark::State& state, KvType type) {
    const std::int64_t length = state.range(0);
    const std::int64_t n = 512;
    const Limits& most = limits();
    const Heads heads(type, length, 1);
    const std::vector<float> q = random_queries(n * kGroup * kHeadDim);
    std::vector<float> out(q.size());
    std::vector<float> scratch(
        static_cast<std::size_t>(kernels::cpu::prefill_attention_scratch(length, kHeadDim)));
    for (auto _ : state) {
        kernels::cpu::prefill_attention(heads.views[0], q.data(), n, kGroup, kGroup * kHeadDim,
                                        out.data(), scratch.data());
        benchmark::ClobberMemory();
    }
    // Two products of head_dim per visible pair of query and key.
    const auto pairs = static_cast<double>(n * (length - n) + n * (n + 1) / 2);
    const double operations =
        static_cast<double>(state.iterations()) * 4.0 * pairs * kGroup * kHeadDim;
    using benchmark::Counter;
    state.counters["Gop/s"] = Counter(operations * 1e-9, Counter::kIsRate);
    state.counters["of_peak_core"] =
        Counter(operations / most.fp32_flops_per_s_core, Counter::kIsRate);
}

// One thread: rates by its processor time, so that a busy machine does not lower them.
BENCHMARK_CAPTURE(run_decode, decode_f32, KvType::kF32, false)->Arg(512)->Arg(4096);
BENCHMARK_CAPTURE(run_decode, decode_f16, KvType::kF16, false)->Arg(512)->Arg(4096);
BENCHMARK_CAPTURE(run_decode, score_f32, KvType::kF32, true)->Arg(4096);
BENCHMARK_CAPTURE(run_prefill, prefill_f32, KvType::kF32)->Arg(512)->Arg(2048)->Arg(8192);
BENCHMARK_CAPTURE(run_prefill, prefill_f16, KvType::kF16)->Arg(512)->Arg(8192);

}  // namespace
}  // namespace hc::bench

BENCHMARK_MAIN();
