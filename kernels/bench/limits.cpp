#include "kernels/bench/limits.h"

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <string>
#include <vector>

#include "engine/core/clock.h"
#include "engine/core/thread_pool.h"
#include "kernels/cpu/dispatch.h"

namespace hc::bench {
namespace {

using kernels::cpu::Fp32Panel;
using kernels::cpu::Int8Panel;
using kernels::cpu::kBlock;
using kernels::cpu::KernelTable;
using kernels::cpu::kPanelRows;
using kernels::cpu::PackKind;

// Shortest of `rounds` runs: what the machine does when nobody interferes.
template <typename Body>
double seconds_of(int rounds, const Body& body) {
    double best = 1e30;
    for (int i = 0; i < rounds; ++i) {
        const std::int64_t begin = now_ns();
        body();
        best = std::min(best, static_cast<double>(now_ns() - begin) * 1e-9);
    }
    return best;
}

// Eight independent sums keep the loads in flight; the compiler turns them into vectors.
std::uint64_t sum_of(const std::uint64_t* words, std::size_t count) {
    std::uint64_t sums[8] = {};
    for (std::size_t i = 0; i + 8 <= count; i += 8) {
        for (std::size_t j = 0; j < 8; ++j) sums[j] += words[i + j];
    }
    std::uint64_t total = 0;
    for (const std::uint64_t s : sums) total += s;
    return total;
}

double measure_reads(ThreadPool& pool) {
    // Well beyond a last-level cache of 32 MiB.
    constexpr std::size_t kWords = 64u << 20;
    const std::vector<std::uint64_t> words(kWords, 1);
    const std::size_t share = kWords / static_cast<std::size_t>(pool.size());
    std::vector<std::uint64_t> sums(static_cast<std::size_t>(pool.size()) * 16);
    const double seconds = seconds_of(5, [&] {
        pool.run([&](int worker) {
            const auto w = static_cast<std::size_t>(worker);
            sums[w * 16] = sum_of(words.data() + w * share, share);
        });
    });
    return static_cast<double>(share * 8 * static_cast<std::size_t>(pool.size())) / seconds;
}

double measure_fp32(ThreadPool& pool, const KernelTable& k) {
    constexpr std::int64_t kDepth = 96;
    constexpr int kCalls = 3000;
    const double seconds = seconds_of(5, [&] {
        pool.run([&](int) {
            const std::vector<float> w(static_cast<std::size_t>(kDepth * k.fp32_rows), 1.0f);
            const std::vector<float> x(static_cast<std::size_t>(kDepth * k.fp32_tokens), 1.0f);
            std::vector<float> out(static_cast<std::size_t>(k.fp32_rows * k.fp32_tokens));
            const Fp32Panel panel{w.data(), kDepth, x.data(), out.data(), k.fp32_rows};
            for (int i = 0; i < kCalls; ++i) k.fp32_panel(k.fp32_tokens, panel);
        });
    });
    return 2.0 * kCalls * static_cast<double>(kDepth * k.fp32_rows * k.fp32_tokens) * pool.size() /
           seconds;
}

double measure_int8(ThreadPool& pool, const KernelTable& k) {
    constexpr std::int64_t kBlocks = 18;
    constexpr int kCalls = 3000;
    const auto tokens = static_cast<std::size_t>(k.int8_tokens);
    const double seconds = seconds_of(5, [&] {
        pool.run([&](int) {
            const std::vector<std::byte> w(static_cast<std::size_t>(
                kBlocks * kernels::cpu::pack_block_bytes(PackKind::kU8Zero)));
            const std::vector<std::int32_t> codes(kBlocks * 8 * tokens, 0x01010101);
            const std::vector<float> scales(kBlocks * tokens, 1.0f);
            std::vector<float> out(kPanelRows * tokens);
            const Int8Panel panel{w.data(),      kBlocks,    codes.data(), scales.data(),
                                  scales.data(), out.data(), kPanelRows};
            for (int i = 0; i < kCalls; ++i) k.int8_panel(PackKind::kU8Zero, k.int8_tokens, panel);
        });
    });
    return 2.0 * kCalls * static_cast<double>(kBlocks * kBlock * kPanelRows * k.int8_tokens) *
           pool.size() / seconds;
}

Limits measure() {
    const KernelTable& k = kernels::cpu::kernels_for(kernels::cpu::best_level());
    ThreadPool pool(workers());
    ThreadPool one(1);
    Limits limits;
    limits.read_bytes_per_s = measure_reads(pool);
    limits.fp32_flops_per_s = measure_fp32(pool, k);
    limits.int8_ops_per_s = measure_int8(pool, k);
    limits.fp32_flops_per_s_core = measure_fp32(one, k);
    std::printf("level %s, %d workers: reads %.1f GB/s, fp32 %.0f GFLOP/s, int8 %.0f GOP/s\n",
                std::string(kernels::cpu::level_name(kernels::cpu::best_level())).c_str(),
                workers(), limits.read_bytes_per_s * 1e-9, limits.fp32_flops_per_s * 1e-9,
                limits.int8_ops_per_s * 1e-9);
    return limits;
}

}  // namespace

int workers() {
    static const int count = ThreadPool().size();
    return count;
}

const Limits& limits() {
    static const Limits measured = measure();
    return measured;
}

}  // namespace hc::bench
