/// A robust line through measured times: floor + slope * size.
#pragma once

#include <optional>
#include <span>
#include <vector>

namespace hc::sim {

struct Sample {
    double size = 0;  ///< rows, bytes
    double time_ns = 0;
};

/// How a line came about; a reader of a prediction must know the weaker ones.
enum class FitKind : unsigned char {
    kLine,          ///< sizes differ enough for floor and slope
    kProportional,  ///< one size only, or a line that makes no sense: through the origin
    kConstant,      ///< size is unknown (0) everywhere
};

struct LinearFit {
    FitKind kind = FitKind::kLine;
    double floor_ns = 0;
    double slope_ns = 0;         ///< per unit of size
    double residual_median = 0;  ///< median of |measured / fitted - 1|
    double residual_p90 = 0;     ///< its 90th percentile
    double size_min = 0;         ///< sizes seen; outside them a prediction extrapolates
    double size_max = 0;
    std::size_t samples = 0;

    [[nodiscard]] double at(double size) const { return floor_ns + slope_ns * size; }
};

/// Theil-Sen over the medians of at most 48 groups of equal size: single slow operations do not
/// move it. Floor and slope are never negative. `samples` must not be empty.
[[nodiscard]] LinearFit fit_line(std::vector<Sample> samples);

struct PairSample {
    double rows = 0;
    double runs = 0;  ///< contiguous pieces
    double time_ns = 0;
};

/// floor + rows * per_row + runs * per_run: what scattered rows cost. Never negative.
struct PairFit {
    double floor_ns = 0;
    double row_ns = 0;
    double run_ns = 0;
    double residual_median = 0;
    [[nodiscard]] double at(double rows, double runs) const {
        return floor_ns + row_ns * rows + run_ns * runs;
    }
};

/// Least squares of relative errors, twice: the second time without the tenth of the samples that
/// the first missed by most. nullopt where rows per run hardly differ (less than 10 %) between
/// samples, so that the data cannot tell both apart.
[[nodiscard]] std::optional<PairFit> fit_pair(std::vector<PairSample> samples);

}  // namespace hc::sim
