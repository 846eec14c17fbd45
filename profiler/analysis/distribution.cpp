#include <algorithm>
#include <cmath>
#include <numeric>

#include "engine/core/error.h"
#include "profiler/analysis/metrics.h"

namespace hc::analysis {
namespace {

/// Nearest rank: the smallest value that at least `percent` of all values do not exceed.
double percentile(const std::vector<double>& sorted, std::size_t percent) {
    const std::size_t rank = (percent * sorted.size() + 99) / 100;
    return sorted[rank == 0 ? 0 : rank - 1];
}

}  // namespace

Distribution distribution(std::vector<double> values) {
    Distribution d;
    if (values.empty()) return d;
    for (const double v : values) HC_CHECK(!std::isnan(v));  // would leave the sort undefined
    std::sort(values.begin(), values.end());
    const std::size_t n = values.size();
    d.count = static_cast<std::int64_t>(n);
    d.sum = std::accumulate(values.begin(), values.end(), 0.0);
    d.mean = d.sum / static_cast<double>(n);
    d.median = n % 2 == 1 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
    d.p95 = percentile(values, 95);
    d.p99 = percentile(values, 99);
    d.min = values.front();
    d.max = values.back();
    return d;
}

}  // namespace hc::analysis
