/// "What if": settings that a person turns, and what the simulator says of them, computed beside
/// the window.
#pragma once

#include <QObject>
#include <QString>
#include <QStringList>
#include <filesystem>
#include <memory>
#include <optional>
#include <vector>

#include "gui/models/background.h"
#include "profiler/analysis/metrics.h"
#include "simulator/replay/simulator.h"

namespace hc::gui {

/// What the controls stand at.
struct WhatIfChoice {
    double ratio = 0.5;
    double threshold = 0.5;
    std::int32_t window = 5;
    std::int32_t commit_lag = 1;
    bool retrieval = true;
    /// Shares of the compressed budget by role, against the recording's: only their relation
    /// counts, the ratio says how much there is in all.
    double anchor_share = 1;
    double satellite_share = 1;
    QString machine;  ///< id of the catalogue; empty: the recording's
    [[nodiscard]] bool operator==(const WhatIfChoice&) const = default;
};

struct WhatIfAnswer {
    WhatIfChoice choice;
    sim::Prediction prediction;
    double elapsed_ms = 0;  ///< from the question to the answer
};

/// A point of the sweep: what a ratio and a threshold cost and give.
struct ParetoPoint {
    WhatIfChoice choice;
    double step_ns = 0;
    double pool_bytes = 0;
    double recall = 0;  ///< the lower end of its interval
    bool best = false;  ///< no other point is as fast and keeps more
};

/// Marks those points that no other beats in both step time and recall.
void mark_best(std::vector<ParetoPoint>& points);

/// Lives in the thread of its event loop. The simulator is read on the first question, since a
/// drift trace can be large.
class WhatIfModel : public QObject {
    Q_OBJECT
public:
    explicit WhatIfModel(QObject* parent = nullptr);

    /// Of this run of the file; nothing is read yet.
    /// `metrics` are that run's own, as shown elsewhere.
    void set_trace(const std::filesystem::path& path, std::optional<trace::RunId> run,
                   const analysis::RunMetrics& metrics = {});
    /// Reads the simulator when that has not happened; `ready` or `refused` follows.
    void prepare();
    [[nodiscard]] bool is_ready() const { return simulator_ != nullptr; }
    [[nodiscard]] bool busy() const {
        return reader_.busy() || asker_.busy() || runner_.busy() || sweeper_.busy();
    }
    /// Asks; of questions in a row only the last is answered. `answered` or `refused` follows, and
    /// `run_simulated` a little later, when the answer holds the run's steps as well.
    void ask(const WhatIfChoice& choice);
    /// Computes the points of the sweep around the choice; `swept` follows.
    void sweep(const WhatIfChoice& around);

    /// As recorded. Only when ready.
    [[nodiscard]] const WhatIfChoice& recorded() const { return recorded_; }
    [[nodiscard]] const analysis::RunMetrics& recorded_metrics() const { return metrics_; }
    [[nodiscard]] const trace::RunData& recorded_run() const { return simulator_->source(); }
    [[nodiscard]] const std::optional<WhatIfAnswer>& answer() const { return answer_; }
    [[nodiscard]] const std::vector<ParetoPoint>& points() const { return points_; }
    /// Machines that can be chosen: ids of the catalogue, CPUs for a recording of a CPU.
    [[nodiscard]] QStringList machines() const;

    /// The options of `hcprof profile` that record with these settings. `heads_file` is named when
    /// the shares by role differ from the recording's; nullopt there: none is to be written.
    [[nodiscard]] QString profile_options(const WhatIfChoice& choice,
                                          const QString& heads_file) const;
    /// The head file that goes with them; empty: the recording's own will do.
    [[nodiscard]] QString heads_json(const WhatIfChoice& choice) const;

Q_SIGNALS:
    void preparing(const QString& what, int percent);
    void ready();
    void answered();
    void run_simulated();
    void swept();
    /// One line; what was answered before stays.
    void refused(const QString& why);

private:
    struct Prepared;
    void simulate_run(const WhatIfChoice& choice);
    [[nodiscard]] static sim::Scenario scenario_of(const sim::Simulator& simulator,
                                                   const WhatIfChoice& choice,
                                                   const WhatIfChoice& recorded);

    std::filesystem::path path_;
    std::optional<trace::RunId> run_;
    bool is_preparing_ = false;
    // The workers' jobs hold it too: a new trace must not take it from under them.
    std::shared_ptr<const sim::Simulator> simulator_;
    WhatIfChoice recorded_;
    analysis::RunMetrics metrics_;
    std::optional<WhatIfAnswer> answer_;
    std::optional<WhatIfChoice> asked_;  ///< while the simulator is being read
    std::vector<ParetoPoint> points_;
    Background reader_, asker_, runner_, sweeper_;
};

}  // namespace hc::gui
