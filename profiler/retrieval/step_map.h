/// Steps of a recorded program: their numbers in the trace, by the program's own ids and by time.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <vector>

#include "engine/core/records.h"
#include "profiler/retrieval/process_ranges.h"

namespace hc::retrieval {

class StepMap {
public:
    /// `ranges` by start. Steps that never ended or overlap an earlier one are counted and left
    /// out. Without any there is one over all ranges.
    StepMap(std::span<const Range> ranges, Problems& problems);

    [[nodiscard]] const std::vector<StepRecord>& steps() const { return steps_; }
    /// The step that was running at that time, else the last before it, else the first.
    [[nodiscard]] std::int64_t at(std::int64_t time_ns) const;
    /// The program's own id; of several steps of that id the last that began by `time_ns`.
    [[nodiscard]] std::optional<std::int64_t> by_id(std::int64_t id, std::int64_t time_ns) const;
    /// Of several the first that began after `time_ns`.
    [[nodiscard]] std::optional<std::int64_t> next_by_id(std::int64_t id,
                                                         std::int64_t time_ns) const;

private:
    std::vector<StepRecord> steps_;
    std::map<std::int64_t, std::vector<std::size_t>> by_id_;  // indexes of steps_, by start
};

}  // namespace hc::retrieval
