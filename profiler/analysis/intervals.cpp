#include <algorithm>

#include "profiler/analysis/metrics.h"

namespace hc::analysis {

std::vector<Interval> unite(std::vector<Interval> intervals) {
    std::erase_if(intervals, [](const Interval& i) { return i.end_ns <= i.start_ns; });
    std::sort(intervals.begin(), intervals.end(),
              [](const Interval& a, const Interval& b) { return a.start_ns < b.start_ns; });
    std::size_t last = 0;
    for (std::size_t i = 1; i < intervals.size(); ++i) {
        if (intervals[i].start_ns <= intervals[last].end_ns) {
            intervals[last].end_ns = std::max(intervals[last].end_ns, intervals[i].end_ns);
        } else {
            intervals[++last] = intervals[i];
        }
    }
    if (!intervals.empty()) intervals.resize(last + 1);
    return intervals;
}

std::int64_t measure(std::span<const Interval> disjoint) {
    std::int64_t total = 0;
    for (const Interval& i : disjoint) total += i.end_ns - i.start_ns;
    return total;
}

std::int64_t measure_intersection(std::span<const Interval> a, std::span<const Interval> b) {
    std::int64_t total = 0;
    for (std::size_t i = 0, j = 0; i < a.size() && j < b.size();) {
        const std::int64_t start = std::max(a[i].start_ns, b[j].start_ns);
        const std::int64_t end = std::min(a[i].end_ns, b[j].end_ns);
        if (start < end) total += end - start;
        if (a[i].end_ns < b[j].end_ns) {
            ++i;
        } else {
            ++j;
        }
    }
    return total;
}

}  // namespace hc::analysis
