#include "gui/bench/big_trace.h"

#include <algorithm>
#include <random>
#include <string>
#include <vector>

#include "engine/core/clock.h"
#include "profiler/trace/writer.h"

namespace hc::gui::bench {
namespace {

constexpr std::int64_t kPid = 4242;
constexpr int kStreams = 12;
constexpr int kThreads = 10;
constexpr int kRangeThreads = 8;
constexpr std::size_t kBatchRows = 50'000;

class BigTrace {
public:
    BigTrace(const std::filesystem::path& path, std::int64_t num_events)
        : writer_(path, {}), left_(num_events), zero_(now_ns()) {
        name_things();
    }

    void write() {
        write_run();
        while (left_ > 0) {
            add_burst();
            if (batch_.size() >= kBatchRows) flush();
        }
        flush();
        writer_.finish();
    }

private:
    std::int64_t random(std::int64_t low, std::int64_t high) {
        return low + static_cast<std::int64_t>(random_() % static_cast<std::uint64_t>(high - low));
    }

    void name_things() {
        for (int i = 0; i < kStreams; ++i) {
            trace::Stream stream;
            stream.pid = kPid;
            stream.device = 0;
            stream.context = 1;
            stream.stream_id = 7 + i;
            stream.role = i == 0 ? "compute" : "other";
            streams_.push_back(writer_.stream_key(stream));
            stream_free_.push_back(zero_);
        }
        for (int i = 0; i < 90; ++i) {
            trace::Launch launch;
            const std::string name = "layer_kernel_" + std::to_string(i);
            launch.name = writer_.string_id("void " + name + "<float, 128>(Arguments)");
            launch.short_name = writer_.string_id(name);
            launch.grid = {1 + i, 8, 1};
            launch.block = {256, 1, 1};
            launches_.push_back(writer_.launch_id(launch));
        }
        for (const char* name : {"cudaLaunchKernel", "cudaMemcpyAsync", "cudaMemsetAsync",
                                 "cudaStreamSynchronize", "cudaEventRecord", "cudaMalloc"}) {
            api_names_.push_back(writer_.string_id(name));
        }
        for (const char* name : {"decode step", "layer", "attention", "mlp", "drift check"}) {
            range_names_.push_back(writer_.string_id(name));
        }
        thread_free_.assign(kThreads + kRangeThreads, zero_);
    }

    void write_run() {
        trace::Run run;
        run.policy = "heterocache";
        run.mode = "fixed";
        run.parameters_json = "{}";
        run.shape_json = "{}";
        run.model_name = "made up";
        run.backend = "cuda";
        run.window = 5;
        run.prompt_tokens = 4096;
        const trace::RunId id = writer_.begin_run(run, {0, "no machine", "9.0", 132, 0}, zero_);
        std::int64_t now = zero_, op_id = 0;
        const auto num_steps = std::clamp<std::int64_t>(left_ / 20'000, 50, 5000);
        for (std::int64_t step = 0; step < num_steps && left_ > 0; ++step) {
            StepRecord record;
            record.step = step;
            record.phase = step == 0 ? Phase::kPrefill : Phase::kDecode;
            record.start_ns = now;
            std::vector<OpRecord> ops;
            for (int i = 0; i < 64; ++i) {
                OpRecord op;
                op.op_id = op_id++;
                op.step = step;
                op.layer = i / 2;
                op.kind = i % 2 == 0 ? OpKind::kAttention : OpKind::kMlp;
                op.start_ns = now;
                op.end_ns = now + random(20'000, 90'000);
                now = op.end_ns + 800;
                ops.push_back(op);
            }
            record.end_ns = now;
            now += 30'000;
            writer_.add_step(id, record, ops, {});
            left_ -= 65;
        }
    }

    /// A call, what it starts, and now and then a range around it.
    void add_burst() {
        const auto thread = static_cast<std::size_t>(random(0, kThreads));
        const std::int64_t global = trace::global_thread_id(kPid, 100 + static_cast<int>(thread));
        std::int64_t& host = thread_free_[thread];
        const std::int64_t kind = random(0, 100);
        const std::int64_t call_start = host + random(100, 900);
        const std::int64_t call_end = call_start + random(1500, 6000);
        host = call_end;
        if (random(0, 4000) == 0) host += 3'000'000;  // a pause
        ++correlation_;
        const std::size_t name = kind < 80 ? 0 : kind < 92 ? 1 : kind < 94 ? 2 : kind < 96 ? 3 : 4;
        batch_.apis.push_back(
            {call_start, call_end - call_start, correlation_, global, api_names_[name], 0, 0});
        --left_;
        if (name == 0) add_kernel(call_end);
        if (name == 1) add_copy(call_end);
        if (name == 2) {
            trace::MemsetRow row;
            row.start_ns = free_at(3, call_end, 900);
            row.duration_ns = 900;
            row.correlation_id = correlation_;
            row.bytes = 4096;
            row.stream = streams_[3];
            batch_.memsets.push_back(row);
            --left_;
        }
        if (name == 3) {
            trace::SyncRow row;
            row.start_ns = call_start + 200;
            row.duration_ns = call_end - call_start - 300;
            row.correlation_id = correlation_;
            row.stream = streams_[0];
            row.type = 3;
            batch_.syncs.push_back(row);
            --left_;
        }
        if (random(0, 10) < 3) add_range();
    }

    std::int64_t free_at(std::size_t stream, std::int64_t earliest, std::int64_t duration) {
        const std::int64_t start = std::max(stream_free_[stream] + 300, earliest);
        stream_free_[stream] = start + duration;
        return start;
    }

    void add_kernel(std::int64_t earliest) {
        // Most go to the first stream, as in decoding.
        const auto stream = static_cast<std::size_t>(random(0, 10) < 8 ? 0 : random(1, kStreams));
        trace::KernelRow row;
        row.duration_ns = random(300, stream == 0 ? 600 : 4000);
        row.start_ns = free_at(stream, stream == 0 ? 0 : earliest, row.duration_ns);
        row.correlation_id = correlation_;
        row.stream = streams_[stream];
        row.launch = launches_[static_cast<std::size_t>(random(0, 90))];
        batch_.kernels.push_back(row);
        --left_;
    }

    void add_copy(std::int64_t earliest) {
        static constexpr std::int32_t kKinds[] = {1, 2, 8, 10};
        const auto which = static_cast<std::size_t>(random(0, 4));
        trace::MemcpyRow row;
        row.bytes = random(4096, 400'000);
        row.duration_ns = 900 + row.bytes / 25;
        row.start_ns = free_at(4 + which, earliest, row.duration_ns);
        row.correlation_id = correlation_;
        row.copy_kind = kKinds[which];
        row.src_kind = which == 0 ? 1 : 2;
        row.dst_kind = which == 1 ? 1 : 2;
        row.stream = streams_[4 + which];
        batch_.memcpys.push_back(row);
        --left_;
    }

    void add_range() {
        const auto thread = static_cast<std::size_t>(kThreads + random(0, kRangeThreads));
        std::int64_t& now = thread_free_[thread];
        trace::NvtxRow row;
        row.start_ns = now + 500;
        row.duration_ns = random(4000, 30'000);
        row.thread = trace::global_thread_id(kPid, 200 + static_cast<int>(thread));
        row.name = range_names_[static_cast<std::size_t>(random(0, 5))];
        row.domain = 0;
        now = row.start_ns + row.duration_ns;
        batch_.nvtx.push_back(row);
        --left_;
    }

    void flush() {
        writer_.add_activity(batch_, zero_);
        batch_.clear();
    }

    trace::Writer writer_;
    std::int64_t left_;
    std::int64_t zero_;
    std::mt19937_64 random_{11};
    std::int64_t correlation_ = 0;
    std::vector<trace::StreamKey> streams_;
    std::vector<trace::LaunchId> launches_;
    std::vector<trace::StringId> api_names_, range_names_;
    std::vector<std::int64_t> stream_free_, thread_free_;
    trace::ActivityBatch batch_;
};

}  // namespace

void write_big_trace(const std::filesystem::path& path, std::int64_t num_events) {
    BigTrace(path, num_events).write();
}

}  // namespace hc::gui::bench
