/// Matrix products of a small model's shapes. One token must read every weight once: its rate is
/// given in bytes and as a share of the memory bandwidth. Many tokens are bound by arithmetic:
/// operations, and the share of the micro-kernel's rate on cached data.

#include <benchmark/benchmark.h>

#include <random>
#include <vector>

#include "kernels/bench/limits.h"
#include "kernels/cpu/ops.h"

#if defined(HC_HAVE_BLAS)
#include <cblas.h>
#endif

namespace hc::bench {
namespace {

using kernels::cpu::MatmulWorkspace;
using kernels::cpu::Precision;
using kernels::cpu::PreparedWeight;

// Random codes under usual scales: subnormal scales would slow the conversion down.
std::vector<std::byte> random_weight(const WeightView& w, std::mt19937& random) {
    std::vector<std::byte> bytes(w.size_bytes());
    for (std::byte& b : bytes) b = static_cast<std::byte>(0x20 | (random() & 0xf));
    return bytes;
}

// Enough copies that the last-level cache cannot hold them: a decode step meets each matrix once.
constexpr std::int64_t kWorkingSet = 96 << 20;

void run_matmul(benchmark::State& state, DType type, Precision precision, bool quantised_kernel) {
    const std::int64_t rows = state.range(0);
    const std::int64_t cols = state.range(1);
    const std::int64_t n = state.range(2);
    const Limits& most = limits();
    std::mt19937 random(1);
    ThreadPool pool(workers());
    const WeightView shape{type, nullptr, rows, cols};
    const auto bytes_each = static_cast<std::int64_t>(shape.size_bytes());
    const auto copies = static_cast<std::size_t>(n == 1 ? kWorkingSet / bytes_each + 1 : 2);
    std::vector<std::vector<std::byte>> storage;
    std::vector<PreparedWeight> weights;
    for (std::size_t i = 0; i < copies; ++i) {
        storage.push_back(random_weight(shape, random));
        WeightView view = shape;
        view.data = storage.back().data();
        weights.emplace_back(view, precision, pool);
    }
    std::vector<float> x(static_cast<std::size_t>(n * cols));
    std::normal_distribution<float> normal;
    for (float& v : x) v = normal(random);
    std::vector<float> y(static_cast<std::size_t>(n * rows));
    MatmulWorkspace workspace(n, cols, rows, pool.size());
    std::size_t next = 0;
    for (auto _ : state) {
        kernels::cpu::matmul(weights[next], nullptr, x.data(), n, y.data(), rows, workspace, pool);
        next = (next + 1) % copies;
        benchmark::ClobberMemory();
    }
    const auto calls = static_cast<double>(state.iterations());
    const double bytes = calls * static_cast<double>(weights[0].size_bytes());
    const double operations = calls * 2.0 * static_cast<double>(rows * cols * n);
    const double peak = quantised_kernel ? most.int8_ops_per_s : most.fp32_flops_per_s;
    using benchmark::Counter;
    state.counters["GB/s"] = Counter(bytes * 1e-9, Counter::kIsRate);
    state.counters["of_reads"] = Counter(bytes / most.read_bytes_per_s, Counter::kIsRate);
    state.counters["Gop/s"] = Counter(operations * 1e-9, Counter::kIsRate);
    state.counters["of_peak"] = Counter(operations / peak, Counter::kIsRate);
}

void add_shapes(benchmark::internal::Benchmark* b) {
    b->Args({576, 576, 1})->Args({1536, 576, 1})->Args({576, 1536, 1})->Args({49152, 576, 1});
    b->Args({1536, 576, 8})->Args({1536, 576, 64})->Args({1536, 576, 512})->Args({576, 1536, 512});
    b->UseRealTime();
}
void add_super_block_shapes(benchmark::internal::Benchmark* b) {
    b->Args({1536, 768, 1})->Args({1536, 768, 512})->UseRealTime();
}

constexpr Precision kFast = Precision::kFast;
constexpr Precision kFp32 = Precision::kFp32;

BENCHMARK_CAPTURE(run_matmul, fast_Q4_1, DType::kQ4_1, kFast, true)->Apply(add_shapes);
BENCHMARK_CAPTURE(run_matmul, fast_Q8_0, DType::kQ8_0, kFast, true)->Apply(add_shapes);
BENCHMARK_CAPTURE(run_matmul, fast_Q5_0, DType::kQ5_0, kFast, true)->Apply(add_super_block_shapes);
BENCHMARK_CAPTURE(run_matmul, fast_Q4_K, DType::kQ4_K, kFast, true)->Apply(add_super_block_shapes);
BENCHMARK_CAPTURE(run_matmul, fast_Q6_K, DType::kQ6_K, kFast, true)->Apply(add_super_block_shapes);
BENCHMARK_CAPTURE(run_matmul, fp32_Q4_1, DType::kQ4_1, kFp32, false)->Apply(add_shapes);
BENCHMARK_CAPTURE(run_matmul, fp32_Q8_0, DType::kQ8_0, kFp32, false)->Apply(add_shapes);
BENCHMARK_CAPTURE(run_matmul, fp32_F16, DType::kF16, kFp32, false)->Apply(add_super_block_shapes);
BENCHMARK_CAPTURE(run_matmul, fp32_Q6_K, DType::kQ6_K, kFp32, false)->Apply(add_super_block_shapes);

#if defined(HC_HAVE_BLAS)
// The yardstick: the BLAS of this machine on weights that are floats already, with as many
// threads as it likes.
void run_blas(benchmark::State& state) {
    const auto rows = static_cast<int>(state.range(0));
    const auto cols = static_cast<int>(state.range(1));
    const auto n = static_cast<int>(state.range(2));
    const Limits& most = limits();
    const std::vector<float> w(static_cast<std::size_t>(rows) * static_cast<std::size_t>(cols),
                               0.5f);
    const std::vector<float> x(static_cast<std::size_t>(n) * static_cast<std::size_t>(cols), 0.5f);
    std::vector<float> y(static_cast<std::size_t>(n) * static_cast<std::size_t>(rows));
    for (auto _ : state) {
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, n, rows, cols, 1.0f, x.data(), cols,
                    w.data(), cols, 0.0f, y.data(), rows);
        benchmark::ClobberMemory();
    }
    const double operations = static_cast<double>(state.iterations()) * 2.0 * rows * cols * n;
    using benchmark::Counter;
    state.counters["Gop/s"] = Counter(operations * 1e-9, Counter::kIsRate);
    state.counters["of_peak"] = Counter(operations / most.fp32_flops_per_s, Counter::kIsRate);
}
BENCHMARK(run_blas)
    ->Args({1536, 576, 64})
    ->Args({1536, 576, 512})
    ->Args({576, 1536, 512})
    ->UseRealTime();
#endif

}  // namespace
}  // namespace hc::bench

BENCHMARK_MAIN();
