/// Keeps what an engine reports in memory, in the shape that analysis reads from a trace.
#pragma once

#include "engine/core/observer.h"
#include "profiler/trace/columns.h"

namespace hc::test {

class Collector final : public Observer {
public:
    void on_step(const StepRecord& step, std::span<const OpRecord> ops,
                 std::span<const EdgeRecord> edges) override {
        data.steps.step.push_back(step.step);
        data.steps.phase.push_back(step.phase);
        data.steps.batch.push_back(step.batch);
        data.steps.start_ns.push_back(step.start_ns);
        data.steps.end_ns.push_back(step.end_ns);
        for (const OpRecord& op : ops) {
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
        for (const EdgeRecord& edge : edges) {
            data.edges.from_op.push_back(edge.from_op);
            data.edges.to_op.push_back(edge.to_op);
            data.edges.kind.push_back(edge.kind);
        }
    }
    void on_token(const TokenRecord& token) override { data.tokens.push_back(token); }
    void on_heads(std::span<const HeadRecord> heads) override {
        data.heads.assign(heads.begin(), heads.end());
    }
    void on_drift(const DriftRecord& check) override { data.drift.push_back(check); }
    void on_fetch(const FetchRecord& fetch) override { data.fetches.push_back(fetch); }
    void on_rows(const RowsRecord& rows) override { data.rows.push_back(rows); }
    void on_attention(const AttentionRecord& row) override { data.attention.push_back(row); }
    void on_memory(const MemoryRecord& memory) override { data.memory.push_back(memory); }

    trace::RunData data;
};

}  // namespace hc::test
