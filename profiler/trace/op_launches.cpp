#include "profiler/trace/op_launches.h"

#include "profiler/trace/op_reader.h"
#include "profiler/trace/row_fields.h"
#include "profiler/trace/trace_file.h"

namespace hc::trace {

std::vector<OpLaunches> read_op_launches(const std::filesystem::path& trace, RunId run) {
    return guarded(trace, [&] {
        const Opened opened = open_database(std::filesystem::absolute(trace).string());
        Statement rows = opened.database.prepare(
            "SELECT k.name, o.bytes_read, o.bytes_written, o.correlation_first, "
            "ifnull(o.correlation_last, o.correlation_first) "
            "FROM hc_op_row AS o JOIN hc_op_kind AS k ON k.id = o.kind "
            "WHERE o.run = ? AND o.correlation_first IS NOT NULL");
        std::vector<OpLaunches> launches;
        NoProgress quiet;
        for_rows(rows, run, quiet, [&](const Statement& row) {
            launches.push_back({name_at<OpKind>(row, 0, "operation kind"),
                                amount_at(row, 1) + amount_at(row, 2), required_id(row, 3),
                                required_id(row, 4)});
        });
        return launches;
    });
}

}  // namespace hc::trace
