// Speed of the retrieval path's kernels at 224K tokens: scoring, top-k, gather from pinned memory.
//
//   retrieval_bench [OUTPUT.json]
#include <cuda_runtime_api.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <numeric>
#include <random>
#include <vector>

#include "kernels/cuda/bitmap.h"
#include "kernels/cuda/row_gather.h"
#include "kernels/cuda/selection_score.h"
#include "kernels/cuda/top_k.h"

namespace hc::kernels::cuda {
namespace {

constexpr std::int32_t kPrompt = 224 * 1024;
constexpr std::int32_t kHeadDim = 128;
constexpr std::int32_t kPageSize = 16;
constexpr int kRepeats = 41;

void check(cudaError_t error, const char* what) {
    if (error == cudaSuccess) return;
    std::fprintf(stderr, "retrieval_bench: %s: %s\n", what, cudaGetErrorString(error));
    std::exit(1);
}

/// Lives as long as the program.
template <class T>
T* on_device(const std::vector<T>& values) {
    void* data = nullptr;
    check(cudaMalloc(&data, values.size() * sizeof(T)), "device memory");
    check(cudaMemcpy(data, values.data(), values.size() * sizeof(T), cudaMemcpyHostToDevice),
          "copy");
    return static_cast<T*>(data);
}

template <class T>
T* device_room(std::size_t count) {
    void* data = nullptr;
    check(cudaMalloc(&data, count * sizeof(T)), "device memory");
    return static_cast<T*>(data);
}

/// Median microseconds of one graph of `launches` calls, divided by their number: without the
/// gaps that launching from the host leaves. `enqueue` gets the call's index.
double median_us(cudaStream_t stream, int launches,
                 const std::function<cudaError_t(int)>& enqueue) {
    cudaGraph_t graph = nullptr;
    cudaGraphExec_t executable = nullptr;
    check(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), "capture");
    for (int i = 0; i < launches; ++i) check(enqueue(i), "launch");
    check(cudaStreamEndCapture(stream, &graph), "capture");
    check(cudaGraphInstantiate(&executable, graph, 0), "graph");
    cudaEvent_t begin = nullptr;
    cudaEvent_t end = nullptr;
    check(cudaEventCreate(&begin), "event");
    check(cudaEventCreate(&end), "event");
    std::vector<double> times;
    for (int i = 0; i < kRepeats + 3; ++i) {
        float ms = 0;
        check(cudaEventRecord(begin, stream), "event");
        check(cudaGraphLaunch(executable, stream), "graph");
        check(cudaEventRecord(end, stream), "event");
        check(cudaEventSynchronize(end), "graph");
        check(cudaEventElapsedTime(&ms, begin, end), "event");
        if (i >= 3) times.push_back(ms * 1e3 / launches);
    }
    check(cudaGraphExecDestroy(executable), "graph");
    check(cudaGraphDestroy(graph), "graph");
    check(cudaEventDestroy(begin), "event");
    check(cudaEventDestroy(end), "event");
    std::nth_element(times.begin(), times.begin() + kRepeats / 2, times.end());
    return times[kRepeats / 2];
}

std::vector<Bf16> random_bf16(std::size_t count, std::uint32_t seed) {
    std::mt19937 random(seed);
    std::vector<Bf16> values(count);
    // Sign, an exponent of 2^-1 to 2^2, and a full mantissa.
    for (Bf16& x : values) {
        const auto bits = static_cast<std::uint32_t>(random());
        x = static_cast<Bf16>((bits & 0x807F) | (126 + (bits >> 16) % 3) << 7);
    }
    return values;
}

/// Keys of eight pivots in turn, so that none is still in the L2 of the round before.
void bench_scores(std::FILE* out, cudaStream_t stream) {
    constexpr int kPivots = 8;
    constexpr std::size_t kTokens = static_cast<std::size_t>(kPrompt);
    const std::size_t pivot_values = kTokens * 2 * kHeadDim;
    Bf16* pages = device_room<Bf16>(pivot_values * kPivots);
    const std::vector<Bf16> values = random_bf16(pivot_values, 1);
    for (int i = 0; i < kPivots; ++i) {
        check(cudaMemcpy(pages + static_cast<std::size_t>(i) * pivot_values, values.data(),
                         pivot_values * 2, cudaMemcpyHostToDevice),
              "copy");
    }
    std::vector<std::int32_t> indices(kTokens / kPageSize * kPivots);
    std::iota(indices.begin(), indices.end(), 0);
    std::mt19937 random(2);
    std::shuffle(indices.begin(), indices.end(), random);
    const std::int32_t* device_indices = on_device(indices);
    const double bytes = static_cast<double>(kPrompt) * kHeadDim * 2;
    struct Shape {
        std::int32_t window, group;
    };
    for (const Shape shape : {Shape{5, 4}, Shape{1, 4}, Shape{5, 5}, Shape{16, 16}}) {
        const auto rows = static_cast<std::size_t>(shape.window * shape.group);
        SelectionScoreArguments a;
        a.queries = on_device(random_bf16(rows * kHeadDim, 3));
        a.pages = pages;
        a.page_size = kPageSize;
        a.prompt = kPrompt;
        a.window = shape.window;
        a.group = shape.group;
        a.head_dim = kHeadDim;
        a.scores = device_room<float>(static_cast<std::size_t>(shape.window) * kTokens);
        a.score_stride = kPrompt;
        a.workspace = device_room<std::uint8_t>(
            selection_score_workspace_bytes(shape.window, shape.group, kPrompt));
        const double us = median_us(stream, 16, [&](int i) {
            a.page_indices =
                device_indices + static_cast<std::size_t>(i % kPivots) * (kTokens / kPageSize);
            return selection_score(a, stream);
        });
        std::fprintf(out,
                     "{\"bench\": \"score\", \"tokens\": %d, \"head_dim\": %d, \"window\": %d, "
                     "\"group\": %d, "
                     "\"us\": %.2f, \"key_gb_per_s\": %.0f},\n",
                     kPrompt, kHeadDim, shape.window, shape.group, us, bytes / us * 1e-3);
    }
}

void bench_top_k(std::FILE* out, cudaStream_t stream) {
    constexpr std::int32_t kRows = 33;
    std::mt19937 random(4);
    std::lognormal_distribution<float> scores(-12.0F, 2.0F);
    std::vector<float> values(static_cast<std::size_t>(kPrompt) * kRows);
    for (float& x : values) x = scores(random);
    const std::vector<std::int32_t> k(kRows, kPrompt / 4);
    TopKArguments a;
    a.scores = on_device(values);
    a.score_stride = kPrompt;
    a.k = on_device(k);
    a.count = kPrompt;
    a.bitmap_stride = bitmap_words(kPrompt);
    const auto words = static_cast<std::int32_t>(a.bitmap_stride);
    a.bitmaps = device_room<std::uint32_t>(kRows * static_cast<std::size_t>(a.bitmap_stride));
    a.workspace = device_room<std::uint8_t>(top_k_workspace_bytes(kRows, kPrompt));
    auto* evicted = device_room<std::uint32_t>(kRows * static_cast<std::size_t>(a.bitmap_stride));
    auto* counts = device_room<std::int32_t>(kRows);
    CompactionArguments c;
    c.bitmaps = a.bitmaps;
    c.words = words;
    c.positions = device_room<std::int32_t>(kRows * static_cast<std::size_t>(kPrompt));
    c.position_stride = kPrompt;
    c.num_positions = device_room<std::int32_t>(kRows);
    c.runs = device_room<Run>(kRows * static_cast<std::size_t>(kPrompt));
    c.run_stride = kPrompt;
    c.num_runs = device_room<std::int32_t>(kRows);
    for (const std::int32_t rows : {1, 8, 33}) {
        a.num_rows = rows;
        c.num_rows = rows;
        const double top = median_us(stream, 8, [&](int) { return top_k(a, stream); });
        const double compact = median_us(stream, 8, [&](int) { return bitmap_compact(c, stream); });
        const double overlap = median_us(stream, 8, [&](int) {
            return bitmap_overlap(a.bitmaps, words, a.bitmaps, 0, rows, words, counts, stream);
        });
        const double delta = median_us(stream, 8, [&](int) {
            return bitmap_delta(a.bitmaps, a.bitmaps, rows, words, evicted, evicted, stream);
        });
        std::fprintf(
            out,
            "{\"bench\": \"top_k\", \"tokens\": %d, \"rows\": %d, \"k\": %d, \"us\": %.2f, "
            "\"compact_us\": %.2f, \"overlap_us\": %.2f, \"delta_us\": %.2f},\n",
            kPrompt, rows, kPrompt / 4, top, compact, overlap, delta);
    }
}

/// Runs at random places of an 8 GiB host tier, ascending.
std::vector<std::int32_t> draw_runs(std::int32_t rows, std::int32_t run, std::int32_t tier_rows) {
    std::mt19937 random(5);
    std::uniform_int_distribution<std::int32_t> at(0, tier_rows / run / 2 - 1);
    std::vector<std::int32_t> starts(static_cast<std::size_t>(rows / run));
    for (auto& start : starts) start = at(random) * run * 2;  // never touching the next
    std::sort(starts.begin(), starts.end());
    std::vector<std::int32_t> positions;
    for (const std::int32_t start : starts) {
        for (std::int32_t i = 0; i < run; ++i) positions.push_back(start + i);
    }
    return positions;
}

void bench_gather(std::FILE* out, cudaStream_t stream) {
    constexpr std::int32_t kRowBytes = kHeadDim * 4;
    constexpr std::size_t kTierBytes = std::size_t{8} << 30;
    void* host = nullptr;
    check(cudaHostAlloc(&host, kTierBytes, cudaHostAllocMapped), "pinned memory");
    void* mapped = nullptr;
    check(cudaHostGetDevicePointer(&mapped, host, 0), "pinned memory");
    constexpr std::int32_t kMaxRows = (64 << 20) / kRowBytes;
    RowGatherArguments a;
    a.host_rows = static_cast<Bf16*>(mapped);
    a.staging = device_room<Bf16>(static_cast<std::size_t>(kMaxRows) * kHeadDim * 2);
    a.head_dim = kHeadDim;
    std::int32_t* positions = device_room<std::int32_t>(kMaxRows);
    a.positions = positions;
    std::int32_t* num_rows = device_room<std::int32_t>(1);
    a.num_rows = num_rows;
    for (const std::int32_t mib : {4, 64}) {
        for (const std::int32_t run : {1, 2, 4, 8}) {
            const auto drawn = draw_runs((mib << 20) / kRowBytes, run,
                                         static_cast<std::int32_t>(kTierBytes / kRowBytes));
            const auto rows = static_cast<std::int32_t>(drawn.size());
            check(cudaMemcpy(positions, drawn.data(), drawn.size() * 4, cudaMemcpyHostToDevice),
                  "copy");
            check(cudaMemcpy(num_rows, &rows, 4, cudaMemcpyHostToDevice), "copy");
            for (const std::int32_t blocks : {2, 4, 8}) {
                a.num_blocks = blocks;
                const double us = median_us(stream, 1, [&](int) { return gather_rows(a, stream); });
                std::fprintf(out,
                             "{\"bench\": \"gather\", \"mib\": %d, \"run\": %d, \"blocks\": %d, "
                             "\"us\": %.1f, "
                             "\"gb_per_s\": %.1f},\n",
                             mib, run, blocks, us,
                             static_cast<double>(rows) * kRowBytes / us * 1e-3);
            }
        }
    }
    check(cudaFreeHost(host), "pinned memory");
}

int run(int argc, char** argv) {
    int count = 0;
    const cudaError_t found = cudaGetDeviceCount(&count);
    if (found != cudaSuccess || count == 0) {
        std::fprintf(stderr, "retrieval_bench: needs a GPU: %s\n",
                     found != cudaSuccess ? cudaGetErrorString(found) : "none found");
        return 1;
    }
    std::FILE* out = argc > 1 ? std::fopen(argv[1], "w") : stdout;
    if (out == nullptr) {
        std::fprintf(stderr, "retrieval_bench: cannot write %s\n", argv[1]);
        return 1;
    }
    cudaDeviceProp device{};
    check(cudaGetDeviceProperties(&device, 0), "device");
    cudaStream_t stream = nullptr;
    check(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "stream");
    std::fprintf(out, "[\n");
    bench_scores(out, stream);
    bench_top_k(out, stream);
    bench_gather(out, stream);
    std::fprintf(out, "{\"bench\": \"device\", \"name\": \"%s\", \"multiprocessors\": %d}\n]\n",
                 device.name, device.multiProcessorCount);
    if (out != stdout && std::fclose(out) != 0) {
        std::fprintf(stderr, "retrieval_bench: cannot write %s\n", argv[1]);
        return 1;
    }
    return 0;
}

}  // namespace
}  // namespace hc::kernels::cuda

int main(int argc, char** argv) {
    return hc::kernels::cuda::run(argc, argv);
}
