// Tables of CUDA activity.
#include <fmt/format.h>

#include "cli/format.h"
#include "cli/report_tables.h"
#include "profiler/trace/columns.h"

namespace hc::cli {
namespace {

using analysis::DeviceTime;
using analysis::IdleCause;

std::optional<double> share_of(std::int64_t part, std::int64_t whole) {
    if (whole <= 0) return std::nullopt;
    return static_cast<double>(part) / static_cast<double>(whole);
}

std::string device_name(std::int32_t device) {
    return device < 0 ? std::string("unknown") : fmt::format("{}", device);
}

std::int64_t idle_of(const DeviceTime& d, IdleCause cause) {
    return d.idle_ns[static_cast<std::size_t>(cause)];
}

std::string memory_name(std::int32_t kind) {
    constexpr const char* kNames[] = {"pageable", "pinned",        "device",         "array",
                                      "managed",  "device static", "managed static", "unknown"};
    return kind >= 0 && kind < 8 ? kNames[kind] : "unknown";
}

/// What a link lets through that way; copies within a device have no link.
std::optional<double> link_limit(const analysis::Limits& limits, std::int32_t kind) {
    constexpr std::int32_t kHostToDevice = 1;
    constexpr std::int32_t kDeviceToHost = 2;
    if (kind == kHostToDevice && limits.h2d) return limits.h2d->gb_per_s;
    if (kind == kDeviceToHost && limits.d2h) return limits.d2h->gb_per_s;
    return std::nullopt;
}

std::vector<Column> time_columns() {
    return {{"count", "count", Unit::kCount},   {"total_ns", "total", Unit::kNs},
            {"median_ns", "median", Unit::kNs}, {"p95_ns", "p95", Unit::kNs},
            {"max_ns", "max", Unit::kNs},       {"min_ns", "min", Unit::kNs, false}};
}

void add_times(std::vector<Cell>& cells, const analysis::GroupTimes& t) {
    cells.insert(cells.end(), {t.count, t.total_ns, t.median_ns, t.p95_ns, t.max_ns, t.min_ns});
}

std::optional<double> kernel_rate(const ActivityReport& report, analysis::NameIndex name) {
    const auto found = report.kernel_bytes.find(name);
    return found == report.kernel_bytes.end() ? std::nullopt : found->second.gb_per_s();
}

}  // namespace

std::optional<double> kernel_share_of_limit(const ActivityReport& report,
                                            analysis::NameIndex name) {
    const std::optional<double> rate = kernel_rate(report, name);
    if (!rate || !report.limits.read) return std::nullopt;
    return *rate / report.limits.read->gb_per_s;
}

DataTable devices_table(const ActivityReport& report) {
    DataTable table;
    table.key = "devices";
    table.title = "Device time";
    table.columns = {{"device", "device", Unit::kText},
                     {"start_ns", "from", Unit::kNs, false},
                     {"span_ns", "span", Unit::kNs},
                     {"compute_ns", "compute", Unit::kNs},
                     {"compute_share", "of span", Unit::kShare},
                     {"transfer_ns", "transfer", Unit::kNs},
                     {"both_ns", "both", Unit::kNs},
                     {"overlap", "overlap", Unit::kShare},
                     {"busy_ns", "busy", Unit::kNs, false},
                     {"idle_ns", "idle", Unit::kNs}};
    for (const DeviceTime& d : report.devices) {
        table.add_row({device_name(d.device), d.start_ns, d.span_ns(), d.compute_ns,
                       cell_of(share_of(d.compute_ns, d.span_ns())), d.transfer_ns, d.both_ns,
                       cell_of(d.overlap()), d.busy_ns(), d.idle_total_ns()});
    }
    table.note =
        "compute: union of kernels and memsets; transfer: of copies; overlap: both / "
        "transfer; idle: span less compute";
    return table;
}

DataTable idle_table(const ActivityReport& report) {
    DataTable table;
    table.key = "idle";
    table.title = "Idle time by cause";
    table.columns = {{"device", "device", Unit::kText},
                     {"idle_ns", "idle", Unit::kNs},
                     {"gaps", "gaps", Unit::kCount},
                     {"host_ns", "host-bound", Unit::kNs},
                     {"host_share", "share", Unit::kShare},
                     {"transfer_ns", "on a transfer", Unit::kNs},
                     {"transfer_share", "share", Unit::kShare},
                     {"other_ns", "other", Unit::kNs},
                     {"other_share", "share", Unit::kShare, false},
                     {"uncertain_ns", "uncertain", Unit::kNs, report.activity.clock_error_ns > 0}};
    for (const DeviceTime& d : report.devices) {
        const std::int64_t idle = d.idle_total_ns();
        std::vector<Cell> cells = {device_name(d.device), idle, d.gaps};
        for (const IdleCause cause : {IdleCause::kHost, IdleCause::kTransfer, IdleCause::kOther}) {
            cells.emplace_back(idle_of(d, cause));
            cells.push_back(cell_of(share_of(idle_of(d, cause), idle)));
        }
        cells.emplace_back(d.uncertain_ns);
        table.add_row(std::move(cells));
    }
    table.note = "host-bound: the next work was asked for only after the work before it had ended";
    if (report.activity.clock_error_ns > 0) {
        table.note += fmt::format("; uncertain: within the clocks' error of {}",
                                  format_ns(static_cast<double>(report.activity.clock_error_ns)));
    }
    return table;
}

DataTable gaps_table(const ActivityReport& report) {
    DataTable table;
    table.key = "gaps";
    table.title = "Longest idle gaps";
    table.columns = {{"next_kernel", "ended by", Unit::kText},
                     {"device", "device", Unit::kText},
                     {"start_ns", "at", Unit::kNs},
                     {"length_ns", "length", Unit::kNs},
                     {"cause", "mostly", Unit::kText},
                     {"host_ns", "host", Unit::kNs, false},
                     {"transfer_ns", "transfer", Unit::kNs, false},
                     {"other_ns", "other", Unit::kNs, false}};
    for (const DeviceTime& d : report.devices) {
        for (const analysis::IdleGap& gap : d.longest) {
            const bool last = gap.end_ns == d.end_ns;
            table.add_row({gap.next != analysis::kNoName ? report.activity.name(gap.next)
                           : last                        ? std::string("(end)")
                                                         : std::string("(memset)"),
                           device_name(d.device), gap.start_ns, gap.length_ns(),
                           analysis::idle_cause_name(gap.main_cause()), gap.cause_ns[0],
                           gap.cause_ns[1], gap.cause_ns[2]});
        }
    }
    return table;
}

DataTable kernels_table(const ActivityReport& report) {
    DataTable table;
    table.key = "kernels";
    table.title = "Kernels by name";
    table.columns = {
        {"name", "kernel", Unit::kText},     {"count", "count", Unit::kCount},
        {"total_ns", "total", Unit::kNs},    {"share", "share", Unit::kShare},
        {"median_ns", "median", Unit::kNs},  {"p95_ns", "p95", Unit::kNs},
        {"max_ns", "max", Unit::kNs, false}, {"min_ns", "min", Unit::kNs, false},
        {"gb_per_s", "GB/s", Unit::kGbPerS}, {"share_of_limit", "of limit", Unit::kShare}};
    for (const analysis::KernelTotal& k : analysis::kernel_totals(report.activity)) {
        const std::optional<double> rate = kernel_rate(report, k.name);
        table.add_row({report.activity.name(k.name), k.time.count, k.time.total_ns, k.share,
                       k.time.median_ns, k.time.p95_ns, k.time.max_ns, k.time.min_ns, cell_of(rate),
                       cell_of(kernel_share_of_limit(report, k.name))});
    }
    table.note = "share: of the sum of all kernels' times";
    if (report.limits.read && !report.kernel_bytes.empty()) {
        table.note +=
            fmt::format("; of limit: of {:.1f} GB/s memory read ({})", report.limits.read->gb_per_s,
                        trace::value_origin_name(report.limits.read->origin));
    }
    return table;
}

DataTable copies_table(const ActivityReport& report) {
    DataTable table;
    table.key = "copies";
    table.title = "Copies by kind";
    table.columns = {{"kind", "copy", Unit::kText},
                     {"source_memory", "from", Unit::kText},
                     {"target_memory", "to", Unit::kText},
                     {"count", "count", Unit::kCount},
                     {"bytes", "bytes", Unit::kBytes},
                     {"median_bytes", "median", Unit::kBytes},
                     {"total_ns", "time", Unit::kNs},
                     {"median_ns", "median", Unit::kNs, false},
                     {"p95_ns", "p95", Unit::kNs, false},
                     {"gb_per_s", "GB/s", Unit::kGbPerS},
                     {"share_of_link", "of link", Unit::kShare}};
    for (const analysis::CopyTotal& c : analysis::copy_totals(report.activity)) {
        const std::optional<double> limit = link_limit(report.limits, c.kind);
        std::optional<double> of_link;
        if (limit && c.gb_per_s) of_link = *c.gb_per_s / *limit;
        table.add_row({analysis::copy_kind_name(c.kind), memory_name(c.source_memory),
                       memory_name(c.target_memory), c.time.count, c.bytes, c.median_bytes,
                       c.time.total_ns, c.time.median_ns, c.time.p95_ns, cell_of(c.gb_per_s),
                       cell_of(of_link)});
    }
    table.note = "GB/s: bytes over the sum of the copies' own times";
    return table;
}

DataTable copy_sizes_table(const ActivityReport& report) {
    DataTable table;
    table.key = "copy_sizes";
    table.title = "Copies by size";
    table.whole = true;
    table.columns = {{"kind", "copy", Unit::kText},
                     {"size", "size", Unit::kText},
                     {"up_to_bytes", "", Unit::kBytes, false},
                     {"count", "count", Unit::kCount},
                     {"bytes", "bytes", Unit::kBytes},
                     {"total_ns", "time", Unit::kNs},
                     {"gb_per_s", "GB/s", Unit::kGbPerS}};
    for (const analysis::CopySizeClass& c : analysis::copy_sizes(report.activity)) {
        table.add_row({analysis::copy_kind_name(c.kind), analysis::size_class_name(c.up_to_bytes),
                       c.up_to_bytes, c.count, c.bytes, c.total_ns,
                       cell_of(share_of(c.bytes, c.total_ns))});
    }
    return table;
}

DataTable memsets_table(const ActivityReport& report) {
    DataTable table;
    table.key = "memsets";
    table.title = "Memsets";
    table.columns = time_columns();
    table.columns.push_back({"bytes", "bytes", Unit::kBytes});
    const analysis::MemsetTotal total = analysis::memset_total(report.activity);
    if (total.time.count > 0) {
        std::vector<Cell> cells;
        add_times(cells, total.time);
        cells.emplace_back(total.bytes);
        table.add_row(std::move(cells));
    }
    return table;
}

DataTable api_table(const ActivityReport& report) {
    DataTable table;
    table.key = "api";
    table.title = "API calls by name";
    table.columns = {{"name", "call", Unit::kText}};
    for (Column& column : time_columns()) table.columns.push_back(std::move(column));
    table.columns.push_back({"failed", "failed", Unit::kCount, true, true});
    for (const analysis::ApiTotal& a : analysis::api_totals(report.activity)) {
        std::vector<Cell> cells = {report.activity.name(a.name)};
        add_times(cells, a.time);
        cells.emplace_back(a.failed);
        table.add_row(std::move(cells));
    }
    table.note = "a driver call within a runtime call counts in both";
    return table;
}

DataTable syncs_table(const ActivityReport& report) {
    DataTable table;
    table.key = "syncs";
    table.title = "Synchronisation";
    table.columns = {{"type", "type", Unit::kText}};
    for (Column& column : time_columns()) table.columns.push_back(std::move(column));
    for (const analysis::SyncTotal& s : analysis::sync_totals(report.activity)) {
        std::vector<Cell> cells = {analysis::sync_type_name(s.type)};
        add_times(cells, s.time);
        table.add_row(std::move(cells));
    }
    return table;
}

DataTable nvtx_table(const ActivityReport& report) {
    DataTable table;
    table.key = "nvtx";
    table.title = "NVTX ranges by name (host time)";
    table.columns = {{"name", "range", Unit::kText}};
    for (Column& column : time_columns()) table.columns.push_back(std::move(column));
    for (const analysis::RangeTotal& r : analysis::range_totals(report.activity)) {
        std::vector<Cell> cells = {report.activity.name(r.name)};
        add_times(cells, r.time);
        table.add_row(std::move(cells));
    }
    if (report.activity.open_ranges > 0) {
        table.note = fmt::format("{} ranges never ended and are left out",
                                 format_count(report.activity.open_ranges));
    }
    return table;
}

DataTable ranges_table(const ActivityReport& report) {
    DataTable table;
    table.key = "ranges";
    table.title = fmt::format("Range '{}', one row each time", report.range);
    table.columns = {
        {"instance", "instance", Unit::kCount},    {"start_ns", "start", Unit::kNs, false},
        {"duration_ns", "host time", Unit::kNs},   {"calls", "calls", Unit::kCount, false},
        {"api_ns", "in calls", Unit::kNs},         {"kernels", "kernels", Unit::kCount},
        {"compute_ns", "compute", Unit::kNs},      {"copies", "copies", Unit::kCount, false},
        {"copy_bytes", "bytes", Unit::kBytes},     {"transfer_ns", "transfer", Unit::kNs, false},
        {"overlap", "overlap", Unit::kShare},      {"idle_ns", "idle", Unit::kNs},
        {"device_start_ns", "", Unit::kNs, false}, {"device_end_ns", "", Unit::kNs, false}};
    for (std::size_t r = 0; r < report.ranges.size(); ++r) {
        const analysis::RangeWork& w = report.ranges[r];
        const bool any = w.kernels + w.copies > 0;
        table.add_row({static_cast<std::int64_t>(r), w.range.start_ns,
                       w.range.end_ns - w.range.start_ns, w.calls, w.api_ns, w.kernels,
                       w.compute_ns, w.copies, w.copy_bytes, w.transfer_ns, cell_of(w.overlap()),
                       any ? Cell(w.idle_ns) : Cell(), any ? Cell(w.device_start_ns) : Cell(),
                       any ? Cell(w.device_end_ns) : Cell()});
    }
    table.note = "work belongs to the range whose thread asked for it, by API call";
    return table;
}

}  // namespace hc::cli
