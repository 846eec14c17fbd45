/// Shares proportional to weights, none above a limit (algorithm.md row 12; also row 13's cap).
#pragma once

#include <span>

namespace hc::policy {

/// The level with sum over i of min(limit, level * weights[i]) == total. Weights are positive;
/// total is at most limit * weights.size().
[[nodiscard]] double water_level(std::span<const double> weights, double limit, double total);

}  // namespace hc::policy
