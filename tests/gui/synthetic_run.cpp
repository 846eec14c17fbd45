#include "tests/gui/synthetic_run.h"

#include <algorithm>
#include <cmath>
#include <random>

#include "engine/core/clock.h"
#include "gui/models/activity_lanes.h"
#include "profiler/analysis/metrics.h"
#include "profiler/trace/writer.h"

namespace hc::test {
namespace {

HeadRole role_of(const SyntheticShape& shape, int layer, int head) {
    if (head == 0 && layer % 2 == 0) return HeadRole::kPivot;
    if (head == 1 && layer % 2 == 0) return HeadRole::kSatellite;
    return (layer + head) % 3 == 0                          ? HeadRole::kVolatile
           : shape.heads > 2 && layer % 4 == 0 && head == 2 ? HeadRole::kSatellite
                                                            : HeadRole::kAnchor;
}

class Maker {
public:
    explicit Maker(const SyntheticShape& shape) : shape_(shape), random_(7) {}

    SyntheticRun make() {
        describe();
        prefill();
        for (int step = 1; step <= shape_.decode_steps; ++step) decode(step);
        return std::move(run_);
    }

private:
    void describe() {
        run_.run.policy = "heterocache";
        run_.run.mode = "fixed";
        run_.run.window = shape_.window;
        run_.run.commit_lag = 1;
        run_.run.model_name = "synthetic-135M";
        run_.run.model_hash = "0";
        run_.run.shape_json = "{}";
        run_.run.parameters_json = "{}";
        run_.run.prompt_tokens = shape_.prompt;
        run_.machine.name = "two cores that never ran";
        run_.machine.num_sms = 2;
        for (int layer = 0; layer < shape_.layers; ++layer) {
            for (int head = 0; head < shape_.heads; ++head) {
                HeadRecord record;
                record.layer = layer;
                record.head = head;
                record.role = role_of(shape_, layer, head);
                const bool full = is_full(record.role);
                record.stability = std::uniform_real_distribution(0.2, 0.98)(random_);
                record.ratio = full ? -1 : std::uniform_real_distribution(0.1, 0.6)(random_);
                record.capacity = full ? shape_.prompt
                                       : static_cast<std::int64_t>(
                                             record.ratio * static_cast<double>(shape_.prompt));
                record.pivot = record.role == HeadRole::kSatellite ? 0 : -1;
                run_.heads.push_back(record);
            }
        }
    }

    std::int64_t op(std::int64_t step, int layer, OpKind kind, double us, std::int64_t bytes) {
        OpRecord record;
        record.op_id = next_op_++;
        record.step = step;
        record.layer = layer;
        record.kind = kind;
        record.start_ns = now_;
        now_ += static_cast<std::int64_t>(us * 1000 *
                                          std::uniform_real_distribution(0.9, 1.1)(random_));
        record.end_ns = now_;
        record.bytes_read = bytes;
        record.rows = 64;
        now_ += 600;  // the gap between operations
        run_.ops.back().push_back(record);
        return record.op_id;
    }

    void begin_step() {
        run_.ops.emplace_back();
        step_start_ = now_;
    }
    void end_step(std::int64_t step, Phase phase) {
        now_ += 4000;
        run_.steps.push_back({step, phase, 1, step_start_, now_});
        now_ += 30'000;
        run_.memory.push_back({step, 40 << 20, 48 << 20, 20 << 20, 1 << 20, 400 << 20});
    }

    void prefill() {
        now_ = 5'000'000;
        begin_step();
        for (int layer = 0; layer < shape_.layers; ++layer) {
            op(0, layer, OpKind::kQkv, 9000, 1 << 20);
            op(0, layer, OpKind::kAttention, 26000, 1 << 20);
            op(0, layer, OpKind::kMlp, 21000, 4 << 20);
            op(0, layer, OpKind::kPrefillSelect, 2500, 1 << 16);
            op(0, layer, OpKind::kOffload, 900, 1 << 18);
        }
        end_step(0, Phase::kPrefill);
        for (const HeadRecord& head : run_.heads) {
            if (is_full(head.role)) continue;
            RowsRecord kept;
            kept.step = 1;
            kept.layer = head.layer;
            kept.head = head.head;
            for (std::int64_t i = 0; i < head.capacity; ++i) {
                kept.fetched.push_back(static_cast<Position>(i * shape_.prompt / head.capacity));
            }
            run_.rows.push_back(kept);
        }
    }

    /// Checks of a layer; returns the fetches that its triggers queued.
    void check(int step, int layer, double scale) {
        op(step, layer, OpKind::kDriftScore, 90 * scale, 1 << 18);
        const std::int64_t decided = op(step, layer, OpKind::kDriftTopk, 45 * scale, 1 << 14);
        DriftRecord record;
        record.check_id = static_cast<std::int64_t>(run_.drift.size());
        record.op_id = decided;
        record.step = step;
        record.layer = layer;
        record.pivot = 0;
        record.base = shape_.prompt / 4;
        // Overlap falls slowly and is renewed by a trigger, as a real one does.
        const double age = step - last_trigger_[static_cast<std::size_t>(layer)];
        const double middle = 0.88 - 0.0052 * age - 0.05 * std::sin(step * 0.21 + layer);
        std::normal_distribution noise(0.0, 0.025);
        for (int i = 0; i < shape_.window; ++i) {
            record.overlaps.push_back(std::clamp(middle + noise(random_), 0.02, 0.99));
        }
        std::vector<double> sorted = record.overlaps;
        std::sort(sorted.begin(), sorted.end());
        record.median = sorted[sorted.size() / 2];
        record.threshold = 0.5;
        record.triggered = record.median < record.threshold;
        if (record.triggered) {
            last_trigger_[static_cast<std::size_t>(layer)] = step;
            queue_fetch(step, layer, record.check_id, scale);
        }
        run_.drift.push_back(record);
    }

    void queue_fetch(int step, int layer, std::int64_t check_id, double scale) {
        FetchRecord fetch;
        fetch.id = static_cast<std::int64_t>(run_.fetches.size());
        fetch.check_id = check_id;
        fetch.layer = layer;
        fetch.rows_wanted = 900;
        fetch.rows_fetched = 380;
        fetch.runs = 170;
        fetch.bytes = fetch.rows_fetched * 2 * 64 * 4;
        fetch.queued_ns = now_;
        fetch.start_ns = std::max(now_ + 9000, worker_free_);
        fetch.end_ns = fetch.start_ns + static_cast<std::int64_t>(450'000 * scale);
        worker_free_ = fetch.end_ns + 2000;
        fetch.due_step = step + 1;
        OpRecord transfer;
        transfer.op_id = next_op_++;
        transfer.step = step;
        transfer.layer = layer;
        transfer.kind = OpKind::kFetch;
        transfer.stream = kFetchStream;
        transfer.start_ns = fetch.start_ns;
        transfer.end_ns = fetch.end_ns;
        transfer.bytes_read = transfer.bytes_written = fetch.bytes;
        transfer.rows = fetch.rows_fetched;
        fetch.fetch_op = transfer.op_id;
        run_.ops.back().push_back(transfer);
        pending_.push_back(run_.fetches.size());
        run_.fetches.push_back(fetch);
    }

    void commit(int step, double scale) {
        for (const std::size_t i : std::exchange(pending_, {})) {
            FetchRecord& fetch = run_.fetches[i];
            const std::int64_t waited = std::max<std::int64_t>(0, fetch.end_ns - now_);
            fetch.exposed_ns = waited;
            fetch.committed_step = step;
            fetch.commit_op = op(step, fetch.layer, OpKind::kCommit,
                                 70 * scale + static_cast<double>(waited) / 1000, fetch.bytes);
            // Ten positions come, ten go, in every satellite of the layer.
            for (const HeadRecord& head : run_.heads) {
                if (head.layer != fetch.layer || head.role != HeadRole::kSatellite) continue;
                RowsRecord change;
                change.fetch_id = fetch.id;
                change.step = step;
                change.layer = head.layer;
                change.head = head.head;
                for (Position k = 0; k < 10; ++k) {
                    change.fetched.push_back(k * 7 + 1);
                    change.evicted.push_back(static_cast<Position>(
                        (100 + static_cast<std::int64_t>(k)) * shape_.prompt / head.capacity));
                }
                run_.rows.push_back(change);
            }
            uses_.push_back(i);
        }
    }

    void decode(int step) {
        // Units of time in which a step of 30 layers takes about step_ns.
        const double scale = static_cast<double>(shape_.step_ns) / 22e6 * 30 / shape_.layers;
        begin_step();
        commit(step, scale);
        op(step, -1, OpKind::kEmbed, 12 * scale, 1 << 12);
        for (int layer = 0; layer < shape_.layers; ++layer) {
            op(step, layer, OpKind::kNorm, 8 * scale, 1 << 12);
            op(step, layer, OpKind::kQkv, 95 * scale, 1 << 19);
            op(step, layer, OpKind::kRopeAppend, 10 * scale, 1 << 12);
            const std::int64_t attention =
                op(step, layer, OpKind::kAttention, 150 * scale, 1 << 20);
            for (std::size_t i = 0; i < uses_.size();) {
                if (run_.fetches[uses_[i]].layer != layer) {
                    ++i;
                    continue;
                }
                run_.fetches[uses_[i]].first_use_op = attention;
                uses_.erase(uses_.begin() + static_cast<std::ptrdiff_t>(i));
            }
            const bool due = step % shape_.window == layer % shape_.window;
            if (due && role_of(shape_, layer, 0) == HeadRole::kPivot) check(step, layer, scale);
            op(step, layer, OpKind::kAttnOut, 70 * scale, 1 << 18);
            op(step, layer, OpKind::kNorm, 8 * scale, 1 << 12);
            op(step, layer, OpKind::kMlp, 260 * scale, 1 << 21);
        }
        op(step, -1, OpKind::kLmHead, 2400 * scale, 16 << 20);
        op(step, -1, OpKind::kSample, 60 * scale, 1 << 16);
        if (step == shape_.decode_steps * 2 / 3) now_ += shape_.step_ns * 3 / 2;  // a hiccup
        end_step(step, Phase::kDecode);
        TokenRecord token;
        token.step = step;
        token.token_id = 100 + step;
        token.context_length = shape_.prompt + step;
        run_.tokens.push_back(token);
        if (step % 5 == 0) {
            for (const HeadRecord& head : run_.heads) {
                const double recall = is_full(head.role) ? 1.0 : 0.55 + 0.4 * head.stability;
                run_.recall.push_back({step, 0, head.layer, head.head, recall - 0.02, recall});
            }
        }
    }

    SyntheticShape shape_;
    std::mt19937_64 random_;
    SyntheticRun run_;
    std::int64_t now_ = 0;
    std::int64_t step_start_ = 0;
    std::int64_t next_op_ = 0;
    std::int64_t worker_free_ = 0;
    std::vector<std::size_t> pending_, uses_;
    std::vector<int> last_trigger_ = std::vector<int>(4096, 0);
};

}  // namespace

SyntheticRun make_synthetic_run(const SyntheticShape& shape) {
    return Maker(shape).make();
}

trace::RunData to_run_data(const SyntheticRun& run) {
    trace::RunData data;
    data.run = run.run;
    data.machine = run.machine;
    data.heads = run.heads;
    for (std::size_t i = 0; i < run.steps.size(); ++i) {
        const StepRecord& step = run.steps[i];
        data.steps.step.push_back(step.step);
        data.steps.phase.push_back(step.phase);
        data.steps.batch.push_back(step.batch);
        data.steps.start_ns.push_back(step.start_ns);
        data.steps.end_ns.push_back(step.end_ns);
        for (const OpRecord& op : run.ops[i]) {
            data.ops.op_id.push_back(op.op_id);
            data.ops.step.push_back(op.step);
            data.ops.layer.push_back(op.layer);
            data.ops.kind.push_back(op.kind);
            data.ops.stream.push_back(op.stream);
            data.ops.start_ns.push_back(op.start_ns);
            data.ops.end_ns.push_back(op.end_ns);
            data.ops.bytes_read.push_back(op.bytes_read);
            data.ops.bytes_written.push_back(op.bytes_written);
            data.ops.flops.push_back(op.flops);
            data.ops.rows.push_back(op.rows);
        }
    }
    data.tokens = run.tokens;
    data.drift = run.drift;
    data.fetches = run.fetches;
    data.memory = run.memory;
    data.rows = run.rows;
    return data;
}

gui::RunView to_run_view(const SyntheticRun& run) {
    trace::RunData data = to_run_data(run);
    analysis::RunMetrics metrics = analysis::run_metrics(data, nullptr);
    return gui::make_run_view(std::move(data), {}, run.recall, std::move(metrics));
}

namespace {

/// The writer stores times relative to its start; these begin at `base`.
void add_run(trace::Writer& writer, const SyntheticRun& run, std::int64_t base) {
    const trace::RunId id = writer.begin_run(run.run, run.machine);
    writer.add_stream({kDecodeStream, 1, -1, -1, -1, "decode thread", "compute"});
    writer.add_stream({kFetchStream, 1, -1, -1, -1, "fetch worker", "fetch"});
    writer.add_heads(id, run.heads);
    for (std::size_t i = 0; i < run.steps.size(); ++i) {
        StepRecord step = run.steps[i];
        step.start_ns += base;
        step.end_ns += base;
        std::vector<OpRecord> ops = run.ops[i];
        for (OpRecord& op : ops) {
            op.start_ns += base;
            op.end_ns += base;
        }
        writer.add_step(id, step, ops, {});
    }
    for (const TokenRecord& token : run.tokens) writer.add_token(id, token);
    for (const DriftRecord& check : run.drift) writer.add_drift(id, check);
    for (FetchRecord fetch : run.fetches) {
        fetch.queued_ns += base;
        fetch.start_ns += base;
        fetch.end_ns += base;
        writer.add_fetch(id, fetch);
    }
    for (const MemoryRecord& memory : run.memory) writer.add_memory(id, memory);
    for (const RowsRecord& rows : run.rows) writer.add_rows(id, rows);
    writer.add_recall(id, run.recall);
}

}  // namespace

void write_trace(const SyntheticRun& run, const std::filesystem::path& path) {
    trace::Writer writer(path, {});
    add_run(writer, run, now_ns());
    writer.finish();
}

SyntheticActivity make_activity(int steps) {
    SyntheticActivity made;
    made.strings.put(0, "cudaLaunchKernel");
    made.strings.put(1, "cudaMemcpyAsync");
    made.strings.put(2, "decode step");
    for (int k = 0; k < 10; ++k) {
        made.strings.put(3 + k, "kernel_" + std::to_string(k));
        trace::Launch launch;
        launch.name = launch.short_name = 3 + k;
        launch.grid = {4, 1, 1};
        launch.block = {128, 1, 1};
        made.launches.put(k, launch);
    }
    made.streams.push_back({5, 1, 0, 1, 7, "", "compute"});
    std::int64_t host = 1000, device = 1000, id = 0;
    const auto call = [&](trace::StringId name) {
        made.calls.start_ns.push_back(host);
        made.calls.duration_ns.push_back(2000);
        made.calls.correlation_id.push_back(++id);
        made.calls.thread.push_back(trace::global_thread_id(1, 11));
        made.calls.api_class.push_back(0);
        made.calls.name.push_back(name);
        made.calls.result.push_back(id == 5 ? 700 : 0);
        host += 3000;
        device = std::max(device, host) + 100;
    };
    for (int step = 0; step < steps; ++step) {
        const std::int64_t begin = host;
        for (int k = 0; k < 10; ++k) {
            call(0);
            made.kernels.start_ns.push_back(device);
            made.kernels.duration_ns.push_back(1500 + 100 * k);
            made.kernels.correlation_id.push_back(id);
            made.kernels.graph_node_id.push_back(-1);
            made.kernels.stream.push_back(5);
            made.kernels.launch.push_back(k);
            device += 1500 + 100 * k;
        }
        call(1);
        made.copies.start_ns.push_back(device);
        made.copies.duration_ns.push_back(4000);
        made.copies.correlation_id.push_back(id);
        made.copies.graph_node_id.push_back(-1);
        made.copies.bytes.push_back(40'000);
        made.copies.stream.push_back(5);
        made.copies.copy_kind.push_back(1);
        made.copies.src_kind.push_back(1);
        made.copies.dst_kind.push_back(2);
        for (auto* none :
             {&made.copies.src_device, &made.copies.dst_device, &made.copies.copy_count}) {
            none->push_back(-1);
        }
        device += 4000;
        host += 500;
        auto& ranges = made.ranges;
        ranges.start_ns.push_back(begin);
        ranges.duration_ns.push_back(host - begin);
        ranges.type.push_back(59);
        ranges.thread.push_back(trace::global_thread_id(1, 11));
        ranges.end_thread.push_back(-1);
        ranges.range_id.push_back(-1);
        ranges.name.push_back(2);
        ranges.domain.push_back(0);
        ranges.category.push_back(-1);
        ranges.color.push_back(-1);
        ranges.payload.push_back(step);
        ranges.payload_type.push_back(2);
    }
    return made;
}

gui::RunView to_run_view(const SyntheticActivity& activity) {
    gui::ActivityCollector collector;
    collector.add(activity.kernels);
    collector.add(activity.copies);
    collector.add(activity.calls);
    collector.add(activity.ranges);
    gui::LaneExtras extras;
    extras.activity = &collector;
    extras.strings = &activity.strings;
    extras.launches = &activity.launches;
    return gui::make_run_view({}, activity.streams, {}, {}, std::move(extras));
}

void write_activity_trace(const SyntheticRun& run, int steps, const std::filesystem::path& path) {
    const SyntheticActivity made = make_activity(steps);
    trace::Writer writer(path, {});
    add_run(writer, run, now_ns());
    std::vector<trace::StringId> strings;
    for (trace::StringId i = 0; i < made.strings.end_id(); ++i) {
        strings.push_back(writer.string_id(made.strings[i]));
    }
    std::vector<trace::LaunchId> launches;
    for (trace::LaunchId i = 0; i < made.launches.end_id(); ++i) {
        trace::Launch launch = made.launches[i];
        launch.name = strings[static_cast<std::size_t>(launch.name)];
        launch.short_name = launch.name;
        launches.push_back(writer.launch_id(launch));
    }
    const trace::StreamKey stream = writer.stream_key(made.streams.front());
    trace::ActivityBatch batch;
    for (std::size_t i = 0; i < made.kernels.size(); ++i) {
        batch.kernels.push_back({made.kernels.start_ns[i], made.kernels.duration_ns[i],
                                 made.kernels.correlation_id[i], -1, stream,
                                 launches[static_cast<std::size_t>(made.kernels.launch[i])]});
    }
    for (std::size_t i = 0; i < made.calls.size(); ++i) {
        batch.apis.push_back({made.calls.start_ns[i], made.calls.duration_ns[i],
                              made.calls.correlation_id[i], made.calls.thread[i],
                              strings[static_cast<std::size_t>(made.calls.name[i])], 0,
                              made.calls.result[i]});
    }
    writer.add_activity(batch, 0);
    writer.finish();
}

}  // namespace hc::test
