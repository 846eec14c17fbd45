#include "profiler/trace/row_inserter.h"

#include <fmt/format.h>
#include <cstring>
#include <iterator>
#include <optional>

#include "profiler/trace/insert_values.h"
#include "profiler/trace/names.h"
#include "profiler/trace/position_codec.h"

namespace hc::trace {
namespace {

std::string json_array(const std::vector<double>& values) {
    std::string text = "[";
    for (const double v : values) {
        fmt::format_to(std::back_inserter(text), "{}{}", text.size() > 1 ? "," : "", v);
    }
    return text + "]";
}

}  // namespace

RowInserter::RowInserter(Database& database)
    : run_(prepare_insert(database, "hc_run", 20)),
      machine_(prepare_insert(database, "hc_machine", 6)),
      stream_(prepare_insert(database, "hc_stream", 7, "INSERT OR REPLACE")),
      value_(prepare_insert(database, "hc_value", 8)),
      meta_(prepare_insert(database, "hc_meta", 2, "INSERT OR REPLACE")),
      step_(prepare_insert(database, "hc_step", 6)),
      op_(database.prepare("INSERT INTO hc_op_row (run, op_id, step, layer, kind, stream, "
                           "start_ns, duration_ns, bytes_read, bytes_written, flops, rows) "
                           "VALUES (?,?,?,?,?,?,?,?,?,?,?,?)")),
      edge_(prepare_insert(database, "hc_edge", 4)),
      token_(prepare_insert(database, "hc_token", 8)),
      head_(prepare_insert(database, "hc_head", 8)),
      drift_(prepare_insert(database, "hc_drift", 12)),
      fetch_(prepare_insert(database, "hc_retrieval", 20)),
      rows_(prepare_insert(database, "hc_rows", 10)),
      attention_(prepare_insert(database, "hc_attention", 11)),
      memory_(prepare_insert(database, "hc_memory", 7)),
      recall_(prepare_insert(database, "hc_recall", 7)),
      activity_(database) {
    Statement kind = database.prepare("INSERT OR IGNORE INTO hc_op_kind VALUES (?,?)");
    for (std::size_t i = 0; i < static_cast<std::size_t>(OpKind::kCount); ++i) {
        insert(kind, static_cast<std::int64_t>(i), op_kind_name(static_cast<OpKind>(i)));
    }
}

void RowInserter::insert_chunk(const RecordChunk& chunk) {
    std::span<const std::byte> bytes(chunk.data.get(), chunk.used);
    while (!bytes.empty()) {
        RecordHeader header;
        HC_CHECK(bytes.size() >= sizeof(header));
        std::memcpy(&header, bytes.data(), sizeof(header));
        bytes = bytes.subspan(sizeof(header));
        HC_CHECK(header.size <= bytes.size());
        Unpacker record(bytes.first(header.size));
        insert_record(header.type, record);
        HC_CHECK(record.done());
        bytes = bytes.subspan(header.size);
    }
}

void RowInserter::insert_record(RecordType type, Unpacker& bytes) {
    if (type >= RecordType::kString) return activity_.insert_record(type, bytes);
    const auto unpack = [&bytes]<typename R>(R record) {
        fields(bytes, record);
        return record;
    };
    switch (type) {
        case RecordType::kRun:
            return insert_run(unpack(RunEntry{}));
        case RecordType::kMachine:
            return insert_machine(unpack(Machine{}));
        case RecordType::kStream:
            return insert_stream(unpack(Stream{}));
        case RecordType::kValue:
            return insert_value(unpack(Value{}));
        case RecordType::kMeta: {
            const MetaEntry entry = unpack(MetaEntry{});
            return set_meta(entry.key, entry.value);
        }
        default:
            break;
    }
    const auto run = bytes.next<RunId>();
    switch (type) {
        case RecordType::kStep:
            return insert_step(run, bytes);
        case RecordType::kToken:
            return insert_token(run, unpack(TokenRecord{}));
        case RecordType::kDrift:
            return insert_drift(run, unpack(DriftRecord{}));
        case RecordType::kFetch:
            return insert_fetch(run, unpack(FetchRecord{}));
        case RecordType::kRows:
            return insert_rows(run, unpack(RowsRecord{}));
        case RecordType::kAttention:
            return insert_attention(run, unpack(AttentionRecord{}));
        case RecordType::kMemory:
            return insert_memory(run, unpack(MemoryRecord{}));
        case RecordType::kHeads: {
            std::vector<HeadRecord> heads;
            bytes(heads);
            return insert_heads(run, heads);
        }
        case RecordType::kRecall: {
            std::vector<RecallRecord> rows;
            bytes(rows);
            return insert_recall(run, rows);
        }
        default:
            HC_CHECK(false);
    }
}

std::int64_t RowInserter::zero_of(RunId run) const {
    const auto index = static_cast<std::size_t>(run);
    HC_CHECK(run >= 0 && index < zeros_.size());
    return zeros_[index];
}

void RowInserter::set_meta(std::string_view key, std::string_view value) {
    insert(meta_, key, value);
}

void RowInserter::insert_run(const RunEntry& entry) {
    const Run& r = entry.run;
    zeros_.push_back(entry.zero_ns);
    HC_CHECK(r.id + 1 == static_cast<RunId>(zeros_.size()));
    insert(run_, r.id, origin_name(r.origin), none_if_negative(std::int64_t{r.source_run}),
           none_if_negative(std::int64_t{r.attention_run}), r.policy, r.mode, r.parameters_json,
           r.window, r.commit_lag, r.model_name, r.model_hash, r.shape_json, r.weights, r.prefill,
           r.drift, r.tokens, r.backend, r.prompt_tokens, r.batch, r.seed);
}

void RowInserter::insert_machine(const Machine& m) {
    const std::int64_t device = m.compute_capability.empty() ? -1 : 0;
    insert(machine_, m.run, device, m.name, m.compute_capability, m.num_sms, m.memory_bytes);
}

void RowInserter::insert_stream(const Stream& s) {
    insert(stream_, s.key, s.pid, none_if_negative(std::int64_t{s.device}),
           none_if_negative(std::int64_t{s.context}), none_if_negative(s.stream_id), s.name,
           s.role);
}

void RowInserter::insert_value(const Value& v) {
    insert(value_, none_if_negative(std::int64_t{v.run}), v.machine, v.name, v.argument, v.number,
           v.unit, value_origin_name(v.origin), v.source);
}

void RowInserter::insert_step(RunId run, Unpacker& bytes) {
    const std::int64_t zero = zero_of(run);
    const auto step = bytes.next<StepRecord>();
    insert(step_, run, step.step, phase_name(step.phase), step.batch, step.start_ns - zero,
           step.end_ns - zero);
    for (auto left = bytes.next<std::uint64_t>(); left > 0; --left) {
        insert_op(run, zero, bytes.next<OpRecord>());
    }
    for (auto left = bytes.next<std::uint64_t>(); left > 0; --left) {
        const auto edge = bytes.next<EdgeRecord>();
        insert(edge_, run, edge.from_op, edge.to_op, edge_kind_name(edge.kind));
    }
}

void RowInserter::insert_op(RunId run, std::int64_t zero, const OpRecord& op) {
    insert(op_, run, op.op_id, op.step, op.layer, static_cast<std::int64_t>(op.kind), op.stream,
           op.start_ns - zero, op.end_ns - op.start_ns, op.bytes_read, op.bytes_written, op.flops,
           op.rows);
}

void RowInserter::insert_token(RunId run, const TokenRecord& t) {
    insert(token_, run, t.step, t.sequence, t.token_id, t.context_length, t.kl_nats, t.top1_equal,
           t.nll_nats);
}

void RowInserter::insert_heads(RunId run, const std::vector<HeadRecord>& heads) {
    for (const HeadRecord& h : heads) {
        insert(head_, run, h.layer, h.head, role_name(h.role), none_if_negative(h.stability),
               none_if_negative(std::int64_t{h.pivot}), none_if_negative(h.ratio), h.capacity);
    }
}

void RowInserter::insert_drift(RunId run, const DriftRecord& d) {
    insert(drift_, run, d.check_id, d.op_id, d.step, d.layer, d.pivot, d.sequence, d.base,
           json_array(d.overlaps), d.median, d.threshold, d.triggered);
}

void RowInserter::insert_fetch(RunId run, const FetchRecord& f) {
    const std::int64_t zero = zero_of(run);
    // A fetch that never began has no times; on a running clock those are 0.
    const auto time = [zero](std::int64_t value) {
        const bool none = value < 0 || (value == 0 && zero != 0);
        return none ? Number{} : Number{value - zero};
    };
    insert(fetch_, run, f.id, f.check_id, f.sequence, f.layer, fetch_way_name(f.way), f.rows_wanted,
           f.rows_fetched, f.runs, f.bytes, f.queued_ns - zero, time(f.start_ns), time(f.end_ns),
           f.due_step, none_if_negative(f.committed_step), f.exposed_ns,
           none_if_negative(f.fetch_op), none_if_negative(f.commit_op),
           none_if_negative(f.first_use_op), f.superseded);
}

void RowInserter::insert_rows(RunId run, const RowsRecord& r) {
    insert(rows_, run, none_if_negative(r.fetch_id), r.step, r.sequence, r.layer, r.head,
           static_cast<std::int64_t>(r.fetched.size()), static_cast<std::int64_t>(r.evicted.size()),
           encode_positions(r.fetched), encode_positions(r.evicted));
}

void RowInserter::insert_attention(RunId run, const AttentionRecord& a) {
    insert(attention_, run, a.step, a.sequence, a.layer, a.head, attention_row_kind_name(a.kind),
           static_cast<std::int64_t>(a.ranked.size()), encode_positions(a.ranked),
           encode_values(a.values), a.mass_generated, a.mass_rest);
}

void RowInserter::insert_memory(RunId run, const MemoryRecord& m) {
    insert(memory_, run, m.step, m.pool_used_bytes, m.pool_reserved_bytes, m.host_tier_bytes,
           m.staging_bytes, m.process_peak_bytes);
}

void RowInserter::insert_recall(RunId run, const std::vector<RecallRecord>& rows) {
    for (const RecallRecord& r : rows) {
        insert(recall_, run, r.step, r.sequence, r.layer, r.head, r.low, r.high);
    }
}

}  // namespace hc::trace
