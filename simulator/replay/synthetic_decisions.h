/// Decisions of runs whose drift was told instead of found (hc_run.drift 'synthetic'): no attention
/// stands behind them, so they are made by the engine's own rule, a hash of seed, step and star.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "simulator/replay/figure_decisions.h"
#include "simulator/replay/simulator.h"
#include "simulator/replay/source_run.h"

namespace hc::sim {

/// From config::RunParameters::synthetic ("random weights, drift synthetic:rate=...,seed=1").
/// Throws Error(kInput) when it tells of no drift, or of one that cannot be read.
[[nodiscard]] ToldDrift told_drift(const std::string& synthetic, const std::string& name);

/// Whether the `number`-th star with members (by layer, then in the profile's order) triggers after
/// decode step `step` of its sequence: kernels/cuda/drift.h, DriftDecideArguments::forced_rate.
[[nodiscard]] bool told_trigger(const ToldDrift& drift, std::int32_t sequence, std::int64_t step,
                                std::int32_t number);

/// Checks and triggers by the rule. A fetch brings what it brought in the recording, times what
/// the rule asks for at the new capacities over what it asked for at the recorded ones; a fetch
/// that was not recorded takes the recorded ones' mean share of what the rule asks. `recorded` is
/// the drift that the source was told.
[[nodiscard]] FigureDecisions told_decisions(const SourceRun& source, const ToldDrift& recorded,
                                             const ToldDrift& drift, const HeadProfile& profile,
                                             const policy::Budgets& budgets,
                                             const policy::Budgets& recorded_budgets,
                                             const policy::Settings& settings,
                                             std::int64_t first_step, std::int64_t last_step,
                                             std::int32_t sequences);

/// The same in the form of policy_replay; overlaps and rows are not known, so there are none.
[[nodiscard]] Decisions decisions_of(const FigureDecisions& figures, const policy::Budgets& budgets,
                                     const policy::Settings& settings);

}  // namespace hc::sim
