/// The drift checks of a run, per pivot: what the drift plot shows.
#pragma once

#include <QString>
#include <cstdint>
#include <optional>
#include <vector>

#include "profiler/trace/columns.h"

namespace hc::gui {

/// One check of one pivot.
struct DriftPoint {
    std::int64_t step = 0;
    double lowest = 0;  ///< of the window's overlaps
    double highest = 0;
    double median = 0;
    double threshold = 0;
    bool triggered = false;
    std::size_t check = 0;  ///< row of data.drift
};

struct DriftSeries {
    std::int32_t layer = 0;
    std::int32_t pivot = 0;
    std::int32_t sequence = 0;
    std::int64_t triggers = 0;
    std::int64_t satellites = 0;
    std::vector<DriftPoint> points;  ///< by step
    [[nodiscard]] QString title() const;
};

class DriftModel {
public:
    DriftModel() = default;
    explicit DriftModel(const trace::RunData& data);

    /// By layer, pivot, sequence.
    [[nodiscard]] const std::vector<DriftSeries>& series() const { return series_; }
    [[nodiscard]] std::optional<std::size_t> find(std::int32_t layer, std::int32_t pivot) const;
    /// The series worth seeing first: most triggers, then the lowest median; nullopt: no checks.
    [[nodiscard]] std::optional<std::size_t> most_drifting() const;
    [[nodiscard]] std::int64_t first_step() const { return first_step_; }
    [[nodiscard]] std::int64_t last_step() const { return last_step_; }

private:
    std::vector<DriftSeries> series_;
    std::int64_t first_step_ = 0;
    std::int64_t last_step_ = 0;
};

/// The point of a series whose step is nearest; nullptr when it has none.
[[nodiscard]] const DriftPoint* nearest_point(const DriftSeries& series, double step);

}  // namespace hc::gui
