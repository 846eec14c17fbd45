#include "simulator/cost/linear_fit.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "engine/core/error.h"

namespace hc::sim {
namespace {

constexpr std::size_t kMaxGroups = 48;
/// Sizes that differ by less than this share give no slope: noise would decide it.
constexpr double kLeastSpread = 0.05;

double quantile(std::vector<double>& values, double q) {
    const auto at = static_cast<std::size_t>(q * static_cast<double>(values.size() - 1) + 0.5);
    std::nth_element(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(at),
                     values.end());
    return values[at];
}

/// Medians of groups of neighbouring sizes; equal sizes stay together.
std::vector<Sample> group(const std::vector<Sample>& sorted) {
    std::vector<Sample> groups;
    const std::size_t target = (sorted.size() + kMaxGroups - 1) / kMaxGroups;
    std::size_t begin = 0;
    std::vector<double> times;
    while (begin < sorted.size()) {
        std::size_t end = std::min(sorted.size(), begin + target);
        while (end < sorted.size() && sorted[end].size == sorted[end - 1].size) ++end;
        times.clear();
        double size = 0;
        for (std::size_t i = begin; i < end; ++i) {
            times.push_back(sorted[i].time_ns);
            size += sorted[i].size;
        }
        groups.push_back({size / static_cast<double>(end - begin), quantile(times, 0.5)});
        begin = end;
    }
    return groups;
}

void fit_proportional(const std::vector<Sample>& groups, LinearFit& fit) {
    std::vector<double> ratios;
    for (const Sample& g : groups) {
        if (g.size > 0) ratios.push_back(g.time_ns / g.size);
    }
    fit.kind = FitKind::kProportional;
    fit.floor_ns = 0;
    fit.slope_ns = quantile(ratios, 0.5);
}

void fit_groups(const std::vector<Sample>& groups, LinearFit& fit) {
    if (fit.size_max <= 0) {
        std::vector<double> times;
        for (const Sample& g : groups) times.push_back(g.time_ns);
        fit.kind = FitKind::kConstant;
        fit.floor_ns = quantile(times, 0.5);
        return;
    }
    if (fit.size_max - fit.size_min < kLeastSpread * fit.size_max || groups.size() < 2) {
        fit_proportional(groups, fit);
        return;
    }
    std::vector<double> slopes;
    for (std::size_t i = 0; i < groups.size(); ++i) {
        for (std::size_t j = i + 1; j < groups.size(); ++j) {
            const double run = groups[j].size - groups[i].size;
            if (run > 0) slopes.push_back((groups[j].time_ns - groups[i].time_ns) / run);
        }
    }
    fit.slope_ns = std::max(0.0, quantile(slopes, 0.5));
    std::vector<double> floors;
    for (const Sample& g : groups) floors.push_back(g.time_ns - fit.slope_ns * g.size);
    fit.floor_ns = quantile(floors, 0.5);
    if (fit.floor_ns < 0) fit_proportional(groups, fit);
}

}  // namespace

LinearFit fit_line(std::vector<Sample> samples) {
    HC_CHECK(!samples.empty());
    std::sort(samples.begin(), samples.end(), [](const Sample& a, const Sample& b) {
        return a.size != b.size ? a.size < b.size : a.time_ns < b.time_ns;
    });
    LinearFit fit;
    fit.samples = samples.size();
    fit.size_min = samples.front().size;
    fit.size_max = samples.back().size;
    fit_groups(group(samples), fit);

    std::vector<double> residuals;
    residuals.reserve(samples.size());
    for (const Sample& s : samples) {
        const double fitted = fit.at(s.size);
        if (fitted > 0) residuals.push_back(std::abs(s.time_ns / fitted - 1));
    }
    if (!residuals.empty()) {
        fit.residual_median = quantile(residuals, 0.5);
        fit.residual_p90 = quantile(residuals, 0.9);
    }
    return fit;
}

namespace {

constexpr std::size_t kLeastPairs = 12;
constexpr double kLeastRunSpread = 0.10;

/// Weighted by 1 / time^2; a coefficient that comes out negative is left out and the rest solved
/// again, at most three times.
PairFit solve(const std::vector<PairSample>& samples) {
    std::array<bool, 3> used{true, true, true};
    std::array<double, 3> x{};
    for (int round = 0; round < 3; ++round) {
        double a[3][4] = {};
        for (const PairSample& s : samples) {
            const double weight = 1 / (s.time_ns * s.time_ns);
            const double row[3] = {1, s.rows, s.runs};
            for (int i = 0; i < 3; ++i) {
                for (int j = 0; j < 3; ++j) a[i][j] += weight * row[i] * row[j];
                a[i][3] += weight * row[i] * s.time_ns;
            }
        }
        for (int i = 0; i < 3; ++i) {
            if (used[static_cast<std::size_t>(i)]) continue;
            for (int j = 0; j < 4; ++j) a[i][j] = 0;
            for (auto& row : a) row[i] = 0;
            a[i][i] = 1;
        }
        for (int i = 0; i < 3; ++i) {  // Gauss-Jordan with pivoting
            int best = i;
            for (int r = i + 1; r < 3; ++r) {
                if (std::abs(a[r][i]) > std::abs(a[best][i])) best = r;
            }
            std::swap(a[i], a[best]);
            if (!(std::abs(a[i][i]) > 0)) continue;
            for (int r = 0; r < 3; ++r) {
                if (r == i) continue;
                const double factor = a[r][i] / a[i][i];
                for (int c = i; c < 4; ++c) a[r][c] -= factor * a[i][c];
            }
        }
        bool negative = false;
        for (int i = 0; i < 3; ++i) {
            const double value = std::abs(a[i][i]) > 0 ? a[i][3] / a[i][i] : 0;
            x[static_cast<std::size_t>(i)] = std::isfinite(value) ? value : 0;
            if (x[static_cast<std::size_t>(i)] < 0) {
                used[static_cast<std::size_t>(i)] = false;
                x[static_cast<std::size_t>(i)] = 0;
                negative = true;
            }
        }
        if (!negative) break;
    }
    return {x[0], x[1], x[2], 0};
}

double miss(const PairFit& fit, const PairSample& s) {
    return std::abs(s.time_ns / std::max(1.0, fit.at(s.rows, s.runs)) - 1);
}

}  // namespace

std::optional<PairFit> fit_pair(std::vector<PairSample> samples) {
    std::erase_if(samples, [](const PairSample& s) {
        return !(s.rows > 0) || !(s.runs > 0) || !(s.time_ns > 0);
    });
    if (samples.size() < kLeastPairs) return std::nullopt;
    std::vector<double> lengths;
    for (const PairSample& s : samples) lengths.push_back(s.rows / s.runs);
    const double low = quantile(lengths, 0.1);
    const double high = quantile(lengths, 0.9);
    if (high - low < kLeastRunSpread * high) return std::nullopt;
    const PairFit first = solve(samples);
    std::sort(samples.begin(), samples.end(), [&](const PairSample& a, const PairSample& b) {
        return miss(first, a) < miss(first, b);
    });
    samples.resize(samples.size() - samples.size() / 10);
    PairFit fit = solve(samples);
    std::vector<double> residuals;
    for (const PairSample& s : samples) residuals.push_back(miss(fit, s));
    fit.residual_median = quantile(residuals, 0.5);
    return fit;
}

}  // namespace hc::sim
