#include "profiler/analysis/limits.h"

#include <initializer_list>
#include <string_view>

namespace hc::analysis {
namespace {

int rank(trace::ValueOrigin origin) {
    switch (origin) {
        case trace::ValueOrigin::kMeasured:
            return 3;
        case trace::ValueOrigin::kFitted:
            return 2;
        case trace::ValueOrigin::kCatalogue:
            return 1;
        case trace::ValueOrigin::kAssumed:
            break;
    }
    return 0;
}

/// Of the first of `names` that there is.
std::optional<Limit> find(const std::vector<trace::Value>& values, trace::RunId run,
                          std::initializer_list<std::string_view> names) {
    for (const std::string_view name : names) {
        const trace::Value* best = nullptr;
        for (const trace::Value& v : values) {
            if (v.name != name || (v.run >= 0 && v.run != run) || !(v.number > 0)) continue;
            const bool better = best == nullptr || rank(v.origin) > rank(best->origin) ||
                                (rank(v.origin) == rank(best->origin) && v.number > best->number);
            if (better) best = &v;
        }
        if (best != nullptr) return Limit{best->number, best->origin, best->source};
    }
    return std::nullopt;
}

}  // namespace

Limits find_limits(const std::vector<trace::Value>& values, trace::RunId run) {
    return {find(values, run, {"read_bandwidth_GBps", "memory_bandwidth_GBps"}),
            find(values, run, {"h2d_GBps", "host_link_GBps", "link_GBps"}),
            find(values, run, {"d2h_GBps", "link_GBps"})};
}

}  // namespace hc::analysis
