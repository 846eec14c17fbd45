#include "profiler/trace/copy_run.h"

namespace hc::trace {
namespace {

OpRecord op_at(const Ops& ops, std::size_t i) {
    OpRecord op;
    op.op_id = ops.op_id[i], op.step = ops.step[i], op.layer = ops.layer[i], op.kind = ops.kind[i];
    op.stream = ops.stream[i], op.start_ns = ops.start_ns[i], op.end_ns = ops.end_ns[i];
    op.bytes_read = ops.bytes_read[i], op.bytes_written = ops.bytes_written[i];
    op.flops = ops.flops[i], op.rows = ops.rows[i];
    return op;
}

/// Each step with its operations; edges, which belong to no step, go with the last.
void copy_steps(const RunData& data, std::int64_t shift_ns,
                const std::function<StreamKey(StreamKey)>& stream_key, RunId run, Writer& writer) {
    std::vector<EdgeRecord> edges;
    for (std::size_t i = 0; i < data.edges.size(); ++i) {
        edges.push_back({data.edges.from_op[i], data.edges.to_op[i], data.edges.kind[i]});
    }
    std::size_t next = 0;
    std::vector<OpRecord> ops;
    for (std::size_t s = 0; s < data.steps.size(); ++s) {
        const bool last = s + 1 == data.steps.size();
        ops.clear();
        for (; next < data.ops.size() && (last || data.ops.step[next] <= data.steps.step[s]);
             ++next) {
            OpRecord op = op_at(data.ops, next);
            op.stream = stream_key(op.stream);
            op.start_ns += shift_ns, op.end_ns += shift_ns;
            ops.push_back(op);
        }
        const StepRecord step{data.steps.step[s], data.steps.phase[s], data.steps.batch[s],
                              data.steps.start_ns[s] + shift_ns, data.steps.end_ns[s] + shift_ns};
        writer.add_step(run, step, ops,
                        last ? std::span<const EdgeRecord>(edges) : std::span<const EdgeRecord>());
    }
}

}  // namespace

RunId copy_run(const RunData& data, std::int64_t shift_ns,
               const std::function<StreamKey(StreamKey)>& stream_key, Writer& writer) {
    const RunId run = writer.begin_run(data.run, data.machine, 0);
    writer.add_heads(run, data.heads);
    copy_steps(data, shift_ns, stream_key, run, writer);
    for (const TokenRecord& token : data.tokens) writer.add_token(run, token);
    for (const DriftRecord& check : data.drift) writer.add_drift(run, check);
    for (FetchRecord fetch : data.fetches) {
        fetch.queued_ns += shift_ns;
        if (fetch.start_ns >= 0) fetch.start_ns += shift_ns;
        if (fetch.end_ns >= 0) fetch.end_ns += shift_ns;
        writer.add_fetch(run, fetch);
    }
    for (const RowsRecord& rows : data.rows) writer.add_rows(run, rows);
    for (const AttentionRecord& row : data.attention) writer.add_attention(run, row);
    for (const MemoryRecord& memory : data.memory) writer.add_memory(run, memory);
    return run;
}

}  // namespace hc::trace
