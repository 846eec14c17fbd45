#include "gui/models/drift_model.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <tuple>

namespace hc::gui {

QString DriftSeries::title() const {
    QString text = QString("layer %1 \u00b7 head %2").arg(layer).arg(pivot);
    if (sequence != 0) text += QString(" \u00b7 sequence %1").arg(sequence);
    return text;
}

DriftModel::DriftModel(const trace::RunData& data) {
    std::map<std::tuple<std::int32_t, std::int32_t, std::int32_t>, DriftSeries> found;
    for (std::size_t i = 0; i < data.drift.size(); ++i) {
        const DriftRecord& check = data.drift[i];
        DriftSeries& series = found[{check.layer, check.pivot, check.sequence}];
        series.layer = check.layer;
        series.pivot = check.pivot;
        series.sequence = check.sequence;
        series.triggers += check.triggered ? 1 : 0;
        DriftPoint point{
            check.step, check.median, check.median, check.median, check.threshold, check.triggered,
            i};
        for (const double overlap : check.overlaps) {
            point.lowest = std::min(point.lowest, overlap);
            point.highest = std::max(point.highest, overlap);
        }
        series.points.push_back(point);
    }
    bool any = false;
    for (auto& [key, series] : found) {
        std::stable_sort(series.points.begin(), series.points.end(),
                         [](const DriftPoint& a, const DriftPoint& b) { return a.step < b.step; });
        const std::int64_t first = series.points.front().step;
        const std::int64_t last = series.points.back().step;
        first_step_ = any ? std::min(first_step_, first) : first;
        last_step_ = any ? std::max(last_step_, last) : last;
        any = true;
        for (const HeadRecord& head : data.heads) {
            const bool follows = head.layer == series.layer && head.pivot == series.pivot &&
                                 head.role == HeadRole::kSatellite;
            series.satellites += follows ? 1 : 0;
        }
        series_.push_back(std::move(series));
    }
}

std::optional<std::size_t> DriftModel::find(std::int32_t layer, std::int32_t pivot) const {
    for (std::size_t i = 0; i < series_.size(); ++i) {
        if (series_[i].layer == layer && series_[i].pivot == pivot) return i;
    }
    return std::nullopt;
}

std::optional<std::size_t> DriftModel::most_drifting() const {
    std::optional<std::size_t> best;
    double best_low = 0;
    for (std::size_t i = 0; i < series_.size(); ++i) {
        double low = 1;
        for (const DriftPoint& point : series_[i].points) low = std::min(low, point.median);
        const std::int64_t triggers = series_[i].triggers;
        const std::int64_t most = best ? series_[*best].triggers : -1;
        if (triggers > most || (triggers == most && low < best_low)) {
            best = i;
            best_low = low;
        }
    }
    return best;
}

const DriftPoint* nearest_point(const DriftSeries& series, double step) {
    const DriftPoint* best = nullptr;
    double best_distance = 0;
    for (const DriftPoint& point : series.points) {
        const double distance = std::abs(static_cast<double>(point.step) - step);
        if (best == nullptr || distance < best_distance) {
            best = &point;
            best_distance = distance;
        }
    }
    return best;
}

}  // namespace hc::gui
