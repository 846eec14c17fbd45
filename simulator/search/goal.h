/// What a tuner is to reach, in words.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "simulator/search/point.h"

namespace hc::sim {

enum class Metric : std::uint8_t {
    kStepMedian,
    kStepP95,
    kStepP99,
    kTokensPerS,
    kMemory,      ///< device memory: all of it on a GPU, the resident pool on a CPU
    kHostMemory,  ///< the host tier
    kRecall,      ///< the lower end of its interval
    kHiding,
    kExposed,
    kFetchedBytes,
};
/// "step_p99", ... nullopt for a word that names none.
[[nodiscard]] std::optional<Metric> metric_of(std::string_view name);
[[nodiscard]] std::string_view metric_name(Metric metric);
[[nodiscard]] std::string metric_names();  ///< all, for messages
/// True where more is better.
[[nodiscard]] bool wants_more(Metric metric);
/// nullopt: the figures do not hold it (a run without transfers has no hiding).
[[nodiscard]] std::optional<double> value_of(Metric metric, const Figures& figures);

struct Limit {
    Metric metric{};
    double value = 0;  ///< at most, or at least where more is better
};

struct Goal {
    Metric metric = Metric::kStepP99;
    std::vector<Limit> limits;

    /// Sum of what the limits are missed by, as shares of them; 0: all are kept. A limit on
    /// something that the figures do not hold is missed by 1, hiding excepted: without a transfer
    /// nothing is exposed.
    [[nodiscard]] double missed(const Figures& figures) const;
    /// The objective as a cost: smaller is better.
    [[nodiscard]] double cost(const Figures& figures) const;
    /// Limits first, then cost, then recall.
    [[nodiscard]] bool better(const Figures& a, const Figures& b) const;
};

/// Indices of points that no other beats in all of `metrics` (equal in all but one suffices), in
/// the order given. Exact: every pair is compared, after a sort by the first metric.
[[nodiscard]] std::vector<std::size_t> pareto_front(const std::vector<Figures>& points,
                                                    const std::vector<Metric>& metrics);

}  // namespace hc::sim
