/// The recorded pieces that checks, fetches and commits of a new run are made of.
#pragma once

#include <cstdint>
#include <vector>

#include "simulator/replay/policy_replay.h"
#include "simulator/replay/source_run.h"

namespace hc::sim {

class Donors {
public:
    /// Pieces of `source`; of `other` (may be null) where the source has none. Both are borrowed.
    Donors(const SourceRun& source, const SourceRun* other);

    /// The drift operations to use for a check of `layer` at `step`: its own, else those of the
    /// nearest step of the layer, else of any layer. nullptr: never recorded.
    [[nodiscard]] const RecordedCheck* check(std::int32_t layer, std::int64_t step) const;
    /// What was recorded of this very fetch; nullptr: it did not happen.
    [[nodiscard]] const RecordedFetch* same_fetch(const FetchDecision& fetch) const;
    /// Any recorded one, in turn, so that their spread is kept; nullptr: none was recorded.
    [[nodiscard]] const RecordedFetch* fetch(std::size_t turn) const {
        return pick(fetches_, turn);
    }
    [[nodiscard]] const RecordedFetch* commit(std::size_t turn) const {
        return pick(commits_, turn);
    }

private:
    static const RecordedFetch* pick(const std::vector<const RecordedFetch*>& from,
                                     std::size_t turn) {
        return from.empty() ? nullptr : from[turn % from.size()];
    }

    const SourceRun& source_;
    const std::vector<RecordedCheck>* checks_ = nullptr;
    std::vector<const RecordedFetch*> fetches_;
    std::vector<const RecordedFetch*> commits_;
};

/// The operations by which `count` decisions are made after the pattern of a recorded check: its
/// own where it made as many, else over again until there are as many top-k operations.
void operations_of(const RecordedCheck& check, std::size_t count,
                   std::vector<const RecordedOp*>& out);

}  // namespace hc::sim
