#include <fmt/format.h>

#include <algorithm>

#include "engine/cuda/bench/points.h"

namespace hc::cuda::bench {
namespace {

constexpr const char* kFull = "published-fullkv@224K";
constexpr int kSteps = 100;
constexpr int kMostRepeats = 2;

Runs published_runs(const Setup& setup) {
    return {std::min(kSteps, setup.arguments.steps),
            std::min(kMostRepeats, setup.arguments.repeats)};
}

/// One sequence on a backend of its own.
Json published_point(const Setup& setup, const CudaOptions& cuda,
                     const runtime::SequenceOptions& options) {
    const std::unique_ptr<CudaBackend> backend = setup.backend(cuda);
    const SequenceId id = add_synthetic(*backend, options, kLongPrompt);
    Json point = decode_point(setup, *backend, {id}, options, kLongPrompt, published_runs(setup));
    point["ours_faster"] =
        or_null(ratio(point["step_ms"].get<double>(), setup.report.figure(kBaseline, "step_ms")));
    return point;
}

}  // namespace

void published_points(Setup& setup) {
    const std::int64_t reserve = kWarmUpSteps + published_runs(setup).total();
    setup.report.measure(kFull, [&] {
        CudaOptions options = synthetic_options();
        options.copy_cache_each_token = true;
        return published_point(setup, options, setup.full(reserve));
    });
    for (const double kept : {0.5, 0.25}) {
        setup.report.measure(fmt::format("published-hetero-{}@224K", kept), [&] {
            runtime::SequenceOptions options = setup.hetero(kept, 0, reserve);
            options.settings = policy::settings_for(policy::Mode::kReference);
            options.settings.ratio = kept;
            options.settings.stable_threshold = setup.profile.stable_threshold;
            Json point = published_point(setup, synthetic_options(), options);
            const double step = point["step_ms"].get<double>();
            const std::optional<double> ours = setup.report.figure(
                fmt::format("hetero-{}@224K-lag{}", kept, setup.arguments.lag), "step_ms");
            point["ours_faster"] = or_null(ratio(step, ours));
            point["speedup_over_published_fullkv"] =
                or_null(ratio(setup.report.figure(kFull, "step_ms"), step));
            return point;
        });
    }
}

}  // namespace hc::cuda::bench
