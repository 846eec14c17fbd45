#include "engine/cuda/bench/limits.h"

#include <algorithm>
#include <functional>
#include <vector>

#include "engine/cuda/bench/read_memory.h"
#include "engine/cuda/device_memory.h"
#include "engine/cuda/matmul_library.h"
#include "engine/cuda/stream.h"
#include "kernels/cuda/random_fill.h"

namespace hc::cuda::bench {
namespace {

namespace k = kernels::cuda;

constexpr std::int64_t kReadBytes = std::int64_t{4} << 30;
constexpr std::int64_t kCopyBytes = std::int64_t{256} << 20;
constexpr std::int64_t kSide = 8192;  // of the matrices
constexpr int kRepeats = 9;

/// Median seconds of one call of `work`; each measurement is of `calls` of them.
double seconds_of(const Stream& stream, int calls, const std::function<void()>& work) {
    Event begin(true);
    Event end(true);
    std::vector<double> times;
    for (int i = -1; i < kRepeats; ++i) {
        begin.record(stream.get());
        for (int call = 0; call < calls; ++call) work();
        end.record(stream.get());
        end.wait();
        if (i >= 0) times.push_back(1e-9 * static_cast<double>(elapsed_ns(begin, end)) / calls);
    }
    std::sort(times.begin(), times.end());
    return times[times.size() / 2];
}

double read_rate(MemoryLedger& ledger, const Stream& stream, const DeviceInfo& device) {
    const DeviceBuffer data(ledger, "bench", kReadBytes);
    const DeviceBuffer out(ledger, "bench", 4);
    check(k::random_fill(data.as<k::Bf16>(), kReadBytes / 2, 1, 1.0F, stream.get()), "random_fill");
    double best = 0;
    for (const int per_sm : {2, 4, 8, 16}) {
        const double seconds = seconds_of(stream, 4, [&] {
            check(read_memory(data.as<void>(), kReadBytes, per_sm * device.num_sms,
                              out.as<std::uint32_t>(), stream.get()),
                  "read_memory");
        });
        best = std::max(best, 1e-9 * static_cast<double>(kReadBytes) / seconds);
    }
    return best;
}

double copy_rate(MemoryLedger& ledger, const Stream& stream) {
    const DeviceBuffer data(ledger, "bench", kCopyBytes);
    MemoryLedger host;
    const PinnedBuffer source(host, "bench", kCopyBytes);
    const double seconds = seconds_of(stream, 2, [&] {
        check(cudaMemcpyAsync(data.as<void>(), source.as<void>(),
                              static_cast<std::size_t>(kCopyBytes), cudaMemcpyHostToDevice,
                              stream.get()),
              "copying to the device");
    });
    return 1e-9 * static_cast<double>(kCopyBytes) / seconds;
}

double matmul_rate(MemoryLedger& ledger, const Stream& stream, MatmulLibrary& library) {
    // Random data: zeros draw less power, and the clock would be higher than real work sees.
    const DeviceBuffer memory(ledger, "bench", 3 * 2 * kSide * kSide);
    auto* w = memory.as<k::Bf16>();
    k::Bf16* x = w + kSide * kSide;
    k::Bf16* out = x + kSide * kSide;
    check(k::random_fill(w, kSide * kSide, 1, 0.02F, stream.get()), "random_fill");
    check(k::random_fill(x, kSide * kSide, 2, 1.0F, stream.get()), "random_fill");
    const double seconds = seconds_of(stream, 10, [&] {
        library.multiply(w, kSide, kSide, nullptr, x, kSide, out, stream.get());
    });
    const double side = kSide;
    return 1e-12 * 2 * side * side * side / seconds;
}

}  // namespace

Limits measure_limits(const DeviceInfo& device) {
    MemoryLedger ledger;
    const Stream stream(Priority::kNormal);
    Limits limits;
    limits.read_gb_per_s = read_rate(ledger, stream, device);
    limits.h2d_gb_per_s = copy_rate(ledger, stream);
    const std::unique_ptr<MatmulLibrary> library =
        MatmulLibrary::open(ledger, limits.no_library_why);
    if (library != nullptr) limits.bf16_tflop_per_s = matmul_rate(ledger, stream, *library);
    return limits;
}

}  // namespace hc::cuda::bench
