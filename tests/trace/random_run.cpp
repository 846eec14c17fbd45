#include "random_run.h"

#include <algorithm>
#include <numeric>
#include <random>
#include <set>

#include "engine/core/clock.h"

namespace hc::test {
namespace {

using Random = std::mt19937_64;

std::int64_t up_to(Random& random, std::int64_t high) {
    return std::uniform_int_distribution<std::int64_t>(0, high)(random);
}

double unit(Random& random) {
    return std::uniform_real_distribution<double>(0, 1)(random);
}

Positions random_set(Random& random, std::int64_t prompt) {
    std::set<Position> set;
    for (std::int64_t i = up_to(random, prompt); i > 0; --i) {
        set.insert(static_cast<Position>(up_to(random, prompt - 1)));
    }
    return {set.begin(), set.end()};
}

AttentionRecord random_attention(Random& random, std::int64_t step, std::int64_t prompt) {
    AttentionRecord row;
    row.step = step;
    row.layer = static_cast<std::int32_t>(up_to(random, 5));
    row.head = static_cast<std::int32_t>(up_to(random, 2));
    row.kind = up_to(random, 1) == 0 ? AttentionRowKind::kScore : AttentionRowKind::kProb;
    row.ranked.resize(static_cast<std::size_t>(prompt));
    std::iota(row.ranked.begin(), row.ranked.end(), 0U);
    std::shuffle(row.ranked.begin(), row.ranked.end(), random);
    row.ranked.resize(row.ranked.size() / 2);
    double left = 0.9;
    for (std::size_t i = 0; i < row.ranked.size(); ++i) {
        const double value = left * 0.03;
        row.values.push_back(static_cast<float>(value));
        left -= value;
    }
    row.mass_generated = unit(random) * 0.1;
    row.mass_rest = left;
    return row;
}

void add_ops(Random& random, trace::RunData& data, const StepRecord& step) {
    std::int64_t at = step.start_ns;
    for (int i = 0; i < 30; ++i) {
        trace::Ops& ops = data.ops;
        ops.op_id.push_back(static_cast<std::int64_t>(ops.size()));
        ops.step.push_back(step.step);
        ops.layer.push_back(static_cast<std::int32_t>(up_to(random, 6)) - 1);
        ops.kind.push_back(
            static_cast<OpKind>(up_to(random, static_cast<std::int64_t>(OpKind::kCount) - 1)));
        ops.stream.push_back(ops.kind.back() == OpKind::kFetch ? kFetchStream : kDecodeStream);
        ops.start_ns.push_back(at);
        at += up_to(random, 100'000);
        ops.end_ns.push_back(at);
        ops.bytes_read.push_back(up_to(random, 1 << 30));
        ops.bytes_written.push_back(up_to(random, 1 << 20));
        ops.flops.push_back(up_to(random, std::int64_t{1} << 45));
        ops.rows.push_back(up_to(random, 100'000));
        if (i > 0) {
            data.edges.from_op.push_back(ops.op_id.back() - 1);
            data.edges.to_op.push_back(ops.op_id.back());
            data.edges.kind.push_back(static_cast<EdgeKind>(up_to(random, 3)));
        }
    }
}

void add_check_and_fetch(Random& random, trace::RunData& data, const StepRecord& step) {
    DriftRecord d;
    d.check_id = static_cast<std::int64_t>(data.drift.size());
    d.op_id = up_to(random, 1000);
    d.step = step.step;
    d.layer = static_cast<std::int32_t>(up_to(random, 5));
    d.pivot = static_cast<std::int32_t>(up_to(random, 2));
    d.base = up_to(random, 500);
    for (int w = 0; w < 5; ++w) d.overlaps.push_back(unit(random));
    d.median = unit(random);
    d.threshold = 0.5;
    d.triggered = d.median < d.threshold;
    data.drift.push_back(d);
    FetchRecord f;
    f.id = static_cast<std::int64_t>(data.fetches.size());
    f.check_id = d.check_id;
    f.layer = d.layer;
    f.way = static_cast<FetchWay>(up_to(random, 2));
    f.rows_wanted = up_to(random, 1000);
    f.rows_fetched = up_to(random, 1000);
    f.runs = up_to(random, 100);
    f.bytes = up_to(random, 1 << 25);
    f.queued_ns = step.start_ns;
    f.start_ns = step.start_ns + 10;
    f.end_ns = step.start_ns + 20;
    f.due_step = step.step + 1;
    f.committed_step = up_to(random, 1) == 0 ? -1 : step.step + 1;
    f.exposed_ns = up_to(random, 100);
    f.fetch_op = up_to(random, 100);
    f.commit_op = f.committed_step < 0 ? -1 : up_to(random, 100);
    f.first_use_op = f.committed_step < 0 ? -1 : up_to(random, 100);
    f.superseded = f.committed_step < 0;
    data.fetches.push_back(f);
    RowsRecord r;
    r.fetch_id = step.step == 0 ? -1 : f.id;
    r.step = step.step;
    r.layer = d.layer;
    r.head = d.pivot;
    r.fetched = random_set(random, data.run.prompt_tokens);
    r.evicted = random_set(random, data.run.prompt_tokens);
    data.rows.push_back(r);
}

}  // namespace

trace::RunData random_run(std::uint64_t seed, std::int64_t epoch_ns, std::int64_t steps) {
    Random random(seed);
    trace::RunData data;
    data.run.policy = "heterocache";
    data.run.mode = "fixed";
    data.run.parameters_json = R"({"ratio":0.5,"text":"quote ' and \" and ü"})";
    data.run.window = 5;
    data.run.commit_lag = 1;
    data.run.model_name = "a model";
    data.run.model_hash = "0123abcd";
    data.run.shape_json = R"({"layers":6})";
    data.run.prompt_tokens = 200;
    data.run.seed = 0xfedcba9876543210ULL;
    data.run.attention_run = 0;
    data.machine = {0, "some CPU", "", 2, std::int64_t{24} << 30};
    for (std::int32_t h = 0; h < 18; ++h) {
        HeadRecord head;
        head.layer = h / 3;
        head.head = h % 3;
        head.role = static_cast<HeadRole>(1 + up_to(random, 3));
        if (!is_full(head.role)) {
            head.stability = unit(random);
            head.ratio = unit(random);
        }
        head.pivot = head.role == HeadRole::kSatellite ? 0 : -1;
        head.capacity = up_to(random, 200);
        data.heads.push_back(head);
    }
    for (std::int64_t s = 0; s < steps; ++s) {
        StepRecord step;
        step.step = s;
        step.phase = s == 0 ? Phase::kPrefill : Phase::kDecode;
        step.start_ns = epoch_ns + s * 10'000'000;
        step.end_ns = step.start_ns + 5'000'000;
        data.steps.step.push_back(s);
        data.steps.phase.push_back(step.phase);
        data.steps.batch.push_back(1);
        data.steps.start_ns.push_back(step.start_ns);
        data.steps.end_ns.push_back(step.end_ns);
        add_ops(random, data, step);
        TokenRecord token{s,  0, static_cast<std::int32_t>(up_to(random, 49151)), 200 + s, {},
                          {}, {}};
        if (s % 2 == 0) {
            token.kl_nats = unit(random);
            token.top1_equal = up_to(random, 1) == 1;
            token.nll_nats = unit(random);
        }
        data.tokens.push_back(token);
        add_check_and_fetch(random, data, step);
        data.attention.push_back(random_attention(random, s, data.run.prompt_tokens));
        data.memory.push_back({s, up_to(random, 1 << 30), up_to(random, 1 << 30),
                               up_to(random, 1 << 30), up_to(random, 1 << 20),
                               up_to(random, std::int64_t{1} << 34)});
    }
    return data;
}

trace::RunId write_run(trace::Writer& writer, const trace::RunData& data) {
    const trace::RunId run = writer.begin_run(data.run, data.machine);
    trace::RunRecorder recorder(writer, run);
    recorder.on_heads(data.heads);
    std::size_t op = 0;
    std::size_t edge = 0;
    for (std::size_t s = 0; s < data.steps.size(); ++s) {
        const StepRecord step{data.steps.step[s], data.steps.phase[s], data.steps.batch[s],
                              data.steps.start_ns[s], data.steps.end_ns[s]};
        std::vector<OpRecord> ops;
        const trace::Ops& o = data.ops;
        for (; op < o.size() && o.step[op] == step.step; ++op) {
            ops.push_back({o.op_id[op], o.step[op], o.layer[op], o.kind[op], o.stream[op],
                           o.start_ns[op], o.end_ns[op], o.bytes_read[op], o.bytes_written[op],
                           o.flops[op], o.rows[op]});
        }
        std::vector<EdgeRecord> edges;
        for (; edge < data.edges.size() && data.edges.to_op[edge] <= ops.back().op_id; ++edge) {
            edges.push_back(
                {data.edges.from_op[edge], data.edges.to_op[edge], data.edges.kind[edge]});
        }
        recorder.on_step(step, ops, edges);
    }
    for (const TokenRecord& token : data.tokens) recorder.on_token(token);
    for (const DriftRecord& check : data.drift) recorder.on_drift(check);
    for (const FetchRecord& fetch : data.fetches) recorder.on_fetch(fetch);
    for (const RowsRecord& rows : data.rows) recorder.on_rows(rows);
    for (const AttentionRecord& row : data.attention) recorder.on_attention(row);
    for (const MemoryRecord& memory : data.memory) recorder.on_memory(memory);
    return run;
}

void write_small_trace(const std::filesystem::path& path, std::int64_t steps) {
    trace::Writer writer(path, {});
    write_run(writer, random_run(7, now_ns(), steps));
    writer.finish();
}

}  // namespace hc::test
