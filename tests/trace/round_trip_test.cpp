// What is written comes back, table by table.
#include <gtest/gtest.h>
#include <cmath>
#include <filesystem>

#include "engine/core/clock.h"
#include "engine/core/error.h"
#include "random_run.h"
#include "tests/support/paths.h"

namespace hc::trace {
namespace {

using test::random_run;
using test::TemporaryFolder;
using test::write_run;

RunData read_all(const Trace& trace, RunId run) {
    NoProgress progress;
    return trace.read(run, {}, progress);
}

void expect_equal(const Run& a, const Run& b) {
    EXPECT_EQ(a.origin, b.origin);
    EXPECT_EQ(a.source_run, b.source_run);
    EXPECT_EQ(a.attention_run, b.attention_run);
    EXPECT_EQ(a.policy, b.policy);
    EXPECT_EQ(a.mode, b.mode);
    EXPECT_EQ(a.parameters_json, b.parameters_json);
    EXPECT_EQ(a.window, b.window);
    EXPECT_EQ(a.commit_lag, b.commit_lag);
    EXPECT_EQ(a.model_name, b.model_name);
    EXPECT_EQ(a.model_hash, b.model_hash);
    EXPECT_EQ(a.shape_json, b.shape_json);
    EXPECT_EQ(a.weights, b.weights);
    EXPECT_EQ(a.prefill, b.prefill);
    EXPECT_EQ(a.drift, b.drift);
    EXPECT_EQ(a.tokens, b.tokens);
    EXPECT_EQ(a.backend, b.backend);
    EXPECT_EQ(a.prompt_tokens, b.prompt_tokens);
    EXPECT_EQ(a.batch, b.batch);
    EXPECT_EQ(a.seed, b.seed);
}

/// `written` has times of the writer's clock, `read` those less the trace's epoch.
void expect_equal_columns(const RunData& written, const RunData& read, std::int64_t epoch) {
    EXPECT_EQ(written.ops.op_id, read.ops.op_id);
    EXPECT_EQ(written.ops.step, read.ops.step);
    EXPECT_EQ(written.ops.layer, read.ops.layer);
    EXPECT_EQ(written.ops.kind, read.ops.kind);
    EXPECT_EQ(written.ops.stream, read.ops.stream);
    EXPECT_EQ(written.ops.bytes_read, read.ops.bytes_read);
    EXPECT_EQ(written.ops.bytes_written, read.ops.bytes_written);
    EXPECT_EQ(written.ops.flops, read.ops.flops);
    EXPECT_EQ(written.ops.rows, read.ops.rows);
    ASSERT_EQ(written.ops.size(), read.ops.end_ns.size());
    for (std::size_t i = 0; i < written.ops.size(); ++i) {
        EXPECT_EQ(written.ops.start_ns[i] - epoch, read.ops.start_ns[i]);
        EXPECT_EQ(written.ops.end_ns[i] - epoch, read.ops.end_ns[i]);
    }
    EXPECT_EQ(written.edges.from_op, read.edges.from_op);
    EXPECT_EQ(written.edges.to_op, read.edges.to_op);
    EXPECT_EQ(written.edges.kind, read.edges.kind);
    EXPECT_EQ(written.steps.step, read.steps.step);
    EXPECT_EQ(written.steps.phase, read.steps.phase);
    EXPECT_EQ(written.steps.batch, read.steps.batch);
    ASSERT_EQ(written.steps.size(), read.steps.end_ns.size());
    for (std::size_t i = 0; i < written.steps.size(); ++i) {
        EXPECT_EQ(written.steps.start_ns[i] - epoch, read.steps.start_ns[i]);
        EXPECT_EQ(written.steps.end_ns[i] - epoch, read.steps.end_ns[i]);
    }
}

void expect_equal_records(const RunData& written, const RunData& read, std::int64_t epoch) {
    ASSERT_EQ(written.heads.size(), read.heads.size());
    for (std::size_t i = 0; i < read.heads.size(); ++i) {
        const HeadRecord& a = written.heads[i];
        const HeadRecord& b = read.heads[i];
        EXPECT_EQ(std::tie(a.layer, a.head, a.role, a.stability, a.pivot, a.ratio, a.capacity),
                  std::tie(b.layer, b.head, b.role, b.stability, b.pivot, b.ratio, b.capacity));
    }
    ASSERT_EQ(written.tokens.size(), read.tokens.size());
    for (std::size_t i = 0; i < read.tokens.size(); ++i) {
        const TokenRecord& a = written.tokens[i];
        const TokenRecord& b = read.tokens[i];
        EXPECT_EQ(std::tie(a.step, a.sequence, a.token_id, a.context_length, a.kl_nats,
                           a.top1_equal, a.nll_nats),
                  std::tie(b.step, b.sequence, b.token_id, b.context_length, b.kl_nats,
                           b.top1_equal, b.nll_nats));
    }
    ASSERT_EQ(written.drift.size(), read.drift.size());
    for (std::size_t i = 0; i < read.drift.size(); ++i) {
        const DriftRecord& a = written.drift[i];
        const DriftRecord& b = read.drift[i];
        EXPECT_EQ(std::tie(a.check_id, a.op_id, a.step, a.layer, a.pivot, a.sequence, a.base,
                           a.overlaps, a.median, a.threshold, a.triggered),
                  std::tie(b.check_id, b.op_id, b.step, b.layer, b.pivot, b.sequence, b.base,
                           b.overlaps, b.median, b.threshold, b.triggered));
    }
    ASSERT_EQ(written.fetches.size(), read.fetches.size());
    for (std::size_t i = 0; i < read.fetches.size(); ++i) {
        const FetchRecord& a = written.fetches[i];
        FetchRecord b = read.fetches[i];
        b.queued_ns += epoch, b.start_ns += epoch, b.end_ns += epoch;
        EXPECT_EQ(std::tie(a.id, a.check_id, a.sequence, a.layer, a.way, a.rows_wanted,
                           a.rows_fetched, a.runs, a.bytes, a.queued_ns, a.start_ns, a.end_ns),
                  std::tie(b.id, b.check_id, b.sequence, b.layer, b.way, b.rows_wanted,
                           b.rows_fetched, b.runs, b.bytes, b.queued_ns, b.start_ns, b.end_ns));
        EXPECT_EQ(std::tie(a.due_step, a.committed_step, a.exposed_ns, a.fetch_op, a.commit_op,
                           a.first_use_op, a.superseded),
                  std::tie(b.due_step, b.committed_step, b.exposed_ns, b.fetch_op, b.commit_op,
                           b.first_use_op, b.superseded));
    }
    ASSERT_EQ(written.rows.size(), read.rows.size());
    for (std::size_t i = 0; i < read.rows.size(); ++i) {
        const RowsRecord& a = written.rows[i];
        const RowsRecord& b = read.rows[i];
        EXPECT_EQ(std::tie(a.fetch_id, a.step, a.sequence, a.layer, a.head, a.fetched, a.evicted),
                  std::tie(b.fetch_id, b.step, b.sequence, b.layer, b.head, b.fetched, b.evicted));
    }
    ASSERT_EQ(written.memory.size(), read.memory.size());
    for (std::size_t i = 0; i < read.memory.size(); ++i) {
        const MemoryRecord& a = written.memory[i];
        const MemoryRecord& b = read.memory[i];
        EXPECT_EQ(std::tie(a.step, a.pool_used_bytes, a.pool_reserved_bytes, a.host_tier_bytes,
                           a.staging_bytes, a.process_peak_bytes),
                  std::tie(b.step, b.pool_used_bytes, b.pool_reserved_bytes, b.host_tier_bytes,
                           b.staging_bytes, b.process_peak_bytes));
    }
}

void expect_equal_attention(const RunData& written, const RunData& read) {
    ASSERT_EQ(written.attention.size(), read.attention.size());
    for (std::size_t i = 0; i < read.attention.size(); ++i) {
        const AttentionRecord& a = written.attention[i];
        const AttentionRecord& b = read.attention[i];
        EXPECT_EQ(std::tie(a.step, a.sequence, a.layer, a.head, a.kind, a.ranked, a.mass_generated,
                           a.mass_rest),
                  std::tie(b.step, b.sequence, b.layer, b.head, b.kind, b.ranked, b.mass_generated,
                           b.mass_rest));
        ASSERT_EQ(a.values.size(), b.values.size());
        double sum_a = 0;
        double sum_b = 0;
        for (std::size_t j = 0; j < a.values.size(); ++j) {
            EXPECT_NEAR(a.values[j], b.values[j], 0.02 * a.values[j]);
            sum_a += a.values[j];
            sum_b += b.values[j];
        }
        EXPECT_NEAR(sum_a, sum_b, 1e-5);
    }
}

std::int64_t epoch_of(const Trace& trace) {
    return std::stoll(trace.meta("epoch_ns").value());
}

TEST(TraceRoundTrip, EveryTableComesBackAsItWasWritten) {
    const TemporaryFolder folder;
    const auto path = folder.path() / "trace.sqlite";
    const RunData written = random_run(1, now_ns());
    {
        Writer writer(path, {.command_line = "hcprof profile --x"});
        write_run(writer, written);
        writer.finish();
    }
    const Trace trace(path);
    EXPECT_EQ(trace.warning(), "");
    EXPECT_EQ(trace.meta("command_line"), "hcprof profile --x");
    ASSERT_EQ(trace.runs().size(), 1U);
    const RunData read = read_all(trace, 0);
    expect_equal(written.run, read.run);
    EXPECT_EQ(read.machine.name, written.machine.name);
    EXPECT_EQ(read.machine.num_sms, written.machine.num_sms);
    EXPECT_EQ(read.machine.memory_bytes, written.machine.memory_bytes);
    expect_equal_columns(written, read, epoch_of(trace));
    expect_equal_records(written, read, epoch_of(trace));
    expect_equal_attention(written, read);
}

TEST(TraceRoundTrip, RunsOfOneFileStayApart) {
    const TemporaryFolder folder;
    const auto path = folder.path() / "trace.sqlite";
    std::vector<RunData> written;
    {
        Writer writer(path, {});
        for (std::uint64_t i = 0; i < 5; ++i) {
            written.push_back(random_run(10 + i, now_ns(), 5 + static_cast<std::int64_t>(i)));
            EXPECT_EQ(write_run(writer, written.back()), static_cast<RunId>(i));
        }
        writer.finish();
    }
    const Trace trace(path);
    ASSERT_EQ(trace.runs().size(), 5U);
    for (RunId id = 0; id < 5; ++id) {
        const RunData read = read_all(trace, id);
        const RunData& expected = written[static_cast<std::size_t>(id)];
        EXPECT_EQ(read.run.id, id);
        expect_equal_columns(expected, read, epoch_of(trace));
        expect_equal_records(expected, read, epoch_of(trace));
    }
    EXPECT_THROW((void)trace.run(5), Error);
}

TEST(TraceRoundTrip, SimulatedRunsKeepTheirTimes) {
    const TemporaryFolder folder;
    const auto path = folder.path() / "trace.sqlite";
    RunData written = random_run(3, 0);
    written.run.origin = Origin::kSimulated;
    written.run.source_run = 4;
    {
        Writer writer(path, {});
        write_run(writer, written);
        writer.finish();
    }
    const Trace trace(path);
    const RunData read = read_all(trace, 0);
    EXPECT_EQ(read.run.origin, Origin::kSimulated);
    EXPECT_EQ(read.run.source_run, 4);
    expect_equal_columns(written, read, 0);
}

TEST(TraceRoundTrip, ARecordedRunCanBeCopiedIntoAnotherFile) {
    const TemporaryFolder folder;
    const auto first = folder.path() / "first.sqlite";
    const auto second = folder.path() / "second.sqlite";
    test::write_small_trace(first);
    const RunData read = read_all(Trace(first), 0);
    {
        Writer writer(second, {});
        const RunId run = writer.begin_run(read.run, read.machine, 0);
        writer.add_fetch(run, read.fetches[3]);
        for (const MemoryRecord& memory : read.memory) writer.add_memory(run, memory);
        writer.finish();
    }
    const RunData copy = read_all(Trace(second), 0);
    EXPECT_EQ(copy.run.origin, Origin::kRecorded);
    EXPECT_EQ(copy.fetches.at(0).queued_ns, read.fetches[3].queued_ns);
    EXPECT_EQ(copy.fetches.at(0).start_ns, read.fetches[3].start_ns);
    EXPECT_EQ(copy.memory.size(), read.memory.size());
}

TEST(TraceRoundTrip, OperationsThatEndLateComeBackInTheirStep) {
    const TemporaryFolder folder;
    const auto path = folder.path() / "trace.sqlite";
    {
        Writer writer(path, {});
        const RunId run = writer.begin_run({}, {});
        const auto op = [](std::int64_t id, std::int64_t step, std::int64_t start) {
            OpRecord o;
            o.op_id = id, o.step = step, o.start_ns = start, o.end_ns = start + 5;
            return o;
        };
        const OpRecord first[] = {op(0, 1, 100), op(2, 1, 300)};
        const OpRecord second[] = {op(3, 2, 400), op(1, 1, 200)};  // 1 ended after its step
        writer.add_step(run, {1, Phase::kDecode, 1, 100, 310}, first, {});
        writer.add_step(run, {2, Phase::kDecode, 1, 390, 410}, second, {});
        writer.finish();
    }
    const RunData read = read_all(Trace(path), 0);
    EXPECT_EQ(read.ops.op_id, (std::vector<std::int64_t>{0, 1, 2, 3}));
    EXPECT_EQ(read.ops.step, (std::vector<std::int64_t>{1, 1, 1, 2}));
}

TEST(TraceRoundTrip, StreamsValuesMetaAndRecallComeBack) {
    const TemporaryFolder folder;
    const auto path = folder.path() / "trace.sqlite";
    const std::vector<RecallRecord> recall = {{5, 0, 1, 2, 0.25, 0.5}, {10, 0, 1, 2, 0.75, 1.0}};
    {
        Writer writer(path, {});
        const RunId run = writer.begin_run({}, {});
        writer.add_stream({0, 77, -1, -1, 78, "decode", "compute"});
        writer.add_stream({1, 77, -1, -1, 79, "fetch", "fetch"});
        writer.add_stream({1, 77, -1, -1, 80, "fetch worker", "fetch"});  // replaces
        writer.add_value(
            {run, "cpu", "host.read", 4096, 12.5, "GB/s", ValueOrigin::kMeasured, "x"});
        writer.add_value({-1, "gpu", "link", 0, 64, "GB/s", ValueOrigin::kAssumed, ""});
        writer.add_meta("drift_trace_cost_ns", "123");
        writer.add_recall(run, recall);
        writer.finish();
    }
    const Trace trace(path);
    ASSERT_EQ(trace.streams().size(), 2U);
    EXPECT_EQ(trace.streams()[1].name, "fetch worker");
    EXPECT_EQ(trace.streams()[1].stream_id, 80);
    EXPECT_EQ(trace.streams()[0].device, -1);
    ASSERT_EQ(trace.values().size(), 2U);
    EXPECT_EQ(trace.values()[0].number, 12.5);
    EXPECT_EQ(trace.values()[0].argument, 4096);
    EXPECT_EQ(trace.values()[1].run, -1);
    EXPECT_EQ(trace.values()[1].origin, ValueOrigin::kAssumed);
    EXPECT_EQ(trace.meta("drift_trace_cost_ns"), "123");
    EXPECT_EQ(trace.meta("no such key"), std::nullopt);
    const std::vector<RecallRecord> read = trace.recall(0);
    ASSERT_EQ(read.size(), 2U);
    EXPECT_EQ(read[1].step, 10);
    EXPECT_EQ(read[0].high, 0.5);
}

TEST(TraceRoundTrip, AFetchThatNeverBeganHasNoTimes) {
    const TemporaryFolder folder;
    const auto path = folder.path() / "trace.sqlite";
    {
        Writer writer(path, {});
        const RunId run = writer.begin_run({}, {});
        FetchRecord fetch;
        fetch.id = 0, fetch.queued_ns = now_ns(), fetch.superseded = true;
        writer.add_fetch(run, fetch);
        writer.finish();
    }
    const RunData read = read_all(Trace(path), 0);
    ASSERT_EQ(read.fetches.size(), 1U);
    EXPECT_EQ(read.fetches[0].start_ns, -1);
    EXPECT_EQ(read.fetches[0].end_ns, -1);
    EXPECT_GE(read.fetches[0].queued_ns, 0);
}

TEST(TraceRoundTrip, LeavesOutWhatIsNotAskedFor) {
    const TemporaryFolder folder;
    const auto path = folder.path() / "trace.sqlite";
    test::write_small_trace(path);
    NoProgress progress;
    const RunData read = Trace(path).read(0, {.operations = false, .attention = false}, progress);
    EXPECT_EQ(read.ops.size(), 0U);
    EXPECT_TRUE(read.attention.empty());
    EXPECT_EQ(read.steps.size(), 20U);
}

TEST(TraceRoundTrip, FlushMakesRowsVisibleToAReaderBeside) {
    const TemporaryFolder folder;
    const auto path = folder.path() / "trace.sqlite";
    Writer writer(path, {.commit_interval_ms = 60'000});
    const RunId run = writer.begin_run({}, {});
    writer.add_memory(run, {0, 1, 2, 3, 4, 5});
    writer.flush();
    const Trace trace(path);
    EXPECT_NE(trace.warning(), "");
    EXPECT_EQ(read_all(trace, run).memory.size(), 1U);
    writer.add_memory(run, {1, 1, 2, 3, 4, 5});
    writer.finish();
    EXPECT_EQ(read_all(Trace(path), run).memory.size(), 2U);
}

class CancelledProgress final : public Progress {
public:
    void begin(std::string_view, std::int64_t total) override { total_ = total; }
    void update(std::int64_t done) override { done_ = done; }
    void end() override {}
    [[nodiscard]] bool cancelled() const override { return done_ > 0; }
    std::int64_t total_ = 0, done_ = 0;
};

TEST(TraceRoundTrip, ReadingTellsItsProgressAndStopsWhenAsked) {
    const TemporaryFolder folder;
    const auto path = folder.path() / "trace.sqlite";
    {
        Writer writer(path, {});
        const RunId run = writer.begin_run({}, {});
        writer.add_step(run, {}, std::vector<OpRecord>(200'000), {});
        writer.finish();
    }
    const Trace trace(path);
    CancelledProgress progress;
    try {
        (void)trace.read(0, {}, progress);
        FAIL();
    } catch (const Error& error) {
        EXPECT_EQ(error.code(), ExitCode::kInterrupted);
    }
    EXPECT_EQ(progress.total_, 200'000);
    EXPECT_LT(progress.done_, 200'000);
    EXPECT_EQ(read_all(trace, 0).ops.size(), 200'000U) << "and can be read again";
}

TEST(TraceRoundTrip, LostRecordsAreSaid) {
    const TemporaryFolder folder;
    const auto path = folder.path() / "trace.sqlite";
    Writer writer(path, {});
    writer.add_meta("lost_queue_full", "12");
    writer.add_meta("lost_cupti_dropped", "0");
    writer.finish();
    EXPECT_EQ(Trace(path).warning(), "records are missing: 12 queue_full");
}

}  // namespace
}  // namespace hc::trace
