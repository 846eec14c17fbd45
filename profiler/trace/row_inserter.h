/// Puts queued records into their tables, one prepared statement per table.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "engine/core/records.h"
#include "profiler/trace/activity_inserter.h"
#include "profiler/trace/columns.h"
#include "profiler/trace/record_archive.h"
#include "profiler/trace/record_queue.h"
#include "profiler/trace/sqlite_database.h"

namespace hc::trace {

/// Used by one thread. Throws SqliteFailure; transactions are the caller's.
class RowInserter {
public:
    /// `database` holds the tables and outlives this.
    explicit RowInserter(Database& database);

    /// Inserts every record of the chunk.
    void insert_chunk(const RecordChunk& chunk);
    void set_meta(std::string_view key, std::string_view value);

private:
    void insert_record(RecordType type, Unpacker& bytes);
    void insert_run(const RunEntry& entry);
    void insert_machine(const Machine& machine);
    void insert_stream(const Stream& stream);
    void insert_value(const Value& value);
    void insert_step(RunId run, Unpacker& bytes);
    void insert_op(RunId run, std::int64_t zero, const OpRecord& op);
    void insert_token(RunId run, const TokenRecord& token);
    void insert_heads(RunId run, const std::vector<HeadRecord>& heads);
    void insert_drift(RunId run, const DriftRecord& check);
    void insert_fetch(RunId run, const FetchRecord& fetch);
    void insert_rows(RunId run, const RowsRecord& rows);
    void insert_attention(RunId run, const AttentionRecord& row);
    void insert_memory(RunId run, const MemoryRecord& memory);
    void insert_recall(RunId run, const std::vector<RecallRecord>& rows);
    [[nodiscard]] std::int64_t zero_of(RunId run) const;

    std::vector<std::int64_t> zeros_;  // [run], ns taken from its times
    Statement run_, machine_, stream_, value_, meta_, step_, op_, edge_, token_, head_, drift_,
        fetch_, rows_, attention_, memory_, recall_;
    ActivityInserter activity_;
};

}  // namespace hc::trace
