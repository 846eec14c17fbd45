/// The times of a new run without its operations: the decode thread and the fetch worker walked
/// once, in order. Gives the step times of build_timeline() (a test holds both together) in a
/// hundredth of the time, because two streams of which one only waits for the other need no heap.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "simulator/replay/figure_decisions.h"
#include "simulator/replay/timeline.h"

namespace hc::sim {

/// Where in a step an operation stands, by kind, layer and occurrence. Steps of one pattern share
/// one entry.
class StepPatterns {
public:
    explicit StepPatterns(const SourceRun& source);
    /// Index into the step's operations; -1: there is none.
    [[nodiscard]] std::int64_t find(std::size_t step, OpKind kind, std::int32_t layer,
                                    std::int32_t occurrence) const;

private:
    struct Place {
        std::uint64_t key = 0;
        std::int32_t index = 0;
    };
    std::vector<std::vector<Place>> patterns_;  // sorted by key
    std::vector<std::int32_t> pattern_of_;      // [step]
};

struct TimelineFigures {
    std::vector<double> step_ns;   ///< of each decode step
    std::int64_t transfer_ns = 0;  ///< length of all transfers together
    std::int64_t exposed_ns = 0;
    std::int64_t overlap_ns = 0;  ///< transfers beside computation
    double beside_ns = 0;         ///< computation that had a transfer beside it
    double beside_alone_ns = 0;   ///< the same without the transfers
    std::int64_t fetched_rows = 0;
    std::int64_t fetched_bytes = 0;
    std::int64_t largest_fetch_bytes = 0;
    double uncertainty = 0;  ///< as Timeline::uncertainty
    std::vector<std::string> notes;
};

/// `input.decisions` is not read; `decisions` null: FullKV. Throws as build_timeline().
[[nodiscard]] TimelineFigures figure_timeline(const TimelineInput& input,
                                              const FigureDecisions* decisions,
                                              const StepPatterns& patterns);

}  // namespace hc::sim
