/// Finds settings and budgets per head that reach a goal: every point of a grid first, then the
/// shares of the budget among heads.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "engine/core/progress.h"
#include "simulator/search/goal.h"
#include "simulator/search/result_file.h"

namespace hc::sim {

struct Candidate {
    Scenario scenario;
    Figures figures;
};

struct TuneOptions {
    Goal goal;
    std::vector<Scenario> grid;
    std::int64_t head_trials = 400;  ///< questions about shares among heads; 0: none
    std::uint64_t seed = 1;
    int threads = 1;
};

struct TuneResult {
    std::vector<Candidate> points;     ///< the grid's, in its order, without refused ones
    std::vector<std::size_t> front;    ///< of points: not beaten in goal, memory and recall
    std::vector<std::size_t> ranking;  ///< of points: best first
    std::int64_t refused = 0;
    std::string refusal;  ///< of one of them
    /// The grid's best, then improved; its scenario names heads where shares were changed.
    Candidate best;
    bool keeps_limits = false;  ///< best keeps every limit
    bool heads_changed = false;
};

/// `results` keeps every answer: a stopped search finds them there. Throws Error(kRefused) when no
/// point of the grid can be answered, Error(kInterrupted) when `progress` was cancelled.
[[nodiscard]] TuneResult tune(const Simulator& simulator, const Identity& identity,
                              const TuneOptions& options, ResultFile& results, Progress& progress);

/// Answers `scenarios` (those that `results` does not hold yet) on `threads` threads.
void answer_all(const Simulator& simulator, const Identity& identity,
                const std::vector<Scenario>& scenarios, int threads, ResultFile& results,
                Progress& progress);

/// Shares among compressed heads that give the largest mean recall for the mean capacity that
/// `scenario` has, by the heads' own curves and without retrieval (greedy by marginal gain over
/// each curve's concave hull, which is exact up to one piece). nullptr: there are no curves.
[[nodiscard]] std::shared_ptr<const HeadProfile> shares_by_curves(const Simulator& simulator,
                                                                  const Scenario& scenario);

}  // namespace hc::sim
