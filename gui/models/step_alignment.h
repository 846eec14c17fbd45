/// Which time of one run corresponds to which of another: the same step, the same share of it.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "gui/models/time_mapping.h"
#include "profiler/trace/columns.h"

namespace hc::gui {

class StepAlignment {
public:
    StepAlignment() = default;
    StepAlignment(const trace::Steps& a, const trace::Steps& b);

    /// Steps that both runs have.
    [[nodiscard]] std::size_t num_common() const { return times_a_.size() / 2; }
    /// Between steps the time runs on evenly; before the first and after the last one as it does
    /// in the other run. Without common steps: the same time after the start.
    [[nodiscard]] double to_b(double time_ns) const { return map(times_a_, times_b_, time_ns); }
    [[nodiscard]] double to_a(double time_ns) const { return map(times_b_, times_a_, time_ns); }
    [[nodiscard]] TimeRange to_b(const TimeRange& range) const {
        return {to_b(range.start_ns), to_b(range.end_ns)};
    }
    [[nodiscard]] TimeRange to_a(const TimeRange& range) const {
        return {to_a(range.start_ns), to_a(range.end_ns)};
    }

private:
    static double map(const std::vector<double>& from, const std::vector<double>& to, double time);
    // Start and end of every common step, ascending in both.
    std::vector<double> times_a_, times_b_;
};

}  // namespace hc::gui
