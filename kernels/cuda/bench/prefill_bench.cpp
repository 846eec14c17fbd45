// Prefill attention: whole prompts, and a chunk late in a long one.
#include <algorithm>
#include <memory>
#include <numeric>
#include <random>

#include "kernels/cuda/bench/measure.h"
#include "kernels/cuda/prefill_attention.h"

namespace hc::kernels::cuda::bench {
namespace {

constexpr std::int32_t kPageSize = 64;

struct Heads {
    std::int32_t qo;
    std::int32_t kv;
    std::int32_t dim;
};

std::unique_ptr<DeviceMemory> put(const std::vector<std::int32_t>& v) {
    auto memory = std::make_unique<DeviceMemory>(4 * v.size(), false);
    require(cudaMemcpy(memory->as<void>(), v.data(), 4 * v.size(), cudaMemcpyHostToDevice),
            "cudaMemcpy");
    return memory;
}

// A chunk of n tokens after `past` earlier ones; pages of the cache in no order.
void bench_one(Report& report, const std::string& name, const Heads& heads, std::int32_t n,
               std::int32_t past) {
    const std::int32_t length = past + n;
    const std::int32_t pages_per_head = (length + kPageSize - 1) / kPageSize;
    std::vector<std::int32_t> indptr;
    for (std::int32_t h = 0; h < heads.kv; ++h) indptr.push_back(h * pages_per_head);
    std::vector<std::int32_t> indices(static_cast<std::size_t>(heads.kv * pages_per_head));
    std::iota(indices.begin(), indices.end(), 0);
    std::shuffle(indices.begin(), indices.end(), std::mt19937(1));
    const auto lengths = put(std::vector<std::int32_t>(static_cast<std::size_t>(heads.kv), length));
    const auto indices_memory = put(indices);
    const auto indptr_memory = put(indptr);
    const DeviceMemory pages(indices.size() * 4 * kPageSize * static_cast<std::size_t>(heads.dim));
    const std::int64_t width = std::int64_t{heads.qo} * heads.dim;
    const DeviceMemory q(static_cast<std::size_t>(2 * n * width));
    const DeviceMemory out(static_cast<std::size_t>(2 * n * width));
    PrefillAttentionArguments arguments;
    arguments.cache = {pages.as<Bf16>(),
                       indices_memory->as<std::int32_t>(),
                       indptr_memory->as<std::int32_t>(),
                       lengths->as<std::int32_t>(),
                       heads.kv,
                       kPageSize,
                       heads.dim};
    arguments.q = q.as<Bf16>();
    arguments.q_stride = width;
    arguments.out = out.as<Bf16>();
    arguments.out_stride = width;
    arguments.n = n;
    arguments.num_qo_heads = heads.qo;
    const double us = median_us(2, 9, [&](int, cudaStream_t stream) {
        require(prefill_attention(arguments, stream), "prefill_attention");
    });
    const double chunk = n;
    const double seen = chunk * past + chunk * (chunk + 1) / 2;  // (query, slot) pairs of one head
    const double bytes = 4.0 * chunk * static_cast<double>(width) +
                         4.0 * static_cast<double>(length) * heads.kv * heads.dim;
    report.add({"prefill attention " + name, us, bytes, 4.0 * heads.dim * seen * heads.qo});
}

}  // namespace

void bench_prefill_attention(Report& report) {
    const Heads llama{32, 8, 128};
    bench_one(report, "32/8 D128 8K", llama, 8192, 0);
    bench_one(report, "32/8 D128 32K", llama, 32768, 0);
    bench_one(report, "32/8 D128 4K after 60K", llama, 4096, 61440);
    bench_one(report, "9/3 D64 32K", {9, 3, 64}, 32768, 0);
    bench_one(report, "24/8 D96 32K", {24, 8, 96}, 32768, 0);
    bench_one(report, "16/1 D256 16K", {16, 1, 256}, 16384, 0);
}

}  // namespace hc::kernels::cuda::bench
