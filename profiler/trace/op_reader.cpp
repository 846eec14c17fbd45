#include "profiler/trace/op_reader.h"

#include <algorithm>
#include <numeric>

#include "profiler/trace/row_fields.h"

namespace hc::trace {
namespace {

/// OpKind of each id of hc_op_kind in this file.
std::vector<OpKind> read_op_kinds(const Database& database) {
    std::vector<OpKind> kinds;
    Statement rows = database.prepare("SELECT id, name FROM hc_op_kind");
    while (rows.step()) {
        const auto id = static_cast<std::size_t>(ranged(rows, 0, 0, 4096, "operation kind"));
        if (kinds.size() <= id) kinds.resize(id + 1, OpKind::kCount);
        kinds[id] = name_at<OpKind>(rows, 1, "operation kind");
    }
    return kinds;
}

template <typename T>
void permute(std::vector<T>& column, const std::vector<std::uint32_t>& order) {
    std::vector<T> sorted(column.size());
    for (std::size_t i = 0; i < order.size(); ++i) sorted[i] = column[order[i]];
    column = std::move(sorted);
}

/// By step, then start, then id. Rows come nearly so: only fetches that end later stand apart.
void sort_ops(Ops& ops) {
    const auto less = [&ops](std::size_t a, std::size_t b) {
        if (ops.step[a] != ops.step[b]) return ops.step[a] < ops.step[b];
        if (ops.start_ns[a] != ops.start_ns[b]) return ops.start_ns[a] < ops.start_ns[b];
        return ops.op_id[a] < ops.op_id[b];
    };
    bool sorted = true;
    for (std::size_t i = 1; i < ops.size() && sorted; ++i) sorted = !less(i, i - 1);
    if (sorted) return;
    if (ops.size() > std::numeric_limits<std::uint32_t>::max())
        throw BadData("too many operations");
    std::vector<std::uint32_t> order(ops.size());
    std::iota(order.begin(), order.end(), 0U);
    std::stable_sort(order.begin(), order.end(), less);
    permute(ops.op_id, order), permute(ops.step, order), permute(ops.layer, order);
    permute(ops.kind, order), permute(ops.stream, order), permute(ops.start_ns, order);
    permute(ops.end_ns, order), permute(ops.bytes_read, order);
    permute(ops.bytes_written, order), permute(ops.flops, order), permute(ops.rows, order);
}

void reserve_ops(Ops& ops, std::size_t count) {
    ops.op_id.reserve(count), ops.step.reserve(count), ops.layer.reserve(count);
    ops.kind.reserve(count), ops.stream.reserve(count), ops.start_ns.reserve(count);
    ops.end_ns.reserve(count), ops.bytes_read.reserve(count), ops.bytes_written.reserve(count);
    ops.flops.reserve(count), ops.rows.reserve(count);
}

}  // namespace

void read_ops(const Database& database, RunId run, const OpPlan& plan, Progress& progress,
              Ops& ops) {
    const std::vector<OpKind> kinds = read_op_kinds(database);
    const std::int64_t rows_in_file =
        database.query_integer("SELECT max(rowid) FROM hc_op_row").value_or(0);
    progress.begin("reading operations", rows_in_file);
    // A row takes more than 16 bytes, so a damaged row number cannot ask for more than the file.
    reserve_ops(ops, std::min(static_cast<std::size_t>(std::max<std::int64_t>(rows_in_file, 0)),
                              plan.file_bytes / 16));
    Statement rows = database.prepare(
        fmt::format("SELECT op_id, step, layer, kind, stream, start_ns, duration_ns, bytes_read, "
                    "bytes_written, flops, rows FROM hc_op_row {} WHERE run = ?",
                    plan.scan ? "NOT INDEXED" : ""));
    for_rows(rows, run, progress, [&](const Statement& row) {
        const std::int64_t kind = row.integer(3);
        if (kind < 0 || static_cast<std::size_t>(kind) >= kinds.size() ||
            kinds[static_cast<std::size_t>(kind)] == OpKind::kCount) {
            throw BadData(fmt::format("unknown operation kind {}", kind));
        }
        const std::int64_t start = time_at(row, 5);
        ops.op_id.push_back(required_id(row, 0));
        ops.step.push_back(required_id(row, 1));
        // -1: of no layer.
        ops.layer.push_back(static_cast<std::int32_t>(ranged(row, 2, -1, kMaxIndex, "layer")));
        ops.kind.push_back(kinds[static_cast<std::size_t>(kind)]);
        ops.stream.push_back(int_at(row, 4, "stream"));
        ops.start_ns.push_back(start);
        ops.end_ns.push_back(start + time_at(row, 6));
        ops.bytes_read.push_back(amount_at(row, 7));
        ops.bytes_written.push_back(amount_at(row, 8));
        ops.flops.push_back(amount_at(row, 9));
        ops.rows.push_back(amount_at(row, 10));
    });
    sort_ops(ops);
    progress.end();
}

void read_edges(const Database& database, RunId run, Progress& progress, Edges& edges) {
    Statement rows = database.prepare("SELECT from_op, to_op, kind FROM hc_edge WHERE run = ?");
    for_rows(rows, run, progress, [&](const Statement& row) {
        edges.from_op.push_back(required_id(row, 0));
        edges.to_op.push_back(required_id(row, 1));
        edges.kind.push_back(name_at<EdgeKind>(row, 2, "edge kind"));
    });
}

}  // namespace hc::trace
