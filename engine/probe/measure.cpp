#include <algorithm>
#include <atomic>
#include <cstring>
#include <memory>
#include <numeric>
#include <thread>

#include "engine/core/clock.h"
#include "engine/core/error.h"
#include "engine/probe/probe.h"
#include "kernels/cpu/ops.h"
#include "kernels/types/arguments.h"

namespace hc::probe {
namespace {

constexpr std::int64_t kBufferBytes = std::int64_t{256} << 20;  // larger than common last caches

/// Nanoseconds of the median of `repeats` calls.
template <typename Body>
double median_ns(int repeats, Progress& progress, const Body& body) {
    std::vector<std::int64_t> times;
    for (int i = 0; i <= repeats; ++i) {
        if (progress.cancelled()) throw Error(ExitCode::kInterrupted, "interrupted");
        const std::int64_t start = now_ns();
        body();
        if (i > 0) times.push_back(now_ns() - start);  // the first call warms up
    }
    std::nth_element(times.begin(), times.begin() + repeats / 2, times.end());
    return static_cast<double>(std::max<std::int64_t>(times[static_cast<std::size_t>(repeats / 2)], 1));
}

std::uint64_t sum_words(const std::byte* data, std::int64_t bytes) {
    std::uint64_t lanes[16] = {};
    for (std::int64_t at = 0; at + 128 <= bytes; at += 128) {
        std::uint64_t words[16];
        std::memcpy(words, data + at, sizeof(words));
        for (int i = 0; i < 16; ++i) lanes[i] += words[i];
    }
    return std::accumulate(std::begin(lanes), std::end(lanes), std::uint64_t{0});
}

/// All workers read disjoint parts of one buffer.
double read_bandwidth_gbps(ThreadPool& pool, const std::byte* buffer, int repeats, Progress& progress) {
    const std::int64_t part = kBufferBytes / pool.size() / 128 * 128;
    std::vector<std::uint64_t> sums(static_cast<std::size_t>(pool.size()) * 8);
    const double ns = median_ns(repeats, progress, [&] {
        pool.run([&](int worker) { sums[static_cast<std::size_t>(worker) * 8] += sum_words(buffer + worker * part, part); });
    });
    // The sums must be used, or the reads could be left out.
    if (std::accumulate(sums.begin(), sums.end(), std::uint64_t{0}) == 42) return 0;
    return static_cast<double>(part * pool.size()) / ns;
}

/// One thread gathers every other row of `row_bytes` into a contiguous buffer, as the fetch
/// worker does. Bytes counted once.
double gather_gbps_of(const std::byte* source, std::byte* target, std::int64_t row_bytes, std::int64_t count, int repeats,
                      Progress& progress) {
    std::vector<std::uint32_t> rows(static_cast<std::size_t>(count));
    for (std::int64_t i = 0; i < count; ++i) rows[static_cast<std::size_t>(i)] = static_cast<std::uint32_t>(2 * i);
    const double ns = median_ns(repeats, progress, [&] {
        static_cast<void>(kernels::cpu::gather_rows(source, row_bytes, rows.data(), count, target));
    });
    return static_cast<double>(count * row_bytes) / ns;
}

double gather_gbps(const std::byte* source, std::byte* target, std::int64_t row_bytes, int repeats, Progress& progress) {
    const std::int64_t count = std::min<std::int64_t>((std::int64_t{16} << 20) / row_bytes, kBufferBytes / row_bytes / 2);
    return gather_gbps_of(source, target, row_bytes, count, repeats, progress);
}

/// Operations per nanosecond of our matrix kernel at prefill size.
double matmul_gops(ThreadPool& pool, kernels::cpu::Precision precision, int repeats, Progress& progress) {
    constexpr std::int64_t kRows = 1024, kCols = 1024, kTokens = 256;
    const WeightView shape{DType::kQ8_0, nullptr, kRows, kCols};
    std::vector<std::byte> weights(shape.size_bytes());
    for (std::size_t i = 0; i < weights.size(); ++i) {
        const std::size_t in_block = i % 34;
        // A half-precision scale of about 0.01, then 32 signed bytes.
        weights[i] = in_block == 0 ? std::byte{0x1f} : in_block == 1 ? std::byte{0x21} : static_cast<std::byte>(i * 37 % 251);
    }
    const kernels::cpu::PreparedWeight prepared({DType::kQ8_0, weights.data(), kRows, kCols}, precision, pool);
    kernels::cpu::MatmulWorkspace workspace(kTokens, kCols, kRows, pool.size());
    std::vector<float> x(kTokens * kCols), y(kTokens * kRows);
    for (std::size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i * 7919 % 1000) / 1000.0F - 0.5F;
    const double ns = median_ns(repeats, progress, [&] {
        kernels::cpu::matmul(prepared, nullptr, x.data(), kTokens, y.data(), kRows, workspace, pool);
    });
    return 2.0 * kRows * kCols * kTokens / ns;
}

/// Decode attention of one layer over more keys and values than the last cache holds; bytes of KV
/// per nanosecond. `data` is read as fp16 pages.
double attention_gbps(ThreadPool& pool, const std::byte* data, int repeats, Progress& progress) {
    constexpr std::int64_t kHeads = 8, kGroup = 4, kDim = 64, kPage = 256, kTokens = 16384;
    constexpr std::int64_t kPageBytes = 2 * kPage * kDim * 2;
    static_assert(kHeads * kTokens / kPage * kPageBytes <= kBufferBytes);
    std::vector<const std::byte*> pages;
    for (std::int64_t page = 0; page < kHeads * kTokens / kPage; ++page) pages.push_back(data + page * kPageBytes);
    const std::vector<float> q(kHeads * kGroup * kDim, 0.1F);
    std::vector<float> out(q.size());
    std::vector<float> scratch(static_cast<std::size_t>(kHeads * kGroup * kTokens));
    const double ns = median_ns(repeats, progress, [&] {
        pool.parallel_for(kHeads, 1, [&](std::int64_t begin, std::int64_t end, int) {
            for (std::int64_t head = begin; head < end; ++head) {
                kernels::PagedKv kv;
                kv.pages = pages.data() + head * (kTokens / kPage);
                kv.length = kTokens;
                kv.page_size = kPage;
                kv.head_dim = kDim;
                kv.type = kernels::KvType::kF16;
                kernels::cpu::decode_attention(kv, q.data() + head * kGroup * kDim, kGroup, out.data() + head * kGroup * kDim,
                                               scratch.data() + head * kGroup * kTokens, nullptr);
            }
        });
    });
    return static_cast<double>(kHeads * kTokens * 2 * kDim * 2) / ns;
}

/// One token times matrices that together exceed the last cache; bytes of weights per nanosecond.
double decode_matmul_gbps(ThreadPool& pool, int repeats, Progress& progress) {
    constexpr std::int64_t kRows = 4096, kCols = 4096, kMatrices = 4;
    const WeightView shape{DType::kQ8_0, nullptr, kRows, kCols};
    const std::vector<std::byte> zeros(shape.size_bytes());
    std::vector<kernels::cpu::PreparedWeight> matrices;
    for (int i = 0; i < kMatrices; ++i) {
        matrices.emplace_back(WeightView{DType::kQ8_0, zeros.data(), kRows, kCols}, kernels::cpu::Precision::kFast, pool);
    }
    kernels::cpu::MatmulWorkspace workspace(1, kCols, kRows, pool.size());
    const std::vector<float> x(kCols, 0.5F);
    std::vector<float> y(kRows);
    const double ns = median_ns(repeats, progress, [&] {
        for (const kernels::cpu::PreparedWeight& w : matrices) {
            kernels::cpu::matmul(w, nullptr, x.data(), 1, y.data(), kRows, workspace, pool);
        }
    });
    return static_cast<double>(kMatrices * matrices.front().size_bytes()) / ns;
}

/// Extra time of reading memory with all workers while one more thread gathers rows, as a share.
double interference(ThreadPool& pool, const std::byte* source, std::byte* target, int repeats, Progress& progress) {
    const double alone = read_bandwidth_gbps(pool, source, repeats, progress);
    std::atomic<bool> stop{false};
    std::thread gathers([&] {
        std::vector<std::uint32_t> rows(8192);
        for (std::size_t i = 0; i < rows.size(); ++i) rows[i] = static_cast<std::uint32_t>(2 * i);
        while (!stop) {
            static_cast<void>(kernels::cpu::gather_rows(source, 512, rows.data(), static_cast<std::int64_t>(rows.size()), target));
        }
    });
    double beside = 0;
    try {
        beside = read_bandwidth_gbps(pool, source, repeats, progress);
    } catch (...) {
        stop = true;
        gathers.join();
        throw;
    }
    stop = true;
    gathers.join();
    return beside > 0 ? std::max(0.0, alone / beside - 1) : 0.0;
}

}  // namespace

std::vector<Measurement> measure_machine(ThreadPool& pool, Effort effort, Progress& progress) {
    const int repeats = effort == Effort::kQuick ? 3 : 15;
    std::vector<Measurement> out;
    out.push_back({"cores", 0, static_cast<double>(pool.size()), "1"});
    const std::unique_ptr<std::byte[]> source(new std::byte[kBufferBytes]);
    const std::unique_ptr<std::byte[]> target(new std::byte[std::size_t{32} << 20]);
    std::memset(source.get(), 1, kBufferBytes);
    std::memset(target.get(), 1, std::size_t{32} << 20);

    const std::vector<std::int64_t> row_sizes = effort == Effort::kQuick
        ? std::vector<std::int64_t>{512}
        : std::vector<std::int64_t>{256, 512, 1024, 4096, 16384, 65536, 262144, 1048576};
    progress.begin("measuring this machine", static_cast<std::int64_t>(row_sizes.size()) + 6);
    std::int64_t done = 0;
    out.push_back({"read_bandwidth_GBps", 0, read_bandwidth_gbps(pool, source.get(), repeats, progress), "GB/s"});
    progress.update(++done);
    for (const std::int64_t row_bytes : row_sizes) {
        out.push_back({"copy_bandwidth_GBps", static_cast<double>(row_bytes),
                       gather_gbps(source.get(), target.get(), row_bytes, repeats, progress), "GB/s"});
        progress.update(++done);
    }
    out.push_back({"fp32_GFLOPs", 0, matmul_gops(pool, kernels::cpu::Precision::kFp32, repeats, progress), "GFLOP/s"});
    progress.update(++done);
    out.push_back({"int8_GOPs", 0, matmul_gops(pool, kernels::cpu::Precision::kFast, repeats, progress), "GOP/s"});
    progress.update(++done);
    out.push_back({"attention_GBps", 0, attention_gbps(pool, source.get(), repeats, progress), "GB/s"});
    progress.update(++done);
    out.push_back({"matmul_GBps", 0, decode_matmul_gbps(pool, repeats, progress), "GB/s"});
    progress.update(++done);
    if (effort == Effort::kThorough) {
        out.push_back({"interference", 512, interference(pool, source.get(), target.get(), repeats, progress), "1"});
        // One row: what does not grow with bytes.
        const double row_ns = 512 / gather_gbps_of(source.get(), target.get(), 512, 1, repeats, progress);
        out.push_back({"copy_latency_us", 512, row_ns * 1e-3, "us"});
    }
    progress.end();
    return out;
}

}  // namespace hc::probe
