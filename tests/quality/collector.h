/// Keeps what an engine reports in memory, in the shape that analysis reads from a trace.
#pragma once

#include "engine/core/observer.h"
#include "profiler/trace/columns.h"

namespace hc::test {

class Collector final : public Observer {
public:
    void on_step(const StepRecord& step, std::span<const OpRecord>, std::span<const EdgeRecord>) override {
        data.steps.step.push_back(step.step);
        data.steps.phase.push_back(step.phase);
        data.steps.batch.push_back(step.batch);
        data.steps.start_ns.push_back(step.start_ns);
        data.steps.end_ns.push_back(step.end_ns);
    }
    void on_token(const TokenRecord& token) override { data.tokens.push_back(token); }
    void on_heads(std::span<const HeadRecord> heads) override { data.heads.assign(heads.begin(), heads.end()); }
    void on_drift(const DriftRecord& check) override { data.drift.push_back(check); }
    void on_fetch(const FetchRecord& fetch) override { data.fetches.push_back(fetch); }
    void on_rows(const RowsRecord& rows) override { data.rows.push_back(rows); }
    void on_attention(const AttentionRecord& row) override { data.attention.push_back(row); }
    void on_memory(const MemoryRecord& memory) override { data.memory.push_back(memory); }

    trace::RunData data;
};

}  // namespace hc::test
