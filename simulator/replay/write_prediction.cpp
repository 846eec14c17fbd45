#include <fmt/format.h>

#include <unordered_map>

#include "engine/core/clock.h"
#include "engine/core/error.h"
#include "simulator/replay/simulator.h"

namespace hc::sim {
namespace {

OpRecord op_at(const trace::Ops& ops, std::size_t i) {
    return {ops.op_id[i],         ops.step[i],     ops.layer[i],  ops.kind[i],
            ops.stream[i],        ops.start_ns[i], ops.end_ns[i], ops.bytes_read[i],
            ops.bytes_written[i], ops.flops[i],    ops.rows[i]};
}

void write_steps(trace::Writer& writer, trace::RunId run, const trace::RunData& data) {
    std::unordered_map<std::int64_t, std::size_t> at;
    for (std::size_t i = 0; i < data.steps.size(); ++i) at[data.steps.step[i]] = i;
    std::vector<std::vector<OpRecord>> ops(data.steps.size());
    std::unordered_map<std::int64_t, std::size_t> step_of;
    for (std::size_t i = 0; i < data.ops.size(); ++i) {
        const auto step = at.find(data.ops.step[i]);
        if (step == at.end()) {
            throw_input(
                fmt::format("run {}: operation {} belongs to step {}, which it does not have",
                            data.run.id, data.ops.op_id[i], data.ops.step[i]));
        }
        ops[step->second].push_back(op_at(data.ops, i));
        step_of[data.ops.op_id[i]] = step->second;
    }
    std::vector<std::vector<EdgeRecord>> edges(data.steps.size());
    for (std::size_t i = 0; i < data.edges.size(); ++i) {
        const auto step = step_of.find(data.edges.to_op[i]);
        if (step == step_of.end()) continue;
        edges[step->second].push_back(
            {data.edges.from_op[i], data.edges.to_op[i], data.edges.kind[i]});
    }
    for (std::size_t i = 0; i < data.steps.size(); ++i) {
        const StepRecord record{data.steps.step[i], data.steps.phase[i], data.steps.batch[i],
                                data.steps.start_ns[i], data.steps.end_ns[i]};
        writer.add_step(run, record, ops[i], edges[i]);
    }
}

void move_times(trace::RunData& data, std::int64_t by_ns) {
    for (std::int64_t& time : data.steps.start_ns) time += by_ns;
    for (std::int64_t& time : data.steps.end_ns) time += by_ns;
    for (std::int64_t& time : data.ops.start_ns) time += by_ns;
    for (std::int64_t& time : data.ops.end_ns) time += by_ns;
    for (FetchRecord& fetch : data.fetches) {
        fetch.queued_ns += by_ns;
        if (fetch.fetch_op < 0) continue;  // never began: has no times
        fetch.start_ns += by_ns;
        fetch.end_ns += by_ns;
    }
}

}  // namespace

trace::RunId write_run(trace::Writer& writer, const trace::RunData& recorded) {
    // A writer takes recorded times for those of this process's clock; simulated ones from 0.
    const bool move = recorded.run.origin == trace::Origin::kRecorded && recorded.steps.size() > 0;
    std::optional<trace::RunData> moved;
    if (move) {
        moved = recorded;
        move_times(*moved, now_ns() - recorded.steps.start_ns.front());
    }
    const trace::RunData& data = moved ? *moved : recorded;
    const trace::RunId run = writer.begin_run(data.run, data.machine);
    writer.add_heads(run, data.heads);
    write_steps(writer, run, data);
    for (const TokenRecord& token : data.tokens) writer.add_token(run, token);
    for (const DriftRecord& check : data.drift) writer.add_drift(run, check);
    for (const FetchRecord& fetch : data.fetches) writer.add_fetch(run, fetch);
    for (const RowsRecord& rows : data.rows) writer.add_rows(run, rows);
    for (const AttentionRecord& row : data.attention) writer.add_attention(run, row);
    for (const MemoryRecord& memory : data.memory) writer.add_memory(run, memory);
    return run;
}

trace::RunId write_prediction(trace::Writer& writer, const Prediction& prediction,
                              std::optional<trace::RunId> source_run,
                              std::optional<trace::RunId> attention_run) {
    trace::RunData data = prediction.data;
    // Run numbers of the recording mean nothing in another file.
    data.run.source_run = source_run.value_or(-1);
    data.run.attention_run = attention_run.value_or(-1);
    const trace::RunId run = write_run(writer, data);
    const std::string key = fmt::format("simulated.{}.", run);
    writer.add_meta(key + "label", prediction.scenario.label);
    writer.add_meta(key + "tag", std::string(tag_name(prediction.tag)));
    const trace::Run& made_from = prediction.data.run;
    writer.add_meta(key + "source_run", std::to_string(made_from.source_run));
    writer.add_meta(key + "attention_run", std::to_string(made_from.attention_run));
    std::string notes;
    for (const std::string& note : prediction.notes) notes += (notes.empty() ? "" : "; ") + note;
    writer.add_meta(key + "notes", notes);
    if (prediction.scenario.machine) {
        for (trace::Value value : prediction.scenario.machine->values) {
            value.run = run;
            value.machine = data.machine.name;
            writer.add_value(value);
        }
    }
    return run;
}

}  // namespace hc::sim
