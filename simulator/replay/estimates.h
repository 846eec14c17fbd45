/// Figures with intervals.
#pragma once

#include <algorithm>
#include <vector>

#include "simulator/replay/simulator.h"

namespace hc::sim {

/// What widens every interval beside the spread of the steps: shares of the value.
struct Doubt {
    double model = 0;    ///< residuals of the cost models where they were used
    double machine = 0;  ///< another machine, or a longer prompt: assumed, and said so
    [[nodiscard]] double low() const { return (1 - std::min(0.99, model)) * (1 - machine); }
    [[nodiscard]] double high() const { return (1 + model) * (1 + machine); }
};

/// Quantile of `sorted` by the nearest-rank rule (the median: the mean of the middle two) with a
/// distribution-free 95 % interval from order statistics: the ranks n q -+ 1.96 sqrt(n q (1-q)).
/// With too few samples the interval ends at the smallest or largest one. `sorted` is not empty.
[[nodiscard]] Estimate estimate_quantile(const std::vector<double>& sorted, double q,
                                         const Doubt& doubt);
/// The mean, with 1.96 standard errors.
[[nodiscard]] Estimate estimate_mean(const std::vector<double>& values, const Doubt& doubt);
[[nodiscard]] Estimate estimate_exact(double value, const Doubt& doubt);
/// A share of at most 1, whose rest is a ratio of times.
[[nodiscard]] Estimate estimate_share(double value, const Doubt& doubt);

}  // namespace hc::sim
