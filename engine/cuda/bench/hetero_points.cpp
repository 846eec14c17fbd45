#include <fmt/format.h>

#include <algorithm>

#include "engine/core/error.h"
#include "engine/cuda/bench/points.h"

namespace hc::cuda::bench {
namespace {

constexpr int kLags = 3;

/// The points of one ratio. The sequence of setup.arguments.lag serves most of them: pinning its
/// host tier takes longer than measuring does.
class HeteroPoints {
public:
    HeteroPoints(Setup& setup, double ratio)
        : setup_(setup),
          ratio_(ratio),
          lag_(setup.arguments.lag),
          name_(fmt::format("hetero-{}@224K", ratio)),
          backend_(setup.backend(synthetic_options())) {}

    void run(int most_batch) {
        Report& report = setup_.report;
        // First: interference of the others is told against it.
        SyntheticDrift drift = usual_drift();
        drift.rate = 0;
        report.measure(name_ + "-rate0", [&] { return variant(drift, most_batch); });
        report.measure(lag_name(lag_), [&] {
            return compared(decode_point(setup_, *backend_, {main_sequence(most_batch)}, options_,
                                         kLongPrompt, setup_.main_runs()));
        });
        // Now, while there is one sequence only.
        report.measure(fmt::format("memory-{}", name_), [&] {
            DecodeSession(*backend_, {main_sequence(most_batch)}).warm_up();
            return memory_point(setup_, *backend_, options_, kLongPrompt);
        });
        for (const std::string& words : setup_.arguments.tries) {
            report.measure(fmt::format("{}-try {}", name_, words),
                           [&] { return tuned_point(words, most_batch); });
        }
        for (int lag = 1; lag <= kLags; ++lag) {
            if (lag != lag_) report.measure(lag_name(lag), [&] { return other_lag(lag); });
        }
        drift = usual_drift();
        drift.run = 1;
        report.measure(name_ + "-run1", [&] { return variant(drift, most_batch); });
        report.measure(name_ + "-noretrieval", [&] { return no_retrieval(); });
        batches(most_batch);
    }

private:
    [[nodiscard]] std::string lag_name(int lag) const {
        return fmt::format("{}-lag{}", name_, lag);
    }

    SequenceId main_sequence(int most_batch) {
        if (!ids_.empty()) return ids_.front();
        // It is in every batch, and in both variants of the drift.
        const int tries = static_cast<int>(setup_.arguments.tries.size());
        options_ = setup_.hetero(ratio_, lag_,
                                 setup_.tokens_for(1, 2 + most_batch + tries) + kWarmUpSteps);
        ids_.push_back(add_synthetic(*backend_, options_, kLongPrompt));
        return ids_.front();
    }

    /// Relations to FullKV, and to the same without a trigger.
    [[nodiscard]] Json compared(Json point) const {
        const double target = ratio_ >= 0.5 ? 1.38 : 1.8;
        const Report& report = setup_.report;
        const std::optional<double> full = report.figure(kBaseline, "step_ms");
        point["speedup"] = or_null(ratio(full, point["step_ms"].get<double>()));
        point["target_speedup"] = target;
        point["interference"] =
            or_null(ratio(point["step_ms_at_prompt"].get<double>(),
                          report.figure(name_ + "-rate0", "step_ms_at_prompt")));
        return point;
    }

    Json variant(const SyntheticDrift& drift, int most_batch) {
        const SequenceId id = main_sequence(most_batch);
        backend_->set_drift(drift);
        Json point;
        try {
            point =
                decode_point(setup_, *backend_, {id}, options_, kLongPrompt, setup_.short_runs());
        } catch (...) {
            backend_->set_drift(usual_drift());
            throw;
        }
        backend_->set_drift(usual_drift());
        point["lag"] = lag_;
        point["drift"] = to_string(drift);
        return compared(std::move(point));
    }

    Json tuned_point(const std::string& words, int most_batch) {
        const SequenceId id = main_sequence(most_batch);
        const CudaOptions& usual = setup_.arguments.tuning;
        backend_->retune(tuned(usual, words));
        Json point =
            decode_point(setup_, *backend_, {id}, options_, kLongPrompt, setup_.short_runs());
        backend_->retune(usual);
        return compared(std::move(point));
    }

    Json alone(const runtime::SequenceOptions& options, const Runs& runs) {
        const SequenceId id = add_synthetic(*backend_, options, kLongPrompt);
        Json point;
        try {
            point = compared(decode_point(setup_, *backend_, {id}, options, kLongPrompt, runs));
        } catch (...) {
            backend_->remove_sequence(id);
            throw;
        }
        backend_->remove_sequence(id);
        return point;
    }

    Json other_lag(int lag) {
        return alone(setup_.hetero(ratio_, lag, setup_.tokens_for(1, 0)), setup_.main_runs());
    }

    Json no_retrieval() {
        runtime::SequenceOptions options = setup_.hetero(ratio_, 1, setup_.tokens_for(0, 1));
        options.settings.retrieval = false;
        return alone(options, setup_.short_runs());
    }

    void batches(int most_batch) {
        for (int batch = 1; batch <= most_batch; ++batch) {
            const std::string name = fmt::format("batch-hetero-{}-{}", ratio_, batch);
            if (batch == 1 && setup_.report.figure(lag_name(lag_), "step_ms")) continue;
            setup_.report.measure(name, [&] { return of_batch(batch, most_batch); });
        }
    }

    Json of_batch(int batch, int most_batch) {
        static_cast<void>(main_sequence(most_batch));
        while (static_cast<int>(ids_.size()) < batch) {
            // The k-th sequence takes part in the batches from k on.
            const int taken = most_batch - static_cast<int>(ids_.size());
            const runtime::SequenceOptions options =
                setup_.hetero(ratio_, lag_, setup_.tokens_for(0, taken));
            ids_.push_back(add_synthetic(*backend_, options, kLongPrompt));
        }
        Json point =
            decode_point(setup_, *backend_, ids_, options_, kLongPrompt, setup_.short_runs());
        point["lag"] = lag_;
        return point;
    }

    Setup& setup_;
    double ratio_;
    int lag_;
    std::string name_;
    runtime::SequenceOptions options_;  // of the main sequence
    std::vector<SequenceId> ids_;       // of batches; the main one first
    std::unique_ptr<CudaBackend> backend_;
};

}  // namespace

void hetero_points(Setup& setup, double ratio, int most_batch) {
    const std::string number = fmt::format("{}", ratio);
    if (!setup.report.wants_any(
            {"hetero-" + number, "memory-hetero-" + number, "batch-hetero-" + number})) {
        return;
    }
    HeteroPoints(setup, ratio).run(most_batch);
}

void batch_summary(Setup& setup) {
    setup.report.measure("batch-summary", [&] {
        Json point;
        std::optional<double> fullkv;
        for (const std::string kind : {"fullkv", "hetero-0.5", "hetero-0.25"}) {
            std::optional<double> best = setup.report.figure(
                kind == "fullkv" ? kBaseline
                                 : fmt::format("{}@224K-lag{}", kind, setup.arguments.lag),
                "tokens_per_s");
            std::int64_t of = best ? 1 : 0;
            for (std::int64_t batch = 1; batch <= 8; ++batch) {
                const std::optional<double> rate =
                    setup.report.figure(fmt::format("batch-{}-{}", kind, batch), "tokens_per_s");
                if (!rate || (best && *best >= *rate)) continue;
                best = rate;
                of = batch;
            }
            if (kind == "fullkv") fullkv = best;
            point[kind] = {{"tokens_per_s", or_null(best)},
                           {"batch", of},
                           {"ratio_to_fullkv", or_null(ratio(best, fullkv))}};
        }
        point["target_ratio_0.25"] = 3;
        return point;
    });
}

}  // namespace hc::cuda::bench
