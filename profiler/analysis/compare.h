/// What became faster or slower between two runs, and whether the steps can tell.
///
/// Method: decode steps are taken as independent samples and the difference of medians (B - A)
/// gets a 95 % percentile interval from a bootstrap of kResamples resamples of either side, with a
/// fixed seed, so that the same two runs always give the same answer. "Faster" and "slower" are
/// said only where the interval excludes 0. Steps that depend on their neighbours (a machine that
/// warms up, a context that grows) make the interval narrower than it should be, and it says
/// nothing of what differs between two starts of a program: record twice to see that.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/core/records.h"
#include "profiler/analysis/metrics.h"
#include "profiler/trace/columns.h"

namespace hc::analysis {

inline constexpr std::size_t kResamples = 2000;
/// The extremes of n values hold their median with probability 1 - 2^(1-n): below six values no
/// interval of them reaches 95 %.
inline constexpr std::size_t kSamplesMin = 6;

/// What B is, seen from A.
enum class Verdict : std::uint8_t {
    kFaster,
    kSlower,
    kNone,  ///< no difference that can be told
    kOnlyA,
    kOnlyB,
};
/// "faster", "slower", "no difference that can be told", "only in A", "only in B".
[[nodiscard]] std::string_view verdict_name(Verdict verdict);

struct Bounds {
    double low = 0, high = 0;
};

/// Times of one thing in both runs, in ns.
struct TimeDifference {
    std::size_t count_a = 0, count_b = 0;  ///< values compared
    double median_a = 0, median_b = 0;     ///< 0 without values
    double difference = 0;                 ///< B - A
    std::optional<Bounds> interval;        ///< of `difference`; needs kSamplesMin values a side
    Verdict verdict = Verdict::kNone;

    /// `value` as a share of A's median; nullopt where that is not positive or a side is empty.
    [[nodiscard]] std::optional<double> relative(double value) const;
};

/// Deterministic; values in any order, none NaN. Time: one sort a side.
[[nodiscard]] TimeDifference compare_medians(std::span<const double> a, std::span<const double> b);

struct KindDifference {
    OpKind kind{};
    /// Per step, summed over layers and sequences; over the steps in which the kind occurs, since
    /// what runs at every tenth step (a drift check) would have a median of 0 over all.
    TimeDifference time;
    double mean_a = 0, mean_b = 0;  ///< ns per decode step, over all of them
};

enum class FigureUnit : std::uint8_t { kNs, kBytes, kCount, kShare };

/// A value of each run that has no samples, and so no interval.
struct FigureDifference {
    std::string_view name;   ///< as in --json
    std::string_view title;  ///< as people read it
    FigureUnit unit{};
    double a = 0, b = 0;
};

/// Something about the setting in which the runs are not alike.
struct SettingDifference {
    std::string what, a, b;
};

/// All that a comparison needs of a run, without its columns.
struct RunSummary {
    trace::Run run;
    std::string machine;
    RunMetrics metrics;
    std::vector<double> step_ns;  ///< decode steps in order
    /// By OpKind: one value for each decode step in which it occurs.
    std::array<std::vector<double>, static_cast<std::size_t>(OpKind::kCount)> kind_ns;
};
[[nodiscard]] RunSummary summarise(const trace::RunData& data);

struct Comparison {
    std::vector<SettingDifference> settings;  ///< model, origin, prompt, batch, backend, machine
    TimeDifference step;
    std::vector<KindDifference> by_kind;    ///< kinds of either run, widest difference in ns first
    std::vector<FigureDifference> figures;  ///< those that both runs have
};
[[nodiscard]] Comparison compare_runs(const RunSummary& a, const RunSummary& b);

}  // namespace hc::analysis
