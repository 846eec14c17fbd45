#include "profiler/analysis/compare_activity.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <set>

#include "profiler/analysis/activity_tables.h"
#include "profiler/analysis/range_work.h"
#include "profiler/analysis/sums.h"

namespace hc::analysis {
namespace {

using Table = std::map<std::string, TimesSummary> ActivitySummary::*;

TimesSummary summary_of(const GroupTimes& time) {
    return {time.count, time.total_ns, time.median_ns, {}};
}

/// Names can be alike where the trace has them twice: their times belong together.
void add_to(std::map<std::string, TimesSummary>& table, const std::string& name,
            const GroupTimes& time) {
    const auto [at, is_new] = table.try_emplace(name, summary_of(time));
    if (is_new) return;
    at->second.count += time.count;
    add_wrapping(at->second.total_ns, time.total_ns);
}

void add_samples(const Activity& activity, ActivitySummary& summary) {
    std::vector<TimesSummary*> by_name(activity.names.size());
    const auto fill = [&](std::map<std::string, TimesSummary>& table, const auto& rows) {
        for (std::size_t n = 0; n < by_name.size(); ++n) {
            const auto found = table.find(activity.names[n]);
            by_name[n] = found == table.end() ? nullptr : &found->second;
        }
        for (const auto& row : rows) {
            if (row.name < 0) continue;
            TimesSummary* times = by_name[static_cast<std::size_t>(row.name)];
            if (times == nullptr) continue;
            times->samples.push_back(static_cast<double>(row.end_ns - row.start_ns));
        }
    };
    fill(summary.kernels, activity.kernels);
    fill(summary.calls, activity.calls);
    for (const Copy& copy : activity.copies) {
        summary.copies[copy_kind_name(copy.kind)].samples.push_back(
            static_cast<double>(copy.end_ns - copy.start_ns));
    }
}

/// What one name is worth in one recording; nullptr where it does not occur.
const TimesSummary* find(const ActivitySummary& recording, Table table, const std::string& name) {
    const auto found = (recording.*table).find(name);
    return found == (recording.*table).end() ? nullptr : &found->second;
}

TimeDifference compare_times(const std::vector<const TimesSummary*>& a,
                             const std::vector<const TimesSummary*>& b, bool single) {
    if (single) {  // one recording a side: their samples
        const auto samples = [](const std::vector<const TimesSummary*>& side) {
            return side.empty() ? std::span<const double>() : std::span(side.front()->samples);
        };
        return compare_medians(samples(a), samples(b));
    }
    const auto medians = [](const std::vector<const TimesSummary*>& side) {
        std::vector<double> values;
        for (const TimesSummary* times : side) values.push_back(times->median_ns);
        return values;
    };
    return compare_recordings(medians(a), medians(b));
}

std::vector<NamedDifference> compare_table(std::span<const ActivitySummary> a,
                                           std::span<const ActivitySummary> b, Table table) {
    std::set<std::string> names;
    for (const std::span<const ActivitySummary> side : {a, b}) {
        for (const ActivitySummary& recording : side) {
            for (const auto& [name, times] : recording.*table) names.insert(name);
        }
    }
    std::vector<NamedDifference> result;
    for (const std::string& name : names) {
        NamedDifference d;
        d.name = name;
        const auto collect = [&](std::span<const ActivitySummary> side, double& count,
                                 double& total) {
            std::vector<const TimesSummary*> found;
            for (const ActivitySummary& recording : side) {
                const TimesSummary* times = find(recording, table, name);
                if (times == nullptr || times->count == 0) continue;
                found.push_back(times);
                count += static_cast<double>(times->count) / static_cast<double>(side.size());
                total += static_cast<double>(times->total_ns) / static_cast<double>(side.size());
            }
            return found;
        };
        const auto of_a = collect(a, d.count_a, d.total_a_ns);
        const auto of_b = collect(b, d.count_b, d.total_b_ns);
        d.time = compare_times(of_a, of_b, a.size() == 1 && b.size() == 1);
        result.push_back(std::move(d));
    }
    std::vector<TimeDifference*> rows;
    for (NamedDifference& d : result) rows.push_back(&d.time);
    correct_for_many(rows);
    std::stable_sort(
        result.begin(), result.end(), [](const NamedDifference& x, const NamedDifference& y) {
            return std::abs(x.total_difference_ns()) > std::abs(y.total_difference_ns());
        });
    return result;
}

std::int64_t total_of(const std::map<std::string, TimesSummary>& table) {
    std::int64_t total = 0;
    for (const auto& [name, times] : table) add_wrapping(total, times.total_ns);
    return total;
}

std::int64_t count_of(const std::map<std::string, TimesSummary>& table) {
    std::int64_t count = 0;
    for (const auto& [name, times] : table) count += times.count;
    return count;
}

double share(std::int64_t part, std::int64_t whole) {
    return whole > 0 ? static_cast<double>(part) / static_cast<double>(whole) : 0;
}

std::vector<FigureDifference> compare_figures(std::span<const ActivitySummary> a,
                                              std::span<const ActivitySummary> b) {
    std::vector<FigureDifference> result;
    const auto add = [&](std::string_view name, std::string_view title, FigureUnit unit,
                         const std::function<double(const ActivitySummary&)>& value) {
        const auto values = [&](std::span<const ActivitySummary> side) {
            std::vector<double> all;
            for (const ActivitySummary& recording : side) all.push_back(value(recording));
            return all;
        };
        const FigureDifference f = compare_figure(name, title, unit, values(a), values(b));
        if (f.a != 0 || f.b != 0) result.push_back(f);
    };
    using S = const ActivitySummary&;
    const auto ns = [](std::int64_t value) { return static_cast<double>(value); };
    const auto idle = [](IdleCause cause) {
        return [cause](S s) {
            return static_cast<double>(s.idle_ns[static_cast<std::size_t>(cause)]);
        };
    };
    add("span_ns", "span", FigureUnit::kNs, [&](S s) { return ns(s.span_ns); });
    add("compute_ns", "compute", FigureUnit::kNs, [&](S s) { return ns(s.compute_ns); });
    add("compute_share", "compute of span", FigureUnit::kShare,
        [](S s) { return share(s.compute_ns, s.span_ns); });
    add("transfer_ns", "transfer", FigureUnit::kNs, [&](S s) { return ns(s.transfer_ns); });
    add("overlap", "overlap", FigureUnit::kShare,
        [](S s) { return share(s.both_ns, s.transfer_ns); });
    add("idle_host_ns", "idle, host-bound", FigureUnit::kNs, idle(IdleCause::kHost));
    add("idle_transfer_ns", "idle, on a transfer", FigureUnit::kNs, idle(IdleCause::kTransfer));
    add("idle_other_ns", "idle, other", FigureUnit::kNs, idle(IdleCause::kOther));
    add("kernels", "kernels", FigureUnit::kCount, [&](S s) { return ns(count_of(s.kernels)); });
    add("copy_bytes", "copied", FigureUnit::kBytes, [&](S s) { return ns(s.copy_bytes); });
    add("api_ns", "API calls", FigureUnit::kNs, [&](S s) { return ns(total_of(s.calls)); });
    correct_for_many(result);
    return result;
}

}  // namespace

ActivitySummary summarise_activity(const Activity& activity, const std::string& range,
                                   bool keep_samples) {
    ActivitySummary summary;
    for (const KernelTotal& k : kernel_totals(activity)) {
        add_to(summary.kernels, activity.name(k.name), k.time);
    }
    for (const ApiTotal& a : api_totals(activity)) {
        add_to(summary.calls, activity.name(a.name), a.time);
    }
    GroupedDurations by_kind;
    std::map<std::int16_t, std::uint32_t> kinds;
    for (const Copy& copy : activity.copies) {
        const auto group =
            kinds.try_emplace(copy.kind, static_cast<std::uint32_t>(kinds.size())).first->second;
        by_kind.add(group, copy.end_ns - copy.start_ns);
        add_wrapping(summary.copy_bytes, copy.bytes);
    }
    const std::vector<GroupTimes> times = by_kind.times();
    for (const auto& [kind, group] : kinds) {
        add_to(summary.copies, copy_kind_name(kind), times[group]);
    }
    if (keep_samples) add_samples(activity, summary);
    if (!range.empty()) {
        for (const HostRange& r : ranges_named(activity, range)) {
            summary.range_ns.push_back(static_cast<double>(r.end_ns - r.start_ns));
        }
    }
    const LaunchIndex launches(activity);
    DeviceTimeOptions options;
    options.longest_gaps = 0;
    for (const DeviceTime& d : device_times(activity, launches, options)) {
        add_wrapping(summary.span_ns, d.span_ns());
        add_wrapping(summary.compute_ns, d.compute_ns);
        add_wrapping(summary.transfer_ns, d.transfer_ns);
        add_wrapping(summary.both_ns, d.both_ns);
        for (std::size_t c = 0; c < kIdleCauses; ++c) add_wrapping(summary.idle_ns[c], d.idle_ns[c]);
    }
    for (const auto& [cause, count] : activity.lost) add_wrapping(summary.lost, count);
    return summary;
}

ActivityComparison compare_activity(std::span<const ActivitySummary> a,
                                    std::span<const ActivitySummary> b) {
    ActivityComparison comparison;
    const auto ranges = [](std::span<const ActivitySummary> side) {
        std::vector<std::span<const double>> values;
        for (const ActivitySummary& recording : side) values.emplace_back(recording.range_ns);
        return values;
    };
    comparison.range = compare_recordings(ranges(a), ranges(b));
    comparison.kernels = compare_table(a, b, &ActivitySummary::kernels);
    comparison.copies = compare_table(a, b, &ActivitySummary::copies);
    comparison.calls = compare_table(a, b, &ActivitySummary::calls);
    comparison.figures = compare_figures(a, b);
    for (const ActivitySummary& recording : a) add_wrapping(comparison.lost_a, recording.lost);
    for (const ActivitySummary& recording : b) add_wrapping(comparison.lost_b, recording.lost);
    return comparison;
}

}  // namespace hc::analysis
