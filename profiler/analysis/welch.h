/// Whether two groups of recordings differ, judged by the spread between recordings.
///
/// One number a recording (its median step, say). Welch's unequal-variance t test of the
/// difference of means (B. L. Welch, Biometrika 34, 1947): statistic
/// t = (mean B - mean A) / sqrt(sA^2 / nA + sB^2 / nB), with the Welch-Satterthwaite degrees of
/// freedom. It assumes that a recording's number is roughly normal around its program's mean; a
/// median of many steps is, but for what moves a whole recording (clocks, neighbours), which is
/// just what the spread between recordings measures. Record A and B in turn, not one after the
/// other, or a drifting machine becomes a difference of programs.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <vector>

namespace hc::analysis {

/// From this many recordings a side on there is a verdict. Two give one degree of freedom a side,
/// and an interval too wide to say anything.
inline constexpr std::size_t kRecordingsMin = 3;
inline constexpr double kSignificance = 0.05;

struct WelchResult {
    double difference = 0;     ///< mean B - mean A
    double low = 0, high = 0;  ///< 95 % interval of it
    double degrees_of_freedom = 0;
    double p = 1;  ///< two-sided
};
/// nullopt with fewer than kRecordingsMin values on a side. Without any spread on both sides p is
/// 1 for equal means and 0 for unequal ones. Deterministic; no NaN among the values.
[[nodiscard]] std::optional<WelchResult> welch_test(std::span<const double> a,
                                                    std::span<const double> b);

/// Holm's step-down correction for asking several questions at once (S. Holm, Scand. J. Statist.
/// 6, 1979): adjusted p values in the order of `p`.
[[nodiscard]] std::vector<double> holm_adjusted(std::span<const double> p);

/// P(|T| > |t|) for Student's t; the quantile is its inverse. Accurate to 1e-10 for degrees of
/// freedom from 1 to 1e6.
[[nodiscard]] double student_two_sided(double t, double degrees_of_freedom);
/// The t with student_two_sided(t) = p, for p in (0, 1).
[[nodiscard]] double student_quantile(double p, double degrees_of_freedom);

}  // namespace hc::analysis
