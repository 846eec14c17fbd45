/// The interval of a difference of medians from the values of two samples alone.
#pragma once

#include <cstddef>
#include <span>

namespace hc::analysis {

inline constexpr std::size_t kResamples = 2000;

struct Bounds {
    double low = 0, high = 0;
};

/// The 95 % percentile interval of median(b) - median(a) over kResamples bootstrap resamples of
/// either side, with a fixed seed: the same values always give the same interval. Both sides
/// ascend and are not empty. Time does not grow with their number.
[[nodiscard]] Bounds bootstrap_interval(std::span<const double> a, std::span<const double> b);

}  // namespace hc::analysis
