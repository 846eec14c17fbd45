#include "gui/models/what_if_model.h"

#include <QElapsedTimer>
#include <algorithm>
#include <array>

#include "engine/config/head_file.h"
#include "engine/core/error.h"
#include "gui/models/worker_progress.h"
#include "simulator/hardware/catalogue.h"

namespace hc::gui {
namespace {

// The sweep: from a quarter to all of the budget, three thresholds.
constexpr std::array<double, 10> kSweepRatios = {0.25, 0.3, 0.35, 0.4, 0.45,
                                                 0.5,  0.6, 0.7,  0.8, 0.95};
constexpr std::array<double, 3> kThresholdSteps = {-0.15, 0, 0.15};

QString text_of(const std::exception& error) {
    return QString::fromUtf8(error.what());
}

/// The same heads with other shares; null where the shares are the recording's.
std::shared_ptr<const HeadProfile> shared_out(const HeadProfile* own, const WhatIfChoice& choice) {
    if (own == nullptr || choice.anchor_share == choice.satellite_share) return nullptr;
    auto heads = std::make_shared<HeadProfile>(*own);
    for (std::size_t i = 0; i < heads->ratios.size(); ++i) {
        if (is_full(heads->roles[i])) continue;
        heads->ratios[i] *=
            heads->roles[i] == HeadRole::kAnchor ? choice.anchor_share : choice.satellite_share;
    }
    return heads;
}

}  // namespace

struct WhatIfModel::Prepared {
    std::shared_ptr<const sim::Simulator> simulator;
    WhatIfChoice recorded;
    analysis::RunMetrics metrics;
};

void mark_best(std::vector<ParetoPoint>& points) {
    for (ParetoPoint& point : points) {
        point.best = std::none_of(points.begin(), points.end(), [&](const ParetoPoint& other) {
            const bool as_good = other.step_ns <= point.step_ns && other.recall >= point.recall;
            const bool better = other.step_ns < point.step_ns || other.recall > point.recall;
            return as_good && better;
        });
    }
}

WhatIfModel::WhatIfModel(QObject* parent) : QObject(parent) {}

void WhatIfModel::set_trace(const std::filesystem::path& path, std::optional<trace::RunId> run,
                            const analysis::RunMetrics& metrics) {
    metrics_ = metrics;
    reader_.cancel();
    asker_.cancel();
    runner_.cancel();
    sweeper_.cancel();
    path_ = path;
    run_ = run;
    is_preparing_ = false;
    simulator_.reset();
    answer_.reset();
    asked_.reset();
    points_.clear();
}

void WhatIfModel::prepare() {
    if (simulator_ || is_preparing_ || path_.empty()) return;
    is_preparing_ = true;
    reader_.start([this, path = path_,
                   run = run_](const Background::Cancelled& cancelled) -> Background::Delivery {
        const auto refuse = [this](const QString& why) {
            return [this, why] {
                is_preparing_ = false;
                Q_EMIT refused(why);
            };
        };
        try {
            WorkerProgress progress(this, cancelled, [this](const QString& what, int percent) {
                Q_EMIT preparing(what, percent);
            });
            const trace::Trace trace(path);
            auto [source, attention] = sim::Simulator::default_runs(trace);
            if (run && trace.run(*run).origin == trace::Origin::kRecorded &&
                trace.run(*run).attention_run >= 0) {
                source = *run;
                attention = trace.run(*run).attention_run;
            }
            auto prepared = std::make_shared<Prepared>();
            prepared->simulator =
                std::make_shared<const sim::Simulator>(trace, source, attention, progress);
            const sim::Simulator& simulator = *prepared->simulator;
            const policy::Settings& settings = simulator.settings();
            WhatIfChoice& recorded = prepared->recorded;
            recorded.ratio = settings.ratio;
            recorded.threshold = settings.stable_threshold;
            recorded.window = settings.window;
            recorded.commit_lag = settings.commit_lag;
            recorded.retrieval = settings.retrieval;
            prepared->metrics = analysis::run_metrics(simulator.source(), nullptr);
            return [this, prepared] {
                is_preparing_ = false;
                simulator_ = prepared->simulator;
                recorded_ = prepared->recorded;
                // The metrics of the run shown know its recall; those of another run do not.
                const bool same = metrics_.run == prepared->metrics.run && metrics_.recall;
                if (!same) metrics_ = prepared->metrics;
                Q_EMIT ready();
                if (asked_) ask(*std::exchange(asked_, std::nullopt));
            };
        } catch (const Error& error) {
            if (error.code() == ExitCode::kInterrupted) return {};
            return refuse(text_of(error));
        } catch (const std::exception& error) {
            return refuse("cannot simulate: " + text_of(error));
        }
    });
}

sim::Scenario WhatIfModel::scenario_of(const sim::Simulator& simulator, const WhatIfChoice& choice,
                                       const WhatIfChoice& recorded) {
    sim::Scenario scenario;
    // What is as recorded is not asked: the answer is the closer to the recording.
    if (choice.ratio != recorded.ratio) scenario.ratio = choice.ratio;
    if (choice.threshold != recorded.threshold) scenario.stable_threshold = choice.threshold;
    if (choice.window != recorded.window) scenario.window = choice.window;
    if (choice.commit_lag != recorded.commit_lag) scenario.commit_lag = choice.commit_lag;
    if (choice.retrieval != recorded.retrieval) scenario.retrieval = choice.retrieval;
    if (!choice.machine.isEmpty()) {
        scenario.machine = sim::find_machine(choice.machine.toStdString());
    }
    scenario.heads = shared_out(simulator.heads(), choice);
    scenario.label = "what if";
    return scenario;
}

void WhatIfModel::ask(const WhatIfChoice& choice) {
    if (!simulator_) {
        asked_ = choice;
        prepare();
        return;
    }
    QElapsedTimer timer;
    timer.start();
    asker_.start([this, simulator = simulator_, choice, recorded = recorded_,
                  timer](const Background::Cancelled&) -> Background::Delivery {
        try {
            auto answer = std::make_shared<WhatIfAnswer>();
            answer->choice = choice;
            answer->prediction = simulator->figures(scenario_of(*simulator, choice, recorded));
            answer->elapsed_ms = static_cast<double>(timer.nsecsElapsed()) / 1e6;
            return [this, answer] {
                // Until its own steps are there, those of the answer before are shown.
                if (answer_) answer->prediction.data = std::move(answer_->prediction.data);
                answer_ = std::move(*answer);
                Q_EMIT answered();
                simulate_run(answer_->choice);
            };
        } catch (const std::exception& error) {
            return [this, why = text_of(error)] { Q_EMIT refused(why); };
        }
    });
}

void WhatIfModel::simulate_run(const WhatIfChoice& choice) {
    runner_.start([this, simulator = simulator_, choice,
                   recorded = recorded_](const Background::Cancelled&) -> Background::Delivery {
        try {
            auto prediction = std::make_shared<sim::Prediction>(
                simulator->simulate(scenario_of(*simulator, choice, recorded)));
            return [this, prediction, choice] {
                if (!answer_ || answer_->choice != choice) return;
                answer_->prediction.data = std::move(prediction->data);
                Q_EMIT run_simulated();
            };
        } catch (const std::exception& error) {
            return [this, why = text_of(error)] { Q_EMIT refused(why); };
        }
    });
}

void WhatIfModel::sweep(const WhatIfChoice& around) {
    if (!simulator_) return;
    sweeper_.start([this, simulator = simulator_, around, recorded = recorded_](
                       const Background::Cancelled& cancelled) -> Background::Delivery {
        auto points = std::make_shared<std::vector<ParetoPoint>>();
        for (const double step : kThresholdSteps) {
            for (const double ratio : kSweepRatios) {
                if (cancelled) return {};
                ParetoPoint point;
                point.choice = around;
                point.choice.ratio = ratio;
                point.choice.threshold = std::clamp(around.threshold + step, 0.0, 1.0);
                try {
                    const sim::Prediction p =
                        simulator->figures(scenario_of(*simulator, point.choice, recorded));
                    if (!p.recall) continue;
                    point.step_ns = p.step_ns_median.value;
                    point.pool_bytes = static_cast<double>(p.kv_pool_bytes);
                    point.recall = p.recall->low;
                    points->push_back(point);
                } catch (const Error&) {
                    continue;  // outside of what the trace can answer: no point there
                }
            }
        }
        mark_best(*points);
        return [this, points] {
            points_ = std::move(*points);
            Q_EMIT swept();
        };
    });
}

QStringList WhatIfModel::machines() const {
    QStringList ids;
    const bool cpu = !simulator_ || simulator_->source().run.backend == "cpu";
    for (const sim::MachineSpec& machine : sim::catalogue()) {
        const bool fits = machine.kind == (cpu ? sim::MachineKind::kCpu : sim::MachineKind::kGpu);
        if (fits || sim::is_link(machine)) ids += QString::fromStdString(machine.id);
    }
    return ids;
}

QString WhatIfModel::profile_options(const WhatIfChoice& choice, const QString& heads_file) const {
    QStringList options;
    if (!heads_file.isEmpty()) options += "--heads '" + heads_file + "'";
    options += QString("--ratio %1").arg(choice.ratio, 0, 'g', 6);
    options += QString("--threshold %1").arg(choice.threshold, 0, 'g', 6);
    options += QString("--window %1").arg(choice.window);
    options += QString("--commit-lag %1").arg(choice.commit_lag);
    if (!choice.retrieval) options += "--no-retrieval";
    if (simulator_ && simulator_->settings().mode == policy::Mode::kReference) {
        options += "--mode reference";
    }
    return options.join(' ');
}

QString WhatIfModel::heads_json(const WhatIfChoice& choice) const {
    if (!simulator_) return {};
    const auto heads = shared_out(simulator_->heads(), choice);
    if (!heads) return {};
    return QString::fromStdString(
        config::head_file_json(*heads, simulator_->source().run.model_name));
}

}  // namespace hc::gui
