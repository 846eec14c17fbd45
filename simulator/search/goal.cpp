#include "simulator/search/goal.h"

#include <algorithm>
#include <array>
#include <limits>
#include <numeric>

namespace hc::sim {
namespace {

struct Named {
    Metric metric;
    std::string_view name;
};

constexpr std::array<Named, 10> kMetrics{{{Metric::kStepMedian, "step_median"},
                                          {Metric::kStepP95, "step_p95"},
                                          {Metric::kStepP99, "step_p99"},
                                          {Metric::kTokensPerS, "tokens_per_s"},
                                          {Metric::kMemory, "memory"},
                                          {Metric::kHostMemory, "host_memory"},
                                          {Metric::kRecall, "recall"},
                                          {Metric::kHiding, "hiding"},
                                          {Metric::kExposed, "exposed"},
                                          {Metric::kFetchedBytes, "fetched_bytes"}}};

constexpr double kWorst = std::numeric_limits<double>::infinity();

double as_cost(Metric metric, const Figures& figures) {
    const std::optional<double> value = value_of(metric, figures);
    if (!value) return metric == Metric::kHiding ? -1.0 : kWorst;
    return wants_more(metric) ? -*value : *value;
}

}  // namespace

std::optional<Metric> metric_of(std::string_view name) {
    for (const Named& named : kMetrics) {
        if (named.name == name) return named.metric;
    }
    return std::nullopt;
}

std::string_view metric_name(Metric metric) {
    for (const Named& named : kMetrics) {
        if (named.metric == metric) return named.name;
    }
    return "unknown";
}

std::string metric_names() {
    std::string names;
    for (const Named& named : kMetrics) {
        names += (names.empty() ? "" : ", ") + std::string(named.name);
    }
    return names;
}

bool wants_more(Metric metric) {
    return metric == Metric::kTokensPerS || metric == Metric::kRecall || metric == Metric::kHiding;
}

std::optional<double> value_of(Metric metric, const Figures& f) {
    switch (metric) {
        case Metric::kStepMedian:
            return f.step_median_ns.value;
        case Metric::kStepP95:
            return f.step_p95_ns.value;
        case Metric::kStepP99:
            return f.step_p99_ns.value;
        case Metric::kTokensPerS:
            return f.tokens_per_s.value;
        case Metric::kMemory:
            return static_cast<double>(f.device_bytes > 0 ? f.device_bytes : f.kv_pool_bytes);
        case Metric::kHostMemory:
            return static_cast<double>(f.host_tier_bytes);
        case Metric::kRecall:
            if (!f.recall) return std::nullopt;
            return f.recall->low;
        case Metric::kHiding:
            if (!f.hiding) return std::nullopt;
            return f.hiding->value;
        case Metric::kExposed:
            return f.exposed_ns;
        case Metric::kFetchedBytes:
            return static_cast<double>(f.fetch_bytes);
    }
    return std::nullopt;
}

double Goal::missed(const Figures& figures) const {
    double sum = 0;
    for (const Limit& limit : limits) {
        const std::optional<double> value = value_of(limit.metric, figures);
        if (!value) {
            sum += limit.metric == Metric::kHiding ? 0 : 1;
            continue;
        }
        const double over = wants_more(limit.metric) ? limit.value - *value : *value - limit.value;
        if (over > 0) sum += limit.value > 0 ? over / limit.value : over;
    }
    return sum;
}

double Goal::cost(const Figures& figures) const {
    return as_cost(metric, figures);
}

bool Goal::better(const Figures& a, const Figures& b) const {
    const double missed_a = missed(a);
    const double missed_b = missed(b);
    if (missed_a != missed_b) return missed_a < missed_b;
    const double cost_a = cost(a);
    const double cost_b = cost(b);
    if (cost_a != cost_b) return cost_a < cost_b;
    return as_cost(Metric::kRecall, a) < as_cost(Metric::kRecall, b);
}

std::vector<std::size_t> pareto_front(const std::vector<Figures>& points,
                                      const std::vector<Metric>& metrics) {
    const std::size_t width = metrics.size();
    std::vector<double> costs(points.size() * width);
    for (std::size_t i = 0; i < points.size(); ++i) {
        for (std::size_t m = 0; m < width; ++m) {
            costs[i * width + m] = as_cost(metrics[m], points[i]);
        }
    }
    const auto row = [&](std::size_t i) {
        return std::span<const double>(costs.data() + i * width, width);
    };
    std::vector<std::size_t> order(points.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    // Whoever beats a point comes before it in this order.
    std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
        return std::lexicographical_compare(row(a).begin(), row(a).end(), row(b).begin(),
                                            row(b).end());
    });
    std::vector<std::size_t> front;
    for (const std::size_t candidate : order) {
        const bool beaten = std::any_of(front.begin(), front.end(), [&](std::size_t other) {
            bool less = false;
            for (std::size_t m = 0; m < width; ++m) {
                if (row(other)[m] > row(candidate)[m]) return false;
                less = less || row(other)[m] < row(candidate)[m];
            }
            return less;
        });
        if (!beaten) front.push_back(candidate);
    }
    std::sort(front.begin(), front.end());
    return front;
}

}  // namespace hc::sim
