#include "profiler/retrieval/step_map.h"

#include <algorithm>

namespace hc::retrieval {

StepMap::StepMap(std::span<const Range> ranges, Problems& problems) {
    for (const Range& range : ranges) {
        if (range.message.kind != MessageKind::kStep) continue;
        if (range.end_ns < 0) {
            ++problems["step that never ended"];
            continue;
        }
        if (!steps_.empty() && range.start_ns < steps_.back().end_ns) {
            ++problems["step that overlaps another"];
            continue;
        }
        StepRecord step;
        step.phase = range.message.phase.value_or(Phase::kDecode);
        step.batch = static_cast<std::int32_t>(range.message.batch.value_or(1));
        step.start_ns = range.start_ns;
        step.end_ns = range.end_ns;
        if (range.message.id) by_id_[*range.message.id].push_back(steps_.size());
        steps_.push_back(step);
    }
    if (steps_.empty() && !ranges.empty()) {
        StepRecord whole;
        whole.start_ns = ranges.front().start_ns;
        whole.end_ns = whole.start_ns;
        for (const Range& range : ranges) {
            whole.end_ns = std::max({whole.end_ns, range.start_ns, range.end_ns});
        }
        steps_.push_back(whole);
    }
    // 0 is the prefill's number.
    std::int64_t number = !steps_.empty() && steps_.front().phase == Phase::kPrefill ? 0 : 1;
    for (StepRecord& step : steps_) step.step = number++;
}

std::int64_t StepMap::at(std::int64_t time_ns) const {
    const auto after =
        std::upper_bound(steps_.begin(), steps_.end(), time_ns,
                         [](std::int64_t t, const StepRecord& s) { return t < s.start_ns; });
    return after == steps_.begin() ? steps_.front().step : std::prev(after)->step;
}

std::optional<std::int64_t> StepMap::by_id(std::int64_t id, std::int64_t time_ns) const {
    const auto found = by_id_.find(id);
    if (found == by_id_.end()) return std::nullopt;
    std::size_t best = found->second.front();
    for (const std::size_t index : found->second) {
        if (steps_[index].start_ns <= time_ns) best = index;
    }
    return steps_[best].step;
}

std::optional<std::int64_t> StepMap::next_by_id(std::int64_t id, std::int64_t time_ns) const {
    const auto found = by_id_.find(id);
    if (found == by_id_.end()) return std::nullopt;
    for (const std::size_t index : found->second) {
        if (steps_[index].start_ns > time_ns) return steps_[index].step;
    }
    return steps_[found->second.back()].step;
}

}  // namespace hc::retrieval
