/// Puts queued CUDA activity into its narrow tables.
#pragma once

#include <cstdint>

#include "profiler/trace/activity.h"
#include "profiler/trace/activity_names.h"
#include "profiler/trace/record_archive.h"
#include "profiler/trace/record_queue.h"
#include "profiler/trace/sqlite_database.h"

namespace hc::trace {

/// Used by one thread. Throws SqliteFailure; transactions are the caller's.
class ActivityInserter {
public:
    /// `database` holds the tables and outlives this.
    explicit ActivityInserter(Database& database);

    /// `type` is one of activity: kString and after.
    void insert_record(RecordType type, Unpacker& bytes);

private:
    void insert_string(const StringEntry& entry);
    void insert_launch(const LaunchEntry& entry);
    void insert_gpu(const Gpu& gpu);
    template <typename Row>
    void insert_rows(Unpacker& bytes);
    void insert_row(const KernelRow& row, std::int64_t zero);
    void insert_row(const MemcpyRow& row, std::int64_t zero);
    void insert_row(const MemsetRow& row, std::int64_t zero);
    void insert_row(const ApiRow& row, std::int64_t zero);
    void insert_row(const SyncRow& row, std::int64_t zero);
    void insert_row(const NvtxRow& row, std::int64_t zero);
    void insert_row(const OverheadRow& row, std::int64_t zero);
    void insert_row(const MemoryEventRow& row, std::int64_t zero);
    void insert_row(const ExternalRow& row, std::int64_t zero);

    Statement string_, launch_, gpu_, process_, nvtx_name_, kernel_, memcpy_, memset_, api_, sync_,
        nvtx_, overhead_, memory_event_, external_;
};

}  // namespace hc::trace
