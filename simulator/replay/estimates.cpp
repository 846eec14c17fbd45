#include "simulator/replay/estimates.h"

#include <cmath>

#include "engine/core/error.h"

namespace hc::sim {
namespace {

constexpr double kNormal95 = 1.96;

Estimate widen(double value, double low, double high, const Doubt& doubt) {
    return {value, std::max(0.0, low) * doubt.low(), high * doubt.high()};
}

}  // namespace

Estimate estimate_quantile(const std::vector<double>& sorted, double q, const Doubt& doubt) {
    HC_CHECK(!sorted.empty());
    const auto n = static_cast<double>(sorted.size());
    const auto at = [&](double rank) {  // rank from 1
        const double clamped = std::clamp(rank, 1.0, n);
        return sorted[static_cast<std::size_t>(clamped) - 1];
    };
    double value = at(std::ceil(q * n));
    if (q == 0.5 && sorted.size() % 2 == 0) value = (value + at(n / 2 + 1)) / 2;
    const double spread = kNormal95 * std::sqrt(n * q * (1 - q));
    return widen(value, std::min(value, at(std::floor(n * q - spread))),
                 std::max(value, at(std::ceil(n * q + spread) + 1)), doubt);
}

Estimate estimate_mean(const std::vector<double>& values, const Doubt& doubt) {
    HC_CHECK(!values.empty());
    const auto n = static_cast<double>(values.size());
    double sum = 0;
    for (const double value : values) sum += value;
    const double mean = sum / n;
    double squares = 0;
    for (const double value : values) squares += (value - mean) * (value - mean);
    const double error = n > 1 ? kNormal95 * std::sqrt(squares / (n - 1) / n) : 0;
    return widen(mean, mean - error, mean + error, doubt);
}

Estimate estimate_exact(double value, const Doubt& doubt) {
    return widen(value, value, value, doubt);
}

Estimate estimate_share(double value, const Doubt& doubt) {
    // The doubt is about times; a share of 1 - x moves by x times as much. Hiding is negative
    // where waiting (for a late worker) takes longer than the transfers.
    const double rest = std::max(0.0, 1 - value);
    return {value, 1 - rest * doubt.high() / doubt.low(), 1 - rest * doubt.low() / doubt.high()};
}

}  // namespace hc::sim
