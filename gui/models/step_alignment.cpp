#include "gui/models/step_alignment.h"

#include <algorithm>
#include <limits>
#include <unordered_map>

namespace hc::gui {

StepAlignment::StepAlignment(const trace::Steps& a, const trace::Steps& b) {
    std::unordered_map<std::int64_t, std::size_t> row_of;
    for (std::size_t i = 0; i < b.size(); ++i) row_of.emplace(b.step[i], i);
    double last_a = -std::numeric_limits<double>::infinity(), last_b = last_a;
    for (std::size_t i = 0; i < a.size(); ++i) {
        const auto found = row_of.find(a.step[i]);
        if (found == row_of.end()) continue;
        const std::size_t k = found->second;
        const auto start_a = static_cast<double>(a.start_ns[i]);
        const auto start_b = static_cast<double>(b.start_ns[k]);
        const auto end_a = static_cast<double>(a.end_ns[i]);
        const auto end_b = static_cast<double>(b.end_ns[k]);
        // Steps that go back in time, or take none, say nothing of how times correspond.
        if (start_a < last_a || start_b < last_b || end_a <= start_a || end_b <= start_b) continue;
        times_a_.insert(times_a_.end(), {start_a, end_a});
        times_b_.insert(times_b_.end(), {start_b, end_b});
        last_a = end_a;
        last_b = end_b;
    }
}

double StepAlignment::map(const std::vector<double>& from, const std::vector<double>& to,
                          double time) {
    if (from.empty()) return time;
    if (time <= from.front()) return to.front() + (time - from.front());
    if (time >= from.back()) return to.back() + (time - from.back());
    const auto after = std::upper_bound(from.begin(), from.end(), time);
    const auto i = static_cast<std::size_t>(after - from.begin()) - 1;
    const double span = from[i + 1] - from[i];
    const double share = span > 0 ? (time - from[i]) / span : 0;
    return to[i] + share * (to[i + 1] - to[i]);
}

}  // namespace hc::gui
