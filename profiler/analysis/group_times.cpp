#include "profiler/analysis/group_times.h"

#include <algorithm>
#include <span>

#include "profiler/analysis/sums.h"

namespace hc::analysis {
namespace {

GroupTimes times_of(std::span<std::int64_t> values) {
    GroupTimes t;
    if (values.empty()) return t;
    const std::size_t n = values.size();
    t.count = static_cast<std::int64_t>(n);
    for (const std::int64_t v : values) add_wrapping(t.total_ns, v);
    const auto at = [&](std::size_t rank) {
        return values.begin() + static_cast<std::ptrdiff_t>(rank);
    };
    const std::size_t middle = n / 2;
    std::nth_element(values.begin(), at(middle), values.end());
    t.median_ns = static_cast<double>(values[middle]);
    if (n % 2 == 0) {
        const std::int64_t below = *std::max_element(values.begin(), at(middle));
        t.median_ns = (static_cast<double>(below) + t.median_ns) / 2;
    }
    t.min_ns = *std::min_element(values.begin(), at(middle + 1));
    t.max_ns = *std::max_element(at(middle), values.end());
    // Nearest rank, counted from 1; n below 2^57.
    const std::size_t rank = (95 * n + 99) / 100;
    const std::size_t p95 = std::max<std::size_t>(rank, 1) - 1;
    if (p95 > middle) std::nth_element(at(middle), at(p95), values.end());  // never below it
    t.p95_ns = values[p95];
    return t;
}

}  // namespace

std::vector<GroupTimes> GroupedDurations::times() const {
    if (groups_.empty()) return {};
    const std::uint32_t last = *std::max_element(groups_.begin(), groups_.end());
    std::vector<std::size_t> first(static_cast<std::size_t>(last) + 2);
    for (const std::uint32_t g : groups_) ++first[static_cast<std::size_t>(g) + 1];
    for (std::size_t g = 1; g < first.size(); ++g) first[g] += first[g - 1];
    std::vector<std::int64_t> ordered(durations_.size());
    std::vector<std::size_t> next(first.begin(), first.end() - 1);
    for (std::size_t i = 0; i < groups_.size(); ++i) ordered[next[groups_[i]]++] = durations_[i];
    std::vector<GroupTimes> result(static_cast<std::size_t>(last) + 1);
    for (std::size_t g = 0; g < result.size(); ++g) {
        result[g] = times_of(std::span(ordered).subspan(first[g], first[g + 1] - first[g]));
    }
    return result;
}

}  // namespace hc::analysis
