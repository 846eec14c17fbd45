#include "profiler/trace/run_reader.h"

#include <algorithm>
#include <charconv>
#include <functional>

#include "engine/core/error.h"
#include "profiler/trace/row_fields.h"

namespace hc::trace {
namespace {

/// "[0.5,1,0.25]" as the writer makes it.
std::vector<double> parse_array(std::string_view text) {
    std::vector<double> values;
    const auto bad = [] { throw BadData("overlaps are no list of numbers"); };
    if (text.size() < 2 || text.front() != '[' || text.back() != ']') bad();
    const char* at = text.data() + 1;
    const char* const end = text.data() + text.size() - 1;
    while (at < end) {
        double value = 0;
        const auto [next, error] = std::from_chars(at, end, value);
        if (error != std::errc() || (next < end && *next != ',')) bad();
        values.push_back(value);
        at = next < end ? next + 1 : next;
    }
    return values;
}

void read_steps(const Database& database, RunId run, Progress& progress, Steps& steps) {
    Statement rows = database.prepare(
        "SELECT step, phase, batch, start_ns, end_ns FROM hc_step WHERE run = ? "
        "ORDER BY step, start_ns");
    for_rows(rows, run, progress, [&](const Statement& row) {
        steps.step.push_back(id_at(row, 0));
        steps.phase.push_back(name_at<Phase>(row, 1, "phase"));
        steps.batch.push_back(index_at(row, 2, "batch"));
        steps.start_ns.push_back(time_at(row, 3));
        steps.end_ns.push_back(time_at(row, 4));
    });
}

void read_heads(const Database& database, RunId run, Progress& progress, RunData& data) {
    Statement rows = database.prepare(
        "SELECT layer, head, role, stability, pivot, ratio, capacity FROM hc_head WHERE run = ? "
        "ORDER BY layer, head");
    for_rows(rows, run, progress, [&](const Statement& row) {
        HeadRecord h;
        h.layer = index_at(row, 0, "layer");
        h.head = index_at(row, 1, "head");
        h.role = name_at<HeadRole>(row, 2, "head role");
        h.stability = real_or(row, 3, -1);
        h.pivot = row.is_null(4) ? -1 : index_at(row, 4, "pivot");
        h.ratio = real_or(row, 5, -1);
        h.capacity = amount_at(row, 6);
        data.heads.push_back(h);
    });
}

void read_tokens(const Database& database, RunId run, Progress& progress, RunData& data) {
    Statement rows = database.prepare(
        "SELECT step, sequence, token_id, context_length, kl_nats, top1_equal, nll_nats "
        "FROM hc_token WHERE run = ? ORDER BY step, sequence");
    for_rows(rows, run, progress, [&](const Statement& row) {
        TokenRecord t;
        t.step = id_at(row, 0);
        t.sequence = index_at(row, 1, "sequence");
        t.token_id = int_at(row, 2, "token id");
        t.context_length = amount_at(row, 3);
        t.kl_nats = optional_real(row, 4);
        if (!row.is_null(5)) t.top1_equal = row.integer(5) != 0;
        t.nll_nats = optional_real(row, 6);
        data.tokens.push_back(t);
    });
}

void read_drift(const Database& database, RunId run, Progress& progress, RunData& data) {
    Statement rows = database.prepare(
        "SELECT check_id, op_id, step, layer, pivot, sequence, base, overlaps, median, threshold, "
        "triggered FROM hc_drift WHERE run = ? ORDER BY step, check_id");
    for_rows(rows, run, progress, [&](const Statement& row) {
        DriftRecord d;
        d.check_id = id_at(row, 0);
        d.op_id = id_at(row, 1);
        d.step = id_at(row, 2);
        d.layer = index_at(row, 3, "layer");
        d.pivot = index_at(row, 4, "pivot");
        d.sequence = index_at(row, 5, "sequence");
        d.base = amount_at(row, 6);
        d.overlaps = parse_array(row.text(7));
        d.median = row.real(8);
        d.threshold = row.real(9);
        d.triggered = row.integer(10) != 0;
        data.drift.push_back(std::move(d));
    });
}

void read_fetches(const Database& database, RunId run, Progress& progress, RunData& data) {
    Statement rows = database.prepare(
        "SELECT fetch_id, check_id, sequence, layer, way, rows_wanted, rows_fetched, runs, bytes, "
        "queued_ns, start_ns, end_ns, due_step, committed_step, exposed_ns, fetch_op, commit_op, "
        "first_use_op, superseded FROM hc_retrieval WHERE run = ? ORDER BY fetch_id");
    for_rows(rows, run, progress, [&](const Statement& row) {
        FetchRecord f;
        f.id = id_at(row, 0);
        f.check_id = id_at(row, 1);
        f.sequence = index_at(row, 2, "sequence");
        f.layer = index_at(row, 3, "layer");
        f.way = name_at<FetchWay>(row, 4, "way of a fetch");
        f.rows_wanted = amount_at(row, 5);
        f.rows_fetched = amount_at(row, 6);
        f.runs = amount_at(row, 7);
        f.bytes = amount_at(row, 8);
        f.queued_ns = time_at(row, 9);
        f.start_ns = row.is_null(10) ? -1 : time_at(row, 10);
        f.end_ns = row.is_null(11) ? -1 : time_at(row, 11);
        f.due_step = id_at(row, 12);
        f.committed_step = id_at(row, 13);
        f.exposed_ns = amount_at(row, 14);
        f.fetch_op = id_at(row, 15);
        f.commit_op = id_at(row, 16);
        f.first_use_op = id_at(row, 17);
        f.superseded = row.integer(18) != 0;
        data.fetches.push_back(f);
    });
}

/// Ascending without repeats, as every set of rows is.
Positions read_set(const Statement& row, int count_column, int blob_column, std::size_t prompt) {
    const auto count = static_cast<std::size_t>(amount_at(row, count_column));
    Positions set = decode_positions(row.blob(blob_column), count, prompt);
    if (std::adjacent_find(set.begin(), set.end(), std::greater_equal<>()) != set.end()) {
        throw BadData("positions of a row set do not ascend");
    }
    return set;
}

void read_rows(const Database& database, RunId run, Progress& progress, RunData& data) {
    Statement rows = database.prepare(
        "SELECT fetch_id, step, sequence, layer, head, fetched_count, evicted_count, fetched, "
        "evicted FROM hc_rows WHERE run = ? ORDER BY step, rowid");
    const auto prompt = static_cast<std::size_t>(data.run.prompt_tokens);
    for_rows(rows, run, progress, [&](const Statement& row) {
        RowsRecord r;
        r.fetch_id = id_at(row, 0);
        r.step = id_at(row, 1);
        r.sequence = index_at(row, 2, "sequence");
        r.layer = index_at(row, 3, "layer");
        r.head = index_at(row, 4, "head");
        r.fetched = read_set(row, 5, 7, prompt);
        r.evicted = read_set(row, 6, 8, prompt);
        data.rows.push_back(std::move(r));
    });
}

void read_attention(const Database& database, RunId run, Progress& progress, RunData& data) {
    progress.begin("reading the drift trace",
                   database.query_integer("SELECT max(rowid) FROM hc_attention").value_or(0));
    Statement rows = database.prepare(
        "SELECT step, sequence, layer, head, kind, k, positions, value_list, mass_generated, "
        "mass_rest FROM hc_attention WHERE run = ? ORDER BY step, rowid");
    const auto prompt = static_cast<std::size_t>(data.run.prompt_tokens);
    for_rows(rows, run, progress, [&](const Statement& row) {
        AttentionRecord a;
        a.step = id_at(row, 0);
        a.sequence = index_at(row, 1, "sequence");
        a.layer = index_at(row, 2, "layer");
        a.head = index_at(row, 3, "head");
        a.kind = name_at<AttentionRowKind>(row, 4, "kind of attention row");
        const auto count = static_cast<std::size_t>(amount_at(row, 5));
        a.ranked = decode_positions(row.blob(6), count, prompt);
        a.values = decode_values(row.blob(7), count);
        a.mass_generated = row.real(8);
        a.mass_rest = row.real(9);
        data.attention.push_back(std::move(a));
    });
    progress.end();
}

void read_memory(const Database& database, RunId run, Progress& progress, RunData& data) {
    Statement rows = database.prepare(
        "SELECT step, pool_used_bytes, pool_reserved_bytes, host_tier_bytes, staging_bytes, "
        "process_peak_bytes FROM hc_memory WHERE run = ? ORDER BY step, rowid");
    for_rows(rows, run, progress, [&](const Statement& row) {
        MemoryRecord m;
        m.step = id_at(row, 0);
        m.pool_used_bytes = amount_at(row, 1);
        m.pool_reserved_bytes = amount_at(row, 2);
        m.host_tier_bytes = amount_at(row, 3);
        m.staging_bytes = amount_at(row, 4);
        m.process_peak_bytes = amount_at(row, 5);
        data.memory.push_back(m);
    });
}

Machine read_machine(const Database& database, RunId run) {
    Statement rows = database.prepare(
        "SELECT name, compute_capability, num_sms, memory_bytes FROM hc_machine WHERE run = ? "
        "LIMIT 1");
    rows.bind(1, std::int64_t{run});
    Machine m;
    m.run = run;
    if (!rows.step()) return m;
    m.name = string_at(rows, 0);
    m.compute_capability = string_at(rows, 1);
    m.num_sms = int_at(rows, 2, "number of cores");
    m.memory_bytes = amount_at(rows, 3);
    return m;
}

}  // namespace

std::vector<std::string_view> tables_read() {
    return {"hc_meta",      "hc_run",   "hc_machine",   "hc_value",  "hc_stream", "hc_head",
            "hc_step",      "hc_token", "hc_op_kind",   "hc_op_row", "hc_edge",   "hc_drift",
            "hc_retrieval", "hc_rows",  "hc_attention", "hc_recall", "hc_memory"};
}

std::vector<Run> read_runs(const Database& database) {
    std::vector<Run> runs;
    Statement row = database.prepare(
        "SELECT id, origin, source_run, attention_run, policy, mode, parameters, window, "
        "commit_lag, model_name, model_hash, shape, weights, prefill, drift, tokens, backend, "
        "prompt_tokens, batch, seed FROM hc_run ORDER BY id");
    while (row.step()) {
        Run r;
        r.id = int_at(row, 0, "run");
        r.origin = name_at<Origin>(row, 1, "origin of a run");
        r.source_run = row.is_null(2) ? -1 : int_at(row, 2, "run");
        r.attention_run = row.is_null(3) ? -1 : int_at(row, 3, "run");
        r.policy = string_at(row, 4);
        r.mode = string_at(row, 5);
        r.parameters_json = string_at(row, 6);
        r.window = int_at(row, 7, "window");
        r.commit_lag = int_at(row, 8, "commit lag");
        r.model_name = string_at(row, 9);
        r.model_hash = string_at(row, 10);
        r.shape_json = string_at(row, 11);
        r.weights = string_at(row, 12);
        r.prefill = string_at(row, 13);
        r.drift = string_at(row, 14);
        r.tokens = string_at(row, 15);
        r.backend = string_at(row, 16);
        r.prompt_tokens =
            ranged(row, 17, 0, static_cast<std::int64_t>(kMaxPositions), "prompt length");
        r.batch = index_at(row, 18, "batch");
        r.seed = static_cast<std::uint64_t>(row.integer(19));
        runs.push_back(std::move(r));
    }
    return runs;
}

std::vector<Stream> read_streams(const Database& database) {
    std::vector<Stream> streams;
    Statement row = database.prepare(
        "SELECT key, pid, device, context, stream_id, name, role FROM hc_stream ORDER BY key");
    while (row.step()) {
        Stream s;
        s.key = int_at(row, 0, "stream");
        s.pid = row.integer(1);
        s.device = row.is_null(2) ? -1 : int_at(row, 2, "device");
        s.context = row.is_null(3) ? -1 : int_at(row, 3, "context");
        s.stream_id = row.is_null(4) ? -1 : row.integer(4);
        s.name = string_at(row, 5);
        s.role = string_at(row, 6);
        streams.push_back(std::move(s));
    }
    return streams;
}

std::vector<Value> read_values(const Database& database) {
    std::vector<Value> values;
    Statement row = database.prepare(
        "SELECT run, machine, name, argument, number, unit, origin, source FROM hc_value "
        "ORDER BY rowid");
    while (row.step()) {
        Value v;
        v.run = row.is_null(0) ? -1 : int_at(row, 0, "run");
        v.machine = string_at(row, 1);
        v.name = string_at(row, 2);
        v.argument = row.real(3);
        v.number = row.real(4);
        v.unit = string_at(row, 5);
        v.origin = name_at<ValueOrigin>(row, 6, "origin of a value");
        v.source = string_at(row, 7);
        values.push_back(std::move(v));
    }
    return values;
}

std::vector<RecallRecord> read_recall(const Database& database, RunId run) {
    std::vector<RecallRecord> recall;
    NoProgress progress;
    Statement rows = database.prepare(
        "SELECT step, sequence, layer, head, low, high FROM hc_recall WHERE run = ? "
        "ORDER BY step, rowid");
    for_rows(rows, run, progress, [&](const Statement& row) {
        RecallRecord r;
        r.step = id_at(row, 0);
        r.sequence = index_at(row, 1, "sequence");
        r.layer = index_at(row, 2, "layer");
        r.head = index_at(row, 3, "head");
        r.low = row.real(4);
        r.high = row.real(5);
        recall.push_back(r);
    });
    return recall;
}

RunData read_run(const Database& database, const Run& run, const ReadPlan& plan,
                 Progress& progress) {
    RunData data;
    data.run = run;
    data.machine = read_machine(database, run.id);
    read_heads(database, run.id, progress, data);
    read_steps(database, run.id, progress, data.steps);
    if (plan.parts.operations) {
        read_ops(database, run.id, plan.ops, progress, data.ops);
        read_edges(database, run.id, progress, data.edges);
    }
    read_tokens(database, run.id, progress, data);
    read_drift(database, run.id, progress, data);
    read_fetches(database, run.id, progress, data);
    read_rows(database, run.id, progress, data);
    if (plan.parts.attention) read_attention(database, run.id, progress, data);
    read_memory(database, run.id, progress, data);
    return data;
}

}  // namespace hc::trace
