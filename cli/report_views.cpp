#include "cli/report_views.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "cli/format.h"

namespace hc::cli {
namespace {

constexpr std::size_t kLanesMax = 12;

/// The positions of the median and of the largest value; one where they are the same.
std::vector<std::size_t> median_and_longest(const std::vector<std::int64_t>& values) {
    if (values.empty()) return {};
    std::vector<std::size_t> order(values.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::stable_sort(order.begin(), order.end(),
                     [&](std::size_t a, std::size_t b) { return values[a] < values[b]; });
    const std::size_t median = order[(order.size() - 1) / 2];
    if (order.back() == median) return {median};
    return {median, order.back()};
}

constexpr std::uint8_t kCompute = 0;
constexpr std::uint8_t kTransfer = 1;
constexpr std::uint8_t kMemset = 2;

Strip device_strip(const ActivityReport& report, std::int64_t start_ns, std::int64_t end_ns) {
    Strip strip;
    strip.start_ns = start_ns;
    strip.end_ns = end_ns;
    strip.css_classes = {"c-compute", "c-transfer", "c-other"};
    strip.class_names = {"kernels", "copies", "memsets"};
    const analysis::Activity& activity = report.activity;
    std::vector<StripLane> lanes(activity.streams.size());
    std::vector<double> busy(lanes.size());
    const auto is_inside = [&](const auto& row) {
        return row.end_ns > start_ns && row.start_ns < end_ns;
    };
    const auto add = [&](const auto& row, std::uint8_t css_class, std::uint32_t label) {
        const auto stream = static_cast<std::size_t>(row.stream);
        lanes[stream].boxes.push_back({row.start_ns, row.end_ns, label, css_class});
        busy[stream] += static_cast<double>(row.end_ns - row.start_ns);
    };
    // Names only where boxes are drawn one by one.
    std::size_t inside = 0;
    for (const analysis::Kernel& k : activity.kernels) inside += is_inside(k) ? 1U : 0U;
    const bool named = inside < 1000;
    const std::uint32_t nameless = strip.label("");
    for (const analysis::Kernel& k : activity.kernels) {
        if (!is_inside(k)) continue;
        const bool moves = activity.streams[static_cast<std::size_t>(k.stream)].fetches;
        add(k, moves ? kTransfer : kCompute, named ? strip.label(activity.name(k.name)) : nameless);
    }
    for (const analysis::Copy& c : activity.copies) {
        if (!is_inside(c)) continue;
        add(c, kTransfer, named ? strip.label(analysis::copy_kind_name(c.kind)) : nameless);
    }
    for (const analysis::Memset& m : activity.memsets) {
        if (is_inside(m)) add(m, kMemset, named ? strip.label("memset") : nameless);
    }
    std::vector<std::size_t> order;
    for (std::size_t s = 0; s < lanes.size(); ++s) {
        if (!lanes[s].boxes.empty()) order.push_back(s);
        const analysis::ActivityStream& stream = activity.streams[s];
        lanes[s].label =
            !stream.name.empty()
                ? stream.name
                : fmt::format("{}stream {}",
                              report.devices.size() > 1 ? fmt::format("gpu {} ", stream.device)
                                                        : std::string(),
                              stream.stream_id);
    }
    if (order.size() > kLanesMax) {  // the busiest, in their own order
        std::stable_sort(order.begin(), order.end(),
                         [&](std::size_t a, std::size_t b) { return busy[a] > busy[b]; });
        strip.caption = fmt::format(" The {} busiest of {} streams.", kLanesMax, order.size());
        order.resize(kLanesMax);
        std::sort(order.begin(), order.end());
    }
    for (const std::size_t s : order) strip.lanes.push_back(std::move(lanes[s]));
    return strip;
}

std::string step_word(std::size_t position, std::size_t count) {
    if (count == 1) return "The only";
    return position == 0 ? "A median" : "The slowest";
}

}  // namespace

DurationSeries step_durations(const RunReport& run) {
    DurationSeries series;
    series.what = "decode step";
    std::int64_t triggers = 0;
    for (const analysis::StepRow& row : run.steps) {
        if (row.phase != Phase::kDecode) continue;
        series.duration_ns.push_back(row.duration_ns());
        series.marks.push_back(row.triggers);
        triggers += row.triggers;
    }
    if (triggers == 0) series.marks.clear();
    return series;
}

DurationSeries range_durations(const ActivityReport& report) {
    DurationSeries series;
    series.what = fmt::format("'{}' range", report.range);
    for (const analysis::RangeWork& w : report.ranges) {
        series.duration_ns.push_back(w.range.end_ns - w.range.start_ns);
    }
    return series;
}

StackedSeries step_kinds(const RunReport& run) {
    constexpr auto kKinds = static_cast<std::size_t>(OpKind::kCount);
    constexpr std::size_t kShown = 8;
    StackedSeries series;
    series.what = "decode step";
    std::array<double, kKinds> total{};
    for (const analysis::StepRow& row : run.steps) {
        if (row.phase != Phase::kDecode) continue;
        for (std::size_t k = 0; k < kKinds; ++k) total[k] += static_cast<double>(row.kind_ns[k]);
    }
    std::vector<std::size_t> order;
    for (std::size_t k = 0; k < kKinds; ++k) {
        if (total[k] > 0) order.push_back(k);
    }
    std::stable_sort(order.begin(), order.end(),
                     [&](std::size_t a, std::size_t b) { return total[a] > total[b]; });
    const bool rest = order.size() > kShown + 1;
    const std::size_t shown = rest ? kShown : order.size();
    for (std::size_t i = 0; i < shown; ++i) {
        const auto kind = static_cast<OpKind>(order[i]);
        series.kinds.emplace_back(op_kind_name(kind));
        series.css_classes.push_back(op_class(kind));
    }
    if (rest) {
        series.kinds.emplace_back("others");
        series.css_classes.emplace_back("c-other");
    }
    for (const analysis::StepRow& row : run.steps) {
        if (row.phase != Phase::kDecode) continue;
        std::vector<double> values;
        for (std::size_t i = 0; i < shown; ++i) {
            values.push_back(static_cast<double>(row.kind_ns[order[i]]));
        }
        if (rest) {
            double others = 0;
            for (std::size_t i = shown; i < order.size(); ++i) {
                others += static_cast<double>(row.kind_ns[order[i]]);
            }
            values.push_back(others);
        }
        series.kind_ns.push_back(std::move(values));
    }
    return series;
}

std::vector<Strip> step_strips(const RunReport& run, const ReportData& report) {
    std::vector<const analysis::StepRow*> steps;
    std::vector<std::int64_t> durations;
    for (const analysis::StepRow& row : run.steps) {
        if (row.phase != Phase::kDecode) continue;
        steps.push_back(&row);
        durations.push_back(row.duration_ns());
    }
    std::vector<Strip> strips;
    const trace::Ops& ops = run.data.ops;
    const std::vector<std::size_t> chosen = median_and_longest(durations);
    for (std::size_t c = 0; c < chosen.size(); ++c) {
        const analysis::StepRow& step = *steps[chosen[c]];
        Strip strip;
        strip.start_ns = step.start_ns;
        strip.end_ns = step.end_ns;
        strip.title = fmt::format("{} decode step: step {}, {}", step_word(c, chosen.size()),
                                  step.step, format_ns(static_cast<double>(step.duration_ns())));
        strip.caption = "Streams over time.";
        if (step.triggers > 0) strip.caption += fmt::format(" {} triggers.", step.triggers);
        for (std::size_t k = 0; k < static_cast<std::size_t>(OpKind::kCount); ++k) {
            strip.css_classes.push_back(op_class(static_cast<OpKind>(k)));
            strip.class_names.emplace_back(op_kind_name(static_cast<OpKind>(k)));
        }
        std::vector<std::int32_t> keys;
        for (std::size_t i = 0; i < ops.size(); ++i) {
            if (ops.end_ns[i] <= step.start_ns || ops.start_ns[i] >= step.end_ns ||
                ops.kind[i] >= OpKind::kCount) {
                continue;
            }
            auto at = std::find(keys.begin(), keys.end(), ops.stream[i]);
            if (at == keys.end()) {
                if (keys.size() == kLanesMax) continue;
                keys.push_back(ops.stream[i]);
                at = keys.end() - 1;
                const auto stream =
                    std::find_if(report.streams.begin(), report.streams.end(),
                                 [&](const trace::Stream& s) { return s.key == ops.stream[i]; });
                std::string name;
                if (stream != report.streams.end()) {
                    name = stream->name.empty() ? stream->role : stream->name;
                }
                if (name.empty() && run.metrics.run.backend == "cpu") {
                    if (ops.stream[i] == kDecodeStream) name = "decode";
                    if (ops.stream[i] == kFetchStream) name = "fetch";
                }
                if (name.empty()) name = fmt::format("stream {}", ops.stream[i]);
                strip.lanes.push_back({std::move(name), {}});
            }
            std::string label(op_kind_name(ops.kind[i]));
            if (ops.layer[i] >= 0) label += fmt::format(" layer {}", ops.layer[i]);
            strip.lanes[static_cast<std::size_t>(at - keys.begin())].boxes.push_back(
                {ops.start_ns[i], ops.end_ns[i], strip.label(std::move(label)),
                 static_cast<std::uint8_t>(ops.kind[i])});
        }
        strips.push_back(std::move(strip));
    }
    return strips;
}

std::vector<Strip> range_strips(const ActivityReport& report) {
    std::vector<std::int64_t> durations;
    std::vector<std::size_t> with_work;
    for (std::size_t r = 0; r < report.ranges.size(); ++r) {
        const analysis::RangeWork& w = report.ranges[r];
        if (w.kernels + w.copies == 0) continue;
        durations.push_back(w.range.end_ns - w.range.start_ns);
        with_work.push_back(r);
    }
    std::vector<Strip> strips;
    const std::vector<std::size_t> chosen = median_and_longest(durations);
    for (std::size_t c = 0; c < chosen.size(); ++c) {
        const std::size_t r = with_work[chosen[c]];
        const analysis::RangeWork& w = report.ranges[r];
        Strip strip = device_strip(report, w.device_start_ns, w.device_end_ns);
        strip.title =
            fmt::format("{} '{}': number {}, {} on the host", step_word(c, chosen.size()),
                        report.range, r, format_ns(static_cast<double>(durations[chosen[c]])));
        strip.caption =
            "From the first to the last piece of its work; what others had running "
            "then is shown as well." +
            strip.caption;
        strips.push_back(std::move(strip));
    }
    return strips;
}

Strip whole_strip(const ActivityReport& report) {
    std::int64_t start = 0;
    std::int64_t end = 0;
    for (std::size_t d = 0; d < report.devices.size(); ++d) {
        const analysis::DeviceTime& time = report.devices[d];
        start = d == 0 ? time.start_ns : std::min(start, time.start_ns);
        end = d == 0 ? time.end_ns : std::max(end, time.end_ns);
    }
    Strip strip = device_strip(report, start, end);
    strip.title = "The whole trace";
    strip.caption = "Streams over time." + strip.caption;
    return strip;
}

}  // namespace hc::cli
