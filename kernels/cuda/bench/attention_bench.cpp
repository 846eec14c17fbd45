// Decode attention of the Llama-3.1-8B shape and some others, one sequence or more.
#include <algorithm>
#include <memory>
#include <numeric>
#include <random>

#include "kernels/cuda/bench/measure.h"
#include "kernels/cuda/decode_attention.h"

namespace hc::kernels::cuda::bench {
namespace {

constexpr std::int32_t kPageSize = 64;
constexpr double kCacheBytes = 400e6;  // several times any L2; caches rotate beyond it

// A cache on the device, pages in no order.
struct Cache {
    explicit Cache(const std::vector<std::int32_t>& lengths, std::int32_t head_dim,
                   std::mt19937& random) {
        std::vector<std::int32_t> indptr;
        std::int32_t pages = 0;
        for (const auto length : lengths) {
            indptr.push_back(pages);
            pages += (length + kPageSize - 1) / kPageSize;
        }
        std::vector<std::int32_t> indices(static_cast<std::size_t>(pages));
        std::iota(indices.begin(), indices.end(), 0);
        std::shuffle(indices.begin(), indices.end(), random);
        const auto put = [](const std::vector<std::int32_t>& v) {
            auto memory = std::make_unique<DeviceMemory>(4 * v.size(), false);
            require(cudaMemcpy(memory->as<void>(), v.data(), 4 * v.size(), cudaMemcpyHostToDevice),
                    "cudaMemcpy");
            return memory;
        };
        pages_ = std::make_unique<DeviceMemory>(static_cast<std::size_t>(pages) * 4 * kPageSize *
                                                static_cast<std::size_t>(head_dim));
        indices_ = put(indices);
        indptr_ = put(indptr);
        lengths_ = put(lengths);
        view = {pages_->as<Bf16>(),
                indices_->as<std::int32_t>(),
                indptr_->as<std::int32_t>(),
                lengths_->as<std::int32_t>(),
                static_cast<std::int32_t>(lengths.size()),
                kPageSize,
                head_dim};
    }
    std::unique_ptr<DeviceMemory> pages_, indices_, indptr_, lengths_;
    PagedKvCache view;
};

void bench_one(Report& report, const std::string& name, const std::vector<std::int32_t>& lengths,
               std::int32_t group, std::int32_t head_dim) {
    std::mt19937 random(1);
    double tokens = 0;
    for (const auto length : lengths) tokens += length;
    const double bytes = tokens * 4 * head_dim;
    const int copies = static_cast<int>(std::clamp(kCacheBytes / bytes, 1.0, 31.0)) + 1;
    std::vector<std::unique_ptr<Cache>> caches;
    for (int i = 0; i < copies; ++i)
        caches.push_back(std::make_unique<Cache>(lengths, head_dim, random));
    DecodeAttentionPlan plan;
    require(plan_decode_attention(static_cast<std::int32_t>(lengths.size()), group, head_dim, plan),
            "plan");
    const std::size_t q_bytes = lengths.size() * static_cast<std::size_t>(2 * group * head_dim);
    const DeviceMemory q(q_bytes);
    const DeviceMemory out(q_bytes);
    const DeviceMemory workspace(plan.workspace_bytes, false);
    const double us = median_us(2 * copies, 31, [&](int i, cudaStream_t stream) {
        require(decode_attention(plan, caches[static_cast<std::size_t>(i % copies)]->view,
                                 q.as<Bf16>(), out.as<Bf16>(), workspace.as<void>(), stream),
                "decode_attention");
    });
    report.add({"attention " + name, us, bytes});
}

}  // namespace

void bench_decode_attention(Report& report) {
    for (const std::int32_t kilo : {4, 8, 32, 64, 128, 224}) {
        bench_one(report, "32/8 D128 " + std::to_string(kilo) + "K",
                  std::vector<std::int32_t>(8, 1024 * kilo), 4, 128);
    }
    const std::int32_t full = 224 * 1024;
    bench_one(report, "32/8 D128 224K, heads at 1/8..1",
              {full, full / 8, full / 4, full / 2, full / 8, full, full / 8, full / 4}, 4, 128);
    bench_one(report, "40/8 D128 64K", std::vector<std::int32_t>(8, 65536), 5, 128);
    bench_one(report, "9/3 D64 64K", std::vector<std::int32_t>(3, 65536), 3, 64);
    bench_one(report, "24/8 D96 64K", std::vector<std::int32_t>(8, 65536), 3, 96);
    bench_one(report, "16/1 D256 64K", std::vector<std::int32_t>(1, 65536), 16, 256);
    bench_one(report, "32/8 D128 4K, batch 32", std::vector<std::int32_t>(256, 4096), 4, 128);
}

}  // namespace hc::kernels::cuda::bench
