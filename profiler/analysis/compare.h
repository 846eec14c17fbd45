/// What became faster or slower between two programs, each recorded once or several times.
///
/// Two starts of one program differ by more than the steps of one recording can tell: clocks,
/// neighbours and memory layout move a whole recording. So what is said hangs on how many there
/// are:
///  - one recording a side: the difference of medians (B - A) gets a 95 % percentile interval from
///    a bootstrap of kResamples resamples of either side's steps, with a fixed seed. It covers
///    these two recordings only. An interval that excludes 0 is called "differs"; nothing is ever
///    called faster or slower.
///  - at least kRecordingsMin a side: each recording counts as one value, its median, and Welch's t
///    test (welch.h) judges the difference of their means. "Faster" and "slower" mean p <= 0.05,
///    corrected (Holm) over the rows of a table; the time of a step stands alone and is not.
///  - anything between: the difference, and no interval.
/// Deterministic: the same recordings always give the same answer.
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
#include "profiler/analysis/bootstrap.h"
#include "profiler/analysis/metrics.h"
#include "profiler/trace/columns.h"

namespace hc::analysis {

/// The extremes of n values hold their median with probability 1 - 2^(1-n): below six values no
/// interval of them reaches 95 %.
inline constexpr std::size_t kSamplesMin = 6;

/// What B is, seen from A.
enum class Verdict : std::uint8_t {
    kFaster,
    kSlower,
    kNone,     ///< no difference that can be told
    kDiffers,  ///< within these two recordings; says nothing of the programs
    kOnlyA,
    kOnlyB,
};
/// "faster", "slower", "no difference that can be told", "differs within these two recordings",
/// "only in A", "only in B".
[[nodiscard]] std::string_view verdict_name(Verdict verdict);

/// What an interval covers.
enum class Basis : std::uint8_t {
    kNone,     ///< there is none
    kWithin,   ///< the steps of one recording a side
    kBetween,  ///< the spread between recordings
};

/// Times of one thing on both sides, in ns.
struct TimeDifference {
    std::size_t recordings_a = 0, recordings_b = 0;  ///< those that have a value
    std::size_t count_a = 0, count_b = 0;            ///< values in all of them
    double median_a = 0, median_b = 0;  ///< mean of the recordings' medians; 0 without values
    double difference = 0;              ///< B - A
    std::optional<Bounds> interval;     ///< 95 %, of `difference`
    Basis basis = Basis::kNone;
    std::optional<double> p;           ///< between recordings
    std::optional<double> p_adjusted;  ///< over the rows of its table
    Verdict verdict = Verdict::kNone;

    /// `value` as a share of A's median; nullopt where that is not positive or a side is empty.
    [[nodiscard]] std::optional<double> relative(double value) const;
};

/// One recording a side. Values in any order, none NaN; an interval needs kSamplesMin a side.
/// Time: one sort a side.
[[nodiscard]] TimeDifference compare_medians(std::span<const double> a, std::span<const double> b);
/// Several recordings, of each its median. The counts are the recordings'.
[[nodiscard]] TimeDifference compare_recordings(std::span<const double> medians_a,
                                                std::span<const double> medians_b);
/// Several recordings with all their values; recordings without values do not count.
[[nodiscard]] TimeDifference compare_recordings(std::span<const std::span<const double>> a,
                                                std::span<const std::span<const double>> b);
/// Corrects the rows of one table and sets their verdicts anew.
void correct_for_many(std::span<TimeDifference* const> rows);

struct KindDifference {
    OpKind kind{};
    /// Per step, summed over layers and sequences; over the steps in which the kind occurs, since
    /// what runs at every tenth step (a drift check) would have a median of 0 over all.
    TimeDifference time;
    double mean_a = 0, mean_b = 0;  ///< ns per decode step, over all of them, mean of recordings
};

enum class FigureUnit : std::uint8_t { kNs, kBytes, kCount, kShare };

/// A value that each recording has once.
struct FigureDifference {
    std::string_view name;   ///< as in --json
    std::string_view title;  ///< as people read it
    FigureUnit unit{};
    double a = 0, b = 0;             ///< mean over recordings
    std::optional<Bounds> interval;  ///< of b - a, between recordings
    std::optional<double> p_adjusted;
    bool told = false;  ///< p_adjusted <= 0.05
};
/// From the values of the recordings. Its p is not corrected yet.
[[nodiscard]] FigureDifference compare_figure(std::string_view name, std::string_view title,
                                              FigureUnit unit, std::span<const double> a,
                                              std::span<const double> b);
/// Corrects the figures of one table and says which differ.
void correct_for_many(std::vector<FigureDifference>& figures);

/// Something about the setting in which a recording is not like the first of A.
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
    std::vector<KindDifference> by_kind;    ///< kinds of either side, widest difference in ns first
    std::vector<FigureDifference> figures;  ///< those that every recording has
};
/// One summary a recording, at least one a side.
[[nodiscard]] Comparison compare_runs(std::span<const RunSummary> a, std::span<const RunSummary> b);
[[nodiscard]] inline Comparison compare_runs(const RunSummary& a, const RunSummary& b) {
    return compare_runs(std::span(&a, 1), std::span(&b, 1));
}

}  // namespace hc::analysis
