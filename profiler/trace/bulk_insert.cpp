#include "profiler/trace/bulk_insert.h"

#include <fmt/format.h>
#include <bit>
#include <string>

#include "profiler/trace/insert_values.h"

namespace hc::trace {
namespace {

/// Binds one value after the other.
class Binder {
public:
    explicit Binder(Statement& statement) : statement_(statement) {}
    template <typename... Values>
    void operator()(const Values&... values) {
        (bind_one(statement_, ++index_, values), ...);
    }

private:
    Statement& statement_;
    int index_ = 0;
};

Statement prepare_rows(Database& database, std::string_view table, int columns,
                       std::uint64_t rows) {
    std::string row = "(?";
    for (int i = 1; i < columns; ++i) row += ",?";
    row += ")";
    std::string sql = fmt::format("INSERT INTO {} VALUES {}", table, row);
    for (std::uint64_t i = 1; i < rows; ++i) sql += "," + row;
    return database.prepare(sql);
}

// The columns of each table in the order of schema.sql.

void bind_row(Binder& to, const KernelRow& r, std::int64_t zero) {
    to(r.start_ns - zero, r.duration_ns, r.correlation_id, r.stream,
       none_if_negative(r.graph_node_id), r.launch);
}

void bind_row(Binder& to, const MemcpyRow& r, std::int64_t zero) {
    to(r.start_ns - zero, r.duration_ns, r.correlation_id, r.stream,
       none_if_negative(r.graph_node_id), r.bytes, r.copy_kind, none_if_negative(r.src_kind),
       none_if_negative(r.dst_kind), none_if_negative(r.src_device), none_if_negative(r.dst_device),
       none_if_negative(r.copy_count));
}

void bind_row(Binder& to, const MemsetRow& r, std::int64_t zero) {
    to(r.start_ns - zero, r.duration_ns, r.correlation_id, r.stream,
       none_if_negative(r.graph_node_id), r.bytes, r.value, none_if_negative(r.mem_kind));
}

void bind_row(Binder& to, const ApiRow& r, std::int64_t zero) {
    to(r.start_ns - zero, r.duration_ns, r.correlation_id, r.thread, r.api_class, r.name, r.result);
}

void bind_row(Binder& to, const SyncRow& r, std::int64_t zero) {
    to(r.start_ns - zero, r.duration_ns, r.correlation_id, r.stream, r.type, r.event_id,
       none_if_negative(r.event_sync_id));
}

void bind_row(Binder& to, const NvtxRow& r, std::int64_t zero) {
    to(r.start_ns - zero, none_if_negative(r.duration_ns), r.type, r.thread,
       none_if_negative(r.end_thread), none_if_negative(r.range_id), none_if_negative(r.name),
       none_if_negative(r.domain), none_if_negative(r.category), none_if_negative(r.color));
    const bool is_real = r.payload_type == 3 || r.payload_type == 6;
    if (!r.has_payload) {
        to(Number{}, Number{});
    } else if (is_real) {
        to(std::bit_cast<double>(r.payload), r.payload_type);
    } else {
        to(r.payload, r.payload_type);
    }
}

void bind_row(Binder& to, const OverheadRow& r, std::int64_t zero) {
    to(r.start_ns - zero, r.duration_ns, r.kind, none_if_negative(r.thread));
}

void bind_row(Binder& to, const MemoryEventRow& r, std::int64_t zero) {
    // Addresses fill 64 bits, so only -1 is none.
    const Number pool = r.pool_address == -1 ? Number{} : Number{r.pool_address};
    to(r.time_ns - zero, r.bytes, r.address, r.correlation_id, none_if_negative(r.stream),
       r.operation, none_if_negative(r.mem_kind), pool, none_if_negative(r.pool_size_bytes));
}

void bind_row(Binder& to, const ExternalRow& r, std::int64_t) {
    to(r.correlation_id, r.external_id, r.kind, none_if_negative(r.pid));
}

}  // namespace

BulkInsert::BulkInsert(Database& database, std::string_view table, int columns)
    : one_(prepare_rows(database, table, columns, 1)),
      many_(prepare_rows(database, table, columns, kRows)) {}

template <typename Row>
void BulkInsert::insert(Unpacker& bytes) {
    const auto zero = bytes.next<std::int64_t>();
    auto left = bytes.next<std::uint64_t>();
    for (; left >= kRows; left -= kRows) {
        Binder to(many_);
        for (std::uint64_t i = 0; i < kRows; ++i) bind_row(to, bytes.next<Row>(), zero);
        many_.run();
    }
    for (; left > 0; --left) {
        Binder to(one_);
        bind_row(to, bytes.next<Row>(), zero);
        one_.run();
    }
}

template void BulkInsert::insert<KernelRow>(Unpacker&);
template void BulkInsert::insert<MemcpyRow>(Unpacker&);
template void BulkInsert::insert<MemsetRow>(Unpacker&);
template void BulkInsert::insert<ApiRow>(Unpacker&);
template void BulkInsert::insert<SyncRow>(Unpacker&);
template void BulkInsert::insert<NvtxRow>(Unpacker&);
template void BulkInsert::insert<OverheadRow>(Unpacker&);
template void BulkInsert::insert<MemoryEventRow>(Unpacker&);
template void BulkInsert::insert<ExternalRow>(Unpacker&);

}  // namespace hc::trace
