/// Answers "what if" from a recorded trace: replays its steps with the engine's policy code
/// under other settings, another prompt length, another machine.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "engine/core/head_profile.h"
#include "engine/core/progress.h"
#include "engine/policy/settings.h"
#include "profiler/analysis/metrics.h"
#include "profiler/trace/reader.h"
#include "profiler/trace/writer.h"
#include "simulator/cost/op_costs.h"
#include "simulator/hardware/catalogue.h"

namespace hc::sim {

/// How far an answer can be trusted (simulator.md §2).
enum class Tag : std::uint8_t {
    kMeasured,      ///< same machine, settings inside what was recorded
    kTargetSwept,   ///< other machine, measured with `hardware measure`
    kSpecOnly,      ///< other machine, from its data sheet
    kExtrapolated,  ///< outside what was recorded (a longer prompt)
};
[[nodiscard]] std::string_view tag_name(Tag tag);

/// Drift that was told to the engine instead of found (engine/runtime/synthetic_drift.h).
struct ToldDrift {
    double rate = 0;      ///< share of checks that trigger
    double new_rows = 0;  ///< share of wanted rows that are not resident
    double run = 0;       ///< mean tokens per run of neighbouring rows
    std::uint64_t seed = 0;
};

/// What is changed; empty fields stay as recorded.
struct Scenario {
    std::string label;
    std::optional<double> ratio;
    std::optional<double> stable_threshold;
    std::optional<std::int32_t> window;
    std::optional<std::int32_t> commit_lag;
    std::optional<bool> retrieval;
    std::optional<std::int64_t> prompt_tokens;
    std::optional<std::string> policy;  ///< "fullkv" or "heterocache"
    std::optional<MachineSpec> machine;
    std::optional<policy::Mode> mode;   ///< "heterocache": the preset of its options
    std::optional<std::int32_t> batch;  ///< sequences per step; those beyond the recorded repeat
    std::optional<ToldDrift> drift;     ///< of a run whose drift was told
    /// Other shares of the budget per head: roles and stars must be those of the recording.
    std::shared_ptr<const HeadProfile> heads;
};

struct Estimate {
    double value = 0;
    double low = 0;
    double high = 0;
};

struct Prediction {
    Scenario scenario;
    Tag tag = Tag::kMeasured;
    std::vector<std::string> notes;  ///< assumptions a reader must know
    Estimate step_ns_median, step_ns_p95, step_ns_p99, step_ns_max, tokens_per_s;
    std::optional<Estimate> hiding, overlap, interference;
    Estimate exposed_ns, transfer_ns;
    std::int64_t steps = 0;  ///< decode steps replayed
    std::int64_t checks = 0, triggers = 0, fetches = 0, rows_fetched = 0, fetch_bytes = 0;
    std::int64_t kv_pool_bytes = 0, host_tier_bytes = 0;
    std::int64_t staging_bytes = 0;  ///< of the largest fetch
    std::int64_t device_bytes = 0;   ///< GPU: everything the engine allocates there; CPU: 0
    std::optional<analysis::RecallInterval> recall;
    /// The simulated run as a trace would hold it: origin simulated, times from 0.
    trace::RunData data;
};

/// What a trace alone does not tell.
struct SimulatorExtras {
    /// More traces whose runs of the same model tell what operations cost (other batches, say).
    std::vector<const trace::Trace*> cost_traces;
    /// Values of the recording's machine, before those that the trace holds.
    std::vector<trace::Value> source_values;
};

/// Reads what it needs once; simulate() is const and may be called from several threads.
class Simulator {
public:
    /// `source`: the recorded run to start from (a heterocache run; a fullkv run gives its
    /// timings only). `attention`: a run with a drift trace. Throws Error(kRefused) saying what
    /// the trace lacks.
    Simulator(const trace::Trace& trace, trace::RunId source, trace::RunId attention,
              Progress& progress, const SimulatorExtras& extras = {});
    /// The same from memory. `others` are recorded runs of the same model: costs are fitted from
    /// them too, where they match in precision and backend. `values` are those of the source's
    /// machine (docs/catalogue.md); predictions for other machines compare with them.
    Simulator(trace::RunData source, trace::RunData attention,
              std::vector<trace::RunData> others = {}, std::vector<trace::Value> values = {});
    ~Simulator();
    Simulator(Simulator&&) noexcept;

    /// Throws Error(kRefused) when there are no data for the answer: a ratio that needs more
    /// than the trace's k, a GPU from a CPU trace, a machine without the values it takes.
    [[nodiscard]] Prediction simulate(const Scenario& scenario) const;
    /// The same figures without the run (`data` holds hc_run's row only), a hundred times sooner:
    /// for sweeps. Times may differ by a rounding of nanoseconds. `interference` is computation
    /// beside transfers over the same computation without them, which analysis can only estimate.
    [[nodiscard]] Prediction figures(const Scenario& scenario) const;

    [[nodiscard]] const trace::RunData& source() const;
    [[nodiscard]] const trace::RunData& attention() const;
    /// Heads and settings that a scenario starts from; nullptr: none are known.
    [[nodiscard]] const HeadProfile* heads() const;
    [[nodiscard]] const policy::Settings& settings() const;
    /// Recall of each head's prefill set by its capacity, without retrieval: the mean over the
    /// drift trace's probability rows of the mass on the best `capacities` of its prefill score.
    /// [head index][capacity]; empty for full heads and those without rows. Capacities beyond the
    /// rows' depth give what the depth gives.
    [[nodiscard]] std::vector<std::vector<double>> recall_curves(
        std::span<const std::int64_t> capacities) const;
    /// Positions that every row of the drift trace holds; 0: there is none.
    [[nodiscard]] std::int64_t depth() const;
    [[nodiscard]] std::int64_t prompt_tokens() const;
    /// What each kind of operation costs, with the residuals of its fit.
    [[nodiscard]] const OpCosts& costs() const;

    /// The run that a person most likely means: the last recorded heterocache run, and the run
    /// it is judged by.
    [[nodiscard]] static std::pair<trace::RunId, trace::RunId> default_runs(
        const trace::Trace& trace);

private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

/// Adds a prediction's run to a trace file being written, with meta entries `simulated.<run>.*`:
/// label, tag, notes, and the runs of the recording it was made from and judged by.
/// `source_run`, `attention_run`: where these two stand in the file being written, if they do.
trace::RunId write_prediction(trace::Writer& writer, const Prediction& prediction,
                              std::optional<trace::RunId> source_run = std::nullopt,
                              std::optional<trace::RunId> attention_run = std::nullopt);

/// Adds any run as it stands: a recorded one to lie beside its predictions, its times moved to
/// now. Throws Error(kInput) when an operation belongs to no step of the run.
trace::RunId write_run(trace::Writer& writer, const trace::RunData& data);

}  // namespace hc::sim
