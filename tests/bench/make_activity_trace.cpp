// Writes a trace of made-up CUDA activity: make_activity_trace FILE EVENTS [SEED [FACTOR]]
//
// A decode-like program: steps of 200 kernels on one stream, each launched by a call about 5 us
// ahead, a copy on a second stream every 20 kernels, a synchronisation and an NVTX range a step,
// now and then a host that comes late. Durations of kernels are scaled by FACTOR. For measuring
// what `hcprof report` takes, and for looking at its pages; nothing here was measured on a GPU.
#include <fmt/format.h>

#include <cstdlib>
#include <random>
#include <string>
#include <vector>

#include "profiler/trace/activity.h"
#include "profiler/trace/writer.h"

namespace {

using namespace hc::trace;

class Program {
public:
    Program(Writer& writer, std::uint64_t seed, double factor)
        : writer_(writer), random_(seed), factor_(factor) {
        Stream compute;
        compute.pid = kPid, compute.device = 0, compute.context = 1, compute.stream_id = 7;
        compute.role = "compute", compute.name = "decode";
        compute_ = writer_.stream_key(compute);
        Stream copies = compute;
        copies.stream_id = 13, copies.role = "other", copies.name = "offload";
        copies_ = writer_.stream_key(copies);
        for (int k = 0; k < 40; ++k) {
            Launch launch;
            launch.name = writer_.string_id(fmt::format(
                "void cutlass::Kernel<cutlass::gemm::GemmUniversal<{}, float>>(Params{})", k, k));
            launch.short_name = writer_.string_id("Kernel");
            launch.grid = {static_cast<std::int32_t>(64 + k), 1, 1};
            launch.block = {128, 1, 1};
            launches_.push_back(writer_.launch_id(launch));
        }
        launch_call_ = writer_.string_id("cudaLaunchKernel_v7000");
        copy_call_ = writer_.string_id("cudaMemcpyAsync_v3020");
        sync_call_ = writer_.string_id("cudaStreamSynchronize_v3020");
        step_ = writer_.string_id("step");
    }

    void step() {
        const std::int64_t begin = host_;
        for (int k = 0; k < 200; ++k) {
            kernel(k);
            if (k % 20 == 10) copy();
        }
        const std::int64_t end = std::max(host_, device_ + 4000);
        batch_.apis.push_back({host_, end - host_, ++correlation_, kThread, sync_call_, 0, 0});
        SyncRow sync;
        sync.start_ns = host_, sync.duration_ns = end - host_, sync.correlation_id = correlation_;
        sync.stream = compute_, sync.type = 3;
        batch_.syncs.push_back(sync);
        host_ = end + jitter(3000);
        NvtxRow range;
        range.start_ns = begin, range.duration_ns = host_ - begin, range.thread = kThread;
        range.name = step_;
        batch_.nvtx.push_back(range);
        if (batch_.size() > 20000) flush();
    }
    void flush() {
        written_ += static_cast<std::int64_t>(batch_.size());
        writer_.add_activity(batch_, 0);
        batch_.clear();
    }
    [[nodiscard]] std::int64_t events() const {
        return written_ + static_cast<std::int64_t>(batch_.size());
    }

private:
    static constexpr std::int64_t kPid = 4242;
    static constexpr std::int64_t kThread = (kPid << 24) | 4243;

    std::int64_t jitter(std::int64_t below) {
        return static_cast<std::int64_t>(random_() % static_cast<std::uint64_t>(below));
    }
    void kernel(int k) {
        host_ += 1500 + jitter(1000) + (jitter(500) == 0 ? 200000 : 0);
        const std::int64_t call = 2000 + jitter(1000);
        batch_.apis.push_back({host_, call, ++correlation_, kThread, launch_call_, 0, 0});
        host_ += call;
        device_ = std::max(device_ + 800, host_ + 3000);
        if (k % 20 == 15) device_ = std::max(device_, copy_end_ + 2000);  // an event
        const auto duration = static_cast<std::int64_t>(
            factor_ * static_cast<double>(1000 + 150 * (k % 40) + jitter(400)));
        batch_.kernels.push_back({device_, duration, correlation_, -1, compute_,
                                  launches_[static_cast<std::size_t>(k % 40)]});
        device_ += duration;
    }
    void copy() {
        batch_.apis.push_back({host_, 1500, ++correlation_, kThread, copy_call_, 0, 0});
        host_ += 1500;
        const std::int64_t bytes = std::int64_t{256} << jitter(12);
        const std::int64_t start = std::max(copy_end_ + 500, host_ + 2000);
        MemcpyRow row;
        row.start_ns = start, row.duration_ns = 1200 + bytes / 45,
        row.correlation_id = correlation_;
        row.bytes = bytes, row.stream = copies_, row.copy_kind = jitter(4) == 0 ? 2 : 1;
        row.src_kind = row.copy_kind == 1 ? 1 : 2, row.dst_kind = row.copy_kind == 1 ? 2 : 1;
        batch_.memcpys.push_back(row);
        copy_end_ = start + row.duration_ns;
    }

    Writer& writer_;
    std::mt19937_64 random_;
    const double factor_;
    StreamKey compute_ = 0, copies_ = 0;
    std::vector<LaunchId> launches_;
    StringId launch_call_ = 0, copy_call_ = 0, sync_call_ = 0, step_ = 0;
    ActivityBatch batch_;
    std::int64_t written_ = 0;
    std::int64_t host_ = 1'000'000, device_ = 0, copy_end_ = 0, correlation_ = 0;
};

}  // namespace

int main(int argc, char** argv) {
    if (argc < 3 || argc > 5) {
        fmt::print(stderr, "usage: make_activity_trace FILE EVENTS [SEED [FACTOR]]\n");
        return 2;
    }
    try {
        const std::int64_t events = std::atoll(argv[2]);
        Writer writer(argv[1], {.command_line = "make_activity_trace"});
        Program program(writer, argc > 3 ? std::strtoull(argv[3], nullptr, 10) : 1,
                        argc > 4 ? std::atof(argv[4]) : 1);
        while (program.events() < events) program.step();
        program.flush();
        writer.finish();
        fmt::print("{}: {} events\n", argv[1], program.events());
        return 0;
    } catch (const std::exception& error) {
        fmt::print(stderr, "make_activity_trace: {}\n", error.what());
        return 1;
    }
}
