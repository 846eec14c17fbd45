#include "profiler/trace/run_appender.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <string>
#include <string_view>

#include "engine/core/error.h"
#include "profiler/trace/insert_values.h"
#include "profiler/trace/names.h"
#include "profiler/trace/sqlite_database.h"

namespace hc::trace {
namespace {

Statement prepare_columns(Database& database, std::string_view table, std::string_view columns) {
    const auto count = 1 + std::count(columns.begin(), columns.end(), ',');
    std::string marks = "?";
    for (auto i = count; i > 1; --i) marks += ",?";
    return database.prepare(fmt::format("INSERT INTO {} ({}) VALUES ({})", table, columns, marks));
}

std::string json_array(const std::vector<double>& values) {
    std::string text = "[";
    for (const double v : values) {
        fmt::format_to(std::back_inserter(text), "{}{}", text.size() > 1 ? "," : "", v);
    }
    return text + "]";
}

class Appender {
public:
    explicit Appender(Database& database)
        : run_(prepare_columns(database, "hc_run",
                               "id, origin, policy, mode, parameters, window, commit_lag, "
                               "model_name, model_hash, shape, weights, prefill, drift, tokens, "
                               "backend, prompt_tokens, batch, seed")),
          machine_(prepare_columns(database, "hc_machine",
                                   "run, device, name, compute_capability, num_sms, memory_bytes")),
          step_(prepare_columns(database, "hc_step", "run, step, phase, batch, start_ns, end_ns")),
          op_(prepare_columns(database, "hc_op_row",
                              "run, op_id, step, layer, kind, stream, start_ns, duration_ns, "
                              "bytes_read, bytes_written, flops, rows, correlation_first, "
                              "correlation_last")),
          drift_(prepare_columns(database, "hc_drift",
                                 "run, check_id, op_id, step, layer, pivot, sequence, base, "
                                 "overlaps, median, threshold, triggered")),
          fetch_(prepare_columns(database, "hc_retrieval",
                                 "run, fetch_id, check_id, sequence, layer, way, rows_wanted, "
                                 "rows_fetched, runs, bytes, queued_ns, start_ns, end_ns, "
                                 "due_step, committed_step, exposed_ns, fetch_op, commit_op, "
                                 "first_use_op, superseded")),
          role_(database.prepare(
              "UPDATE hc_stream SET role = ?1 WHERE key = ?2 AND role IN ('', 'other')")),
          kind_(database.prepare("INSERT OR IGNORE INTO hc_op_kind (id, name) VALUES (?,?)")) {
        for (std::size_t i = 0; i < static_cast<std::size_t>(OpKind::kCount); ++i) {
            insert(kind_, static_cast<std::int64_t>(i), op_kind_name(static_cast<OpKind>(i)));
        }
    }

    void add(RunId id, const AppendedRun& a) {
        const Run& r = a.run;
        insert(run_, id, origin_name(r.origin), r.policy, r.mode, r.parameters_json, r.window,
               r.commit_lag, r.model_name, r.model_hash, r.shape_json, r.weights, r.prefill,
               r.drift, r.tokens, r.backend, r.prompt_tokens, r.batch,
               static_cast<std::int64_t>(r.seed));
        const Machine& m = a.machine;
        insert(machine_, id, a.device, m.name, m.compute_capability, m.num_sms, m.memory_bytes);
        for (const StepRecord& s : a.steps) {
            insert(step_, id, s.step, phase_name(s.phase), s.batch, s.start_ns, s.end_ns);
        }
        for (const AppendedOp& o : a.ops) add_op(id, o);
        for (const DriftRecord& d : a.drift) {
            insert(drift_, id, d.check_id, d.op_id, d.step, d.layer, d.pivot, d.sequence, d.base,
                   json_array(d.overlaps), d.median, d.threshold, d.triggered);
        }
        for (const FetchRecord& f : a.fetches) add_fetch(id, f);
        for (const auto& [key, role] : a.stream_roles) insert(role_, role, key);
    }

private:
    void add_op(RunId id, const AppendedOp& o) {
        insert(op_, id, o.op.op_id, o.op.step, o.op.layer, static_cast<std::int64_t>(o.op.kind),
               o.op.stream, o.op.start_ns, o.op.end_ns - o.op.start_ns, o.op.bytes_read,
               o.op.bytes_written, o.op.flops, o.op.rows, none_if_negative(o.correlation_first),
               none_if_negative(o.correlation_last));
    }

    void add_fetch(RunId id, const FetchRecord& f) {
        insert(fetch_, id, f.id, f.check_id, f.sequence, f.layer, fetch_way_name(f.way),
               f.rows_wanted, f.rows_fetched, f.runs, f.bytes, f.queued_ns,
               none_if_negative(f.start_ns), none_if_negative(f.end_ns), f.due_step,
               none_if_negative(f.committed_step), f.exposed_ns, none_if_negative(f.fetch_op),
               none_if_negative(f.commit_op), none_if_negative(f.first_use_op), f.superseded);
    }

    Statement run_, machine_, step_, op_, drift_, fetch_, role_, kind_;
};

}  // namespace

bool append_runs(const std::filesystem::path& path, std::span<const AppendedRun> runs) {
    try {
        Database database(std::filesystem::absolute(path).string(), Database::Open::kReadWrite);
        // Taken first: between a look and the rows nobody may add a run.
        database.execute("BEGIN IMMEDIATE");
        if (database.query_integer("SELECT count(*) FROM hc_run").value_or(0) > 0) {
            database.rollback();
            return false;
        }
        try {
            Appender appender(database);
            RunId id = 0;
            for (const AppendedRun& run : runs) appender.add(id++, run);
            database.execute("COMMIT");
        } catch (...) {
            database.rollback();
            throw;
        }
    } catch (const SqliteFailure& failure) {
        throw_io(fmt::format("cannot write trace '{}': {}", path.string(), failure.what()));
    }
    return true;
}

}  // namespace hc::trace
