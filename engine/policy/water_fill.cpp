#include "engine/policy/water_fill.h"

#include <algorithm>
#include <functional>
#include <numeric>
#include <vector>

#include "engine/core/error.h"

namespace hc::policy {

double water_level(std::span<const double> weights, double limit, double total) {
    HC_CHECK(!weights.empty());
    std::vector<double> falling(weights.begin(), weights.end());
    std::sort(falling.begin(), falling.end(), std::greater<>());
    HC_CHECK(falling.back() > 0.0);
    double open = 0.0;  // weight of those below the limit, summed smallest first for accuracy
    std::vector<double> open_from(falling.size());
    for (std::size_t i = falling.size(); i-- > 0;) open_from[i] = open += falling[i];
    // The heaviest reach the limit first: with i of them full, the others share the rest.
    for (std::size_t i = 0; i < falling.size(); ++i) {
        const double rest = std::max(0.0, total - limit * static_cast<double>(i));
        const double level = rest / open_from[i];
        if (level * falling[i] <= limit) return level;
    }
    return limit / falling.back();
}

}  // namespace hc::policy
