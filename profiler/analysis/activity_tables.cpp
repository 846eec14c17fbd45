#include "profiler/analysis/activity_tables.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <tuple>

#include "profiler/analysis/sums.h"

namespace hc::analysis {
namespace {

/// Names come as small indices; kNoName takes the group before them.
std::uint32_t group_of(NameIndex name) {
    return static_cast<std::uint32_t>(name + 1);
}
NameIndex name_of(std::size_t group) {
    return static_cast<NameIndex>(group) - 1;
}

template <typename Total>
void sort_by_total(std::vector<Total>& totals) {
    std::stable_sort(totals.begin(), totals.end(), [](const Total& a, const Total& b) {
        return a.time.total_ns > b.time.total_ns;
    });
}

template <typename Row>
GroupedDurations by_name(const std::vector<Row>& rows) {
    GroupedDurations durations;
    durations.reserve(rows.size());
    for (const Row& row : rows) durations.add(group_of(row.name), row.end_ns - row.start_ns);
    return durations;
}

/// The class that a copy of so many bytes lies in: the power of 4 (from 1 KiB) not below it.
std::int64_t size_class(std::int64_t bytes) {
    if (bytes <= 0) return 0;
    std::int64_t limit = 1024;
    while (limit < bytes && limit < (std::int64_t{1} << 60)) limit *= 4;
    return limit;
}

}  // namespace

std::vector<KernelTotal> kernel_totals(const Activity& activity) {
    const std::vector<GroupTimes> times = by_name(activity.kernels).times();
    double all = 0;
    for (const GroupTimes& t : times) all += static_cast<double>(t.total_ns);
    std::vector<KernelTotal> totals;
    for (std::size_t g = 0; g < times.size(); ++g) {
        if (times[g].count == 0) continue;
        const double share = all > 0 ? static_cast<double>(times[g].total_ns) / all : 0;
        totals.push_back({name_of(g), times[g], share});
    }
    sort_by_total(totals);
    return totals;
}

std::vector<CopyTotal> copy_totals(const Activity& activity) {
    using Key = std::tuple<std::int16_t, std::int8_t, std::int8_t>;
    std::map<Key, std::uint32_t> groups;
    GroupedDurations durations;
    GroupedDurations sizes;  // the same selection serves bytes
    durations.reserve(activity.copies.size());
    sizes.reserve(activity.copies.size());
    std::vector<std::int64_t> bytes;
    for (const Copy& c : activity.copies) {
        const Key key{c.kind, c.source_memory, c.target_memory};
        const auto [at, is_new] = groups.try_emplace(key, static_cast<std::uint32_t>(bytes.size()));
        if (is_new) bytes.push_back(0);
        durations.add(at->second, c.end_ns - c.start_ns);
        sizes.add(at->second, c.bytes);
        add_wrapping(bytes[at->second], c.bytes);
    }
    const std::vector<GroupTimes> times = durations.times();
    const std::vector<GroupTimes> amounts = sizes.times();
    std::vector<CopyTotal> totals;
    for (const auto& [key, group] : groups) {
        CopyTotal total;
        std::tie(total.kind, total.source_memory, total.target_memory) = key;
        total.time = times[group];
        total.bytes = bytes[group];
        total.median_bytes = static_cast<std::int64_t>(amounts[group].median_ns);
        if (total.time.total_ns > 0) {
            total.gb_per_s =
                static_cast<double>(total.bytes) / static_cast<double>(total.time.total_ns);
        }
        totals.push_back(total);
    }
    sort_by_total(totals);
    return totals;
}

std::vector<CopySizeClass> copy_sizes(const Activity& activity) {
    std::map<std::pair<std::int32_t, std::int64_t>, CopySizeClass> classes;
    for (const Copy& c : activity.copies) {
        const std::int64_t limit = size_class(c.bytes);
        CopySizeClass& entry = classes[{c.kind, limit}];
        entry.kind = c.kind;
        entry.up_to_bytes = limit;
        entry.count += 1;
        add_wrapping(entry.bytes, c.bytes);
        add_wrapping(entry.total_ns, c.end_ns - c.start_ns);
    }
    std::vector<CopySizeClass> result;
    for (const auto& [key, entry] : classes) result.push_back(entry);
    return result;
}

std::string size_class_name(std::int64_t up_to_bytes) {
    if (up_to_bytes == 0) return "0 B";
    constexpr const char* kUnits[] = {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    std::int64_t size = up_to_bytes / 1024;
    std::size_t unit = 0;
    while (size >= 1024 && unit + 1 < std::size(kUnits)) {
        size /= 1024;
        ++unit;
    }
    return fmt::format("<= {} {}", size, kUnits[unit]);
}

MemsetTotal memset_total(const Activity& activity) {
    GroupedDurations durations;
    MemsetTotal total;
    for (const Memset& m : activity.memsets) {
        durations.add(0, m.end_ns - m.start_ns);
        add_wrapping(total.bytes, m.bytes);
    }
    const std::vector<GroupTimes> times = durations.times();
    if (!times.empty()) total.time = times.front();
    return total;
}

std::vector<ApiTotal> api_totals(const Activity& activity) {
    const std::vector<GroupTimes> times = by_name(activity.calls).times();
    std::vector<std::int64_t> failed(times.size());
    for (const ApiCall& call : activity.calls) {
        if (call.failed) ++failed[group_of(call.name)];
    }
    std::vector<ApiTotal> totals;
    for (std::size_t g = 0; g < times.size(); ++g) {
        if (times[g].count > 0) totals.push_back({name_of(g), times[g], failed[g]});
    }
    sort_by_total(totals);
    return totals;
}

std::vector<SyncTotal> sync_totals(const Activity& activity) {
    GroupedDurations durations;
    for (const Sync& s : activity.syncs) {
        durations.add(static_cast<std::uint32_t>(s.type), s.end_ns - s.start_ns);
    }
    std::vector<SyncTotal> totals;
    const std::vector<GroupTimes> times = durations.times();
    for (std::size_t type = 0; type < times.size(); ++type) {
        if (times[type].count > 0) totals.push_back({static_cast<SyncType>(type), times[type]});
    }
    sort_by_total(totals);
    return totals;
}

std::string sync_type_name(SyncType type) {
    switch (type) {
        case SyncType::kEvent:
            return "host waits for an event";
        case SyncType::kStreamWaitEvent:
            return "stream waits for an event";
        case SyncType::kStream:
            return "host waits for a stream";
        case SyncType::kContext:
            return "host waits for the device";
        case SyncType::kUnknown:
            break;
    }
    return "unknown";
}

std::vector<RangeTotal> range_totals(const Activity& activity) {
    std::vector<RangeTotal> totals;
    const std::vector<GroupTimes> times = by_name(activity.ranges).times();
    for (std::size_t g = 0; g < times.size(); ++g) {
        if (times[g].count > 0) totals.push_back({name_of(g), times[g]});
    }
    sort_by_total(totals);
    return totals;
}

}  // namespace hc::analysis
