#include "engine/probe/cuda/device_probe.h"

#include <algorithm>
#include <functional>
#include <memory>
#include <numeric>
#include <random>
#include <string>

#include "engine/core/error.h"
#include "engine/cuda/device_info.h"
#include "engine/cuda/device_memory.h"
#include "engine/cuda/matmul_library.h"
#include "engine/cuda/stream.h"
#include "engine/probe/cuda/probe_kernels.h"
#include "kernels/cuda/decode_attention.h"
#include "kernels/cuda/decode_matmul.h"
#include "kernels/cuda/random_fill.h"
#include "kernels/cuda/row_gather.h"

namespace hc::probe::cuda {
namespace {

namespace k = kernels::cuda;
using hc::cuda::check;
using hc::cuda::DeviceBuffer;
using hc::cuda::Event;
using hc::cuda::MemoryLedger;
using hc::cuda::PinnedBuffer;
using hc::cuda::Priority;
using hc::cuda::Stream;

constexpr std::int64_t kMiB = std::int64_t{1} << 20;
constexpr std::int32_t kHeadDim = 128;
constexpr std::int64_t kRowBytes = 4 * kHeadDim;  // K and V of a token, bf16
constexpr std::int32_t kPageSize = 256;

class DeviceProbe {
public:
    DeviceProbe(int device, Effort effort, Progress& progress)
        : info_(hc::cuda::device_info(device)),
          thorough_(effort == Effort::kThorough),
          repeats_(thorough_ ? 9 : 3),
          progress_(progress),
          stream_(Priority::kNormal),
          fetch_(Priority::kLow) {
        check(cudaSetDevice(device), "choosing the GPU");
        check(cudaGetDeviceProperties(&properties_, device), "asking for the GPU's properties");
        std::size_t free = 0;
        std::size_t total = 0;
        check(cudaMemGetInfo(&free, &total), "asking for free memory");
        const auto quarter = static_cast<std::int64_t>(free / 4);
        large_bytes_ = std::min(thorough_ ? 4096 * kMiB : 1024 * kMiB, quarter) / kMiB * kMiB;
        if (large_bytes_ < 64 * kMiB) {
            throw_refused("the GPU has " + std::to_string(free / kMiB) +
                          " MiB free, and measuring it takes at least 256 MiB");
        }
        host_bytes_ = std::min<std::int64_t>(thorough_ ? 1024 * kMiB : 256 * kMiB, large_bytes_);
    }

    std::vector<Measurement> run() {
        progress_.begin("measuring the GPU", 9);
        facts();
        large_ = DeviceBuffer(ledger_, "probe", large_bytes_);
        out_ = DeviceBuffer(ledger_, "probe", 16);
        host_ = PinnedBuffer(host_ledger_, "probe", host_bytes_);
        check(k::random_fill(large_.as<k::Bf16>(), large_bytes_ / 2, 1, 1.0F, stream_.get()),
              "random_fill");
        step(1, [&] { launches(); });
        step(2, [&] { memory(); });
        step(3, [&] { copies(cudaMemcpyHostToDevice, "h2d_GBps", "h2d_latency_us"); });
        step(4, [&] { copies(cudaMemcpyDeviceToHost, "d2h_GBps", "d2h_latency_us"); });
        step(5, [&] { both_directions(); });
        step(6, [&] { gathers(); });
        step(7, [&] { attention(); });
        step(8, [&] { products(); });
        progress_.end();
        return std::move(result_);
    }

private:
    void add(const char* name, double argument, double number, const char* unit) {
        result_.push_back({name, argument, number, unit});
    }

    void step(std::int64_t done, const std::function<void()>& measure) {
        if (progress_.cancelled()) throw Error(ExitCode::kInterrupted, "interrupted");
        measure();
        progress_.update(done);
    }

    /// Median seconds of one of `calls` calls of `work` on the stream.
    double seconds_of(int calls, const std::function<void()>& work) {
        std::vector<double> times;
        Event begin(true);
        Event end(true);
        for (int i = -1; i < repeats_; ++i) {
            begin.record(stream_.get());
            for (int call = 0; call < calls; ++call) work();
            end.record(stream_.get());
            end.wait();
            if (i >= 0) times.push_back(1e-9 * static_cast<double>(elapsed_ns(begin, end)) / calls);
        }
        std::nth_element(times.begin(), times.begin() + repeats_ / 2, times.end());
        return std::max(1e-9, times[static_cast<std::size_t>(repeats_ / 2)]);
    }

    void facts() {
        add("sms", 0, info_.num_sms, "1");
        add("memory_GB", 0, 1e-9 * static_cast<double>(info_.memory_bytes), "GB");
        add("l2_MB", 0, static_cast<double>(info_.l2_bytes) / static_cast<double>(kMiB), "MB");
        add("copy_engines", 0, properties_.asyncEngineCount, "1");
    }

    void launches() {
        const double seconds =
            seconds_of(1000, [&] { check(launch_nothing(stream_.get()), "an empty kernel"); });
        add("launch_us", 0, 1e6 * seconds, "us");
    }

    void read_large() {
        check(read_once(large_.as<void>(), large_bytes_, 8 * info_.num_sms,
                        out_.as<std::uint32_t>(), stream_.get()),
              "reading memory");
    }

    void memory() {
        double best = 0;
        for (const int per_sm : {2, 4, 8, 16}) {
            const double seconds = seconds_of(4, [&] {
                check(read_once(large_.as<void>(), large_bytes_, per_sm * info_.num_sms,
                                out_.as<std::uint32_t>(), stream_.get()),
                      "reading memory");
            });
            best = std::max(best, 1e-9 * static_cast<double>(large_bytes_) / seconds);
        }
        add("memory_bandwidth_GBps", static_cast<double>(large_bytes_), best, "GB/s");
        const std::int64_t half = large_bytes_ / 2;
        const double seconds = seconds_of(4, [&] {
            check(cudaMemcpyAsync(large_.as<std::byte>() + half, large_.as<void>(),
                                  static_cast<std::size_t>(half), cudaMemcpyDeviceToDevice,
                                  stream_.get()),
                  "copying on the device");
        });
        add("memory_copy_GBps", static_cast<double>(half),
            2e-9 * static_cast<double>(half) / seconds, "GB/s");
    }

    void copy(cudaMemcpyKind kind, std::int64_t bytes, cudaStream_t stream, std::int64_t offset) {
        void* const device = large_.as<std::byte>() + offset;
        void* const host = host_.as<std::byte>() + offset;
        const bool down = kind == cudaMemcpyHostToDevice;
        check(cudaMemcpyAsync(down ? device : host, down ? host : device,
                              static_cast<std::size_t>(bytes), kind, stream),
              "copying between host and device");
    }

    /// alpha + bytes / beta: alpha from small copies one by one, beta from the largest.
    void copies(cudaMemcpyKind kind, const char* rate, const char* latency) {
        std::vector<std::int64_t> sizes = {kMiB, 16 * kMiB, host_bytes_};
        if (thorough_) sizes = {4096, 32768, 262144, kMiB, 4 * kMiB, 16 * kMiB, host_bytes_};
        double beta = 0;
        for (const std::int64_t bytes : sizes) {
            const int calls = bytes > 64 * kMiB ? 1 : 8;
            const double seconds =
                seconds_of(calls, [&] { copy(kind, bytes, stream_.get(), 0); });
            beta = static_cast<double>(bytes) / seconds;
            add(rate, static_cast<double>(bytes), 1e-9 * beta, "GB/s");
        }
        constexpr std::int64_t kSmall = 4096;
        const double small = seconds_of(200, [&] { copy(kind, kSmall, stream_.get(), 0); });
        add(latency, 0, 1e6 * std::max(0.0, small - kSmall / beta), "us");
    }

    void both_directions() {
        const std::int64_t half = host_bytes_ / 2;
        const double seconds = seconds_of(1, [&] {
            Event fork;
            Event join;
            fork.record(stream_.get());
            check(cudaStreamWaitEvent(fetch_.get(), fork.get(), 0), "forking");
            copy(cudaMemcpyHostToDevice, half, stream_.get(), 0);
            copy(cudaMemcpyDeviceToHost, half, fetch_.get(), half);
            join.record(fetch_.get());
            check(cudaStreamWaitEvent(stream_.get(), join.get(), 0), "joining");
        });
        add("bidirectional_GBps", static_cast<double>(half),
            2e-9 * static_cast<double>(half) / seconds, "GB/s");
    }

    /// Rows of K and V at random places of pinned memory, in runs of neighbouring tokens.
    k::RowGatherArguments gather_of(std::int32_t run, DeviceBuffer& positions,
                                    DeviceBuffer& count) {
        const auto tier = static_cast<std::int32_t>(host_bytes_ / kRowBytes);
        const auto rows = static_cast<std::int32_t>(
            std::min<std::int64_t>(64 * kMiB, host_bytes_ / 4) / kRowBytes / run * run);
        std::mt19937 random(7);
        std::vector<std::int32_t> starts(static_cast<std::size_t>(tier / run / 2));
        std::iota(starts.begin(), starts.end(), 0);
        std::shuffle(starts.begin(), starts.end(), random);
        starts.resize(static_cast<std::size_t>(rows / run));
        std::sort(starts.begin(), starts.end());
        std::vector<std::int32_t> list;
        for (const std::int32_t start : starts) {  // never touching the next run
            for (std::int32_t i = 0; i < run; ++i) list.push_back(start * run * 2 + i);
        }
        positions = DeviceBuffer(ledger_, "probe", 4 * static_cast<std::int64_t>(list.size()));
        count = DeviceBuffer(ledger_, "probe", 16);
        const auto number = static_cast<std::int32_t>(list.size());
        check(cudaMemcpy(positions.as<void>(), list.data(), 4 * list.size(),
                         cudaMemcpyHostToDevice),
              "uploading positions");
        check(cudaMemcpy(count.as<void>(), &number, sizeof number, cudaMemcpyHostToDevice),
              "uploading a count");
        k::RowGatherArguments gather;
        gather.host_rows = host_.device<k::Bf16>();
        gather.positions = positions.as<std::int32_t>();
        gather.num_rows = count.as<std::int32_t>();
        gather.staging = large_.as<k::Bf16>();
        gather.head_dim = kHeadDim;
        gathered_bytes_ = number * kRowBytes;
        return gather;
    }

    void gathers() {
        const std::vector<std::int32_t> runs =
            thorough_ ? std::vector<std::int32_t>{1, 2, 4, 8, 16, 64} : std::vector<std::int32_t>{4};
        for (const std::int32_t run : runs) {
            DeviceBuffer positions;
            DeviceBuffer count;
            const k::RowGatherArguments gather = gather_of(run, positions, count);
            const double seconds = seconds_of(
                2, [&] { check(k::gather_rows(gather, stream_.get()), "gathering rows"); });
            add("gather_GBps", static_cast<double>(run * kRowBytes),
                1e-9 * static_cast<double>(gathered_bytes_) / seconds, "GB/s");
        }
        interference();
    }

    /// Reading memory while rows are gathered without a pause on a stream of lower priority.
    void interference() {
        DeviceBuffer positions;
        DeviceBuffer count;
        const k::RowGatherArguments gather = gather_of(4, positions, count);
        const double gather_s = seconds_of(
            1, [&] { check(k::gather_rows(gather, stream_.get()), "gathering rows"); });
        const double alone = seconds_of(1, [&] { read_large(); });
        // Enough of them that the reads end first, whatever they cost each other.
        const int beside = static_cast<int>(std::min(2000.0, 1 + 4 * alone / gather_s));
        std::vector<double> times;
        for (int i = 0; i < repeats_; ++i) {
            Event begin(true);
            Event end(true);
            Event fork;
            fork.record(stream_.get());
            check(cudaStreamWaitEvent(fetch_.get(), fork.get(), 0), "forking");
            for (int g = 0; g < beside; ++g) {
                check(k::gather_rows(gather, fetch_.get()), "gathering rows");
            }
            begin.record(stream_.get());
            read_large();
            end.record(stream_.get());
            check(cudaStreamSynchronize(fetch_.get()), "gathering rows");
            check(cudaStreamSynchronize(stream_.get()), "reading memory");
            times.push_back(1e-9 * static_cast<double>(elapsed_ns(begin, end)));
        }
        std::nth_element(times.begin(), times.begin() + repeats_ / 2, times.end());
        const double slower = times[static_cast<std::size_t>(repeats_ / 2)] / alone - 1;
        add("interference", static_cast<double>(4 * kRowBytes), std::max(0.0, slower), "1");
    }

    void attention() {
        constexpr std::int32_t kPairs = 8;
        constexpr std::int32_t kGroup = 4;
        const std::int64_t page_bytes = std::int64_t{2} * kPageSize * kHeadDim * 2;
        // 64K tokens: larger than any L2. As many whatever the effort, since what attention reaches
        // depends on it; fewer only where there is no more memory.
        const auto pages_per_pair = static_cast<std::int32_t>(
            std::min<std::int64_t>(256, large_bytes_ / page_bytes / kPairs));
        const std::int32_t num_pages = pages_per_pair * kPairs;
        std::vector<std::int32_t> pages(static_cast<std::size_t>(num_pages));
        std::iota(pages.begin(), pages.end(), 0);
        std::mt19937 random(11);
        std::shuffle(pages.begin(), pages.end(), random);
        for (std::int32_t pair = 0; pair < kPairs; ++pair) pages.push_back(pair * pages_per_pair);
        for (std::int32_t pair = 0; pair < kPairs; ++pair) {
            pages.push_back(pages_per_pair * kPageSize);
        }
        const DeviceBuffer lists(ledger_, "probe", 4 * static_cast<std::int64_t>(pages.size()));
        check(cudaMemcpy(lists.as<void>(), pages.data(), 4 * pages.size(), cudaMemcpyHostToDevice),
              "uploading page lists");
        k::PagedKvCache cache;
        cache.pages = large_.as<k::Bf16>();
        cache.page_indices = lists.as<std::int32_t>();
        cache.page_indptr = lists.as<std::int32_t>() + num_pages;
        cache.lengths = lists.as<std::int32_t>() + num_pages + kPairs;
        cache.num_pairs = kPairs;
        cache.page_size = kPageSize;
        cache.head_dim = kHeadDim;
        k::DecodeAttentionPlan plan;
        check(k::plan_decode_attention(kPairs, kGroup, kHeadDim, plan), "plan of attention");
        const DeviceBuffer workspace(ledger_, "probe",
                                     static_cast<std::int64_t>(plan.workspace_bytes));
        check(cudaMemsetAsync(workspace.as<void>(), 0, plan.workspace_bytes, stream_.get()),
              "clearing a workspace");
        constexpr std::int64_t kElements = std::int64_t{kPairs} * kGroup * kHeadDim;
        const DeviceBuffer q(ledger_, "probe", 4 * kElements);
        check(k::random_fill(q.as<k::Bf16>(), 2 * kElements, 3, 1.0F, stream_.get()),
              "random_fill");
        const double seconds = seconds_of(20, [&] {
            check(k::decode_attention(plan, cache, q.as<k::Bf16>(), q.as<k::Bf16>() + kElements,
                                      workspace.as<void>(), stream_.get()),
                  "decode attention");
        });
        const double bytes = static_cast<double>(num_pages) * static_cast<double>(page_bytes);
        add("attention_GBps", bytes, 1e-9 * bytes / seconds, "GB/s");
    }

    void products() {
        constexpr std::int64_t kRows = 28672;
        constexpr std::int64_t kCols = 4096;
        const std::int64_t bytes = 2 * kRows * kCols;
        // Several matrices in turn, so that none is still in the L2.
        const std::int64_t matrices = std::clamp<std::int64_t>(large_bytes_ / bytes, 0, 4);
        if (matrices > 0) {
            const DeviceBuffer x(ledger_, "probe", 2 * kCols);
            const DeviceBuffer y(ledger_, "probe", 4 * kRows);
            check(k::random_fill(x.as<k::Bf16>(), kCols, 5, 1.0F, stream_.get()), "random_fill");
            k::DecodeMatmulArguments product;
            product.rows = kRows;
            product.cols = kCols;
            product.n = 1;
            product.prologue = k::MatmulPrologue::kNone;
            product.epilogue = k::MatmulEpilogue::kStoreF32;
            product.x = x.as<k::Bf16>();
            product.out_f32 = y.as<float>();
            std::int64_t turn = 0;
            const double seconds = seconds_of(8, [&] {
                product.w = large_.as<k::Bf16>() + turn++ % matrices * kRows * kCols;
                check(k::decode_matmul(product, false, stream_.get()), "a product");
            });
            add("matmul_GBps", static_cast<double>(bytes),
                1e-9 * static_cast<double>(bytes) / seconds, "GB/s");
        }
        if (thorough_) large_products();
    }

    void large_products() {
        std::string why;
        const std::unique_ptr<hc::cuda::MatmulLibrary> library =
            hc::cuda::MatmulLibrary::open(ledger_, why);
        constexpr std::int64_t kSide = 8192;
        // Without the library it stays unknown: our own kernels say nothing of the peak.
        if (library == nullptr || large_bytes_ < 6 * kSide * kSide) return;
        k::Bf16* const w = large_.as<k::Bf16>();
        k::Bf16* const x = w + kSide * kSide;
        const double seconds = seconds_of(10, [&] {
            library->multiply(w, kSide, kSide, nullptr, x, kSide, x + kSide * kSide,
                              stream_.get());
        });
        const double side = kSide;
        add("bf16_TFLOPs", side, 1e-12 * 2 * side * side * side / seconds, "TFLOP/s");
    }

    hc::cuda::DeviceInfo info_;
    cudaDeviceProp properties_{};
    bool thorough_;
    int repeats_;
    Progress& progress_;
    MemoryLedger ledger_;
    MemoryLedger host_ledger_;
    Stream stream_;
    Stream fetch_;
    std::int64_t large_bytes_ = 0;
    std::int64_t host_bytes_ = 0;
    std::int64_t gathered_bytes_ = 0;
    DeviceBuffer large_;
    DeviceBuffer out_;
    PinnedBuffer host_;
    std::vector<Measurement> result_;
};

}  // namespace

std::vector<Measurement> measure_device(int device, Effort effort, Progress& progress) {
    return DeviceProbe(device, effort, progress).run();
}

}  // namespace hc::probe::cuda
