#include "engine/cuda/bench/decode_session.h"

#include <algorithm>
#include <cmath>

#include "engine/core/clock.h"
#include "engine/core/error.h"

namespace hc::cuda::bench {
namespace {

FetchStatistics difference(const FetchStatistics& now, const FetchStatistics& before) {
    FetchStatistics d;
    d.checks = now.checks - before.checks;
    d.triggers = now.triggers - before.triggers;
    d.commits = now.commits - before.commits;
    d.superseded = now.superseded - before.superseded;
    d.rows = now.rows - before.rows;
    d.runs = now.runs - before.runs;
    d.bytes = now.bytes - before.bytes;
    d.transfer_ns = now.transfer_ns - before.transfer_ns;
    d.exposed_ns = now.exposed_ns - before.exposed_ns;
    d.commit_ns = now.commit_ns - before.commit_ns;
    return d;
}

}  // namespace

DecodeSession::DecodeSession(CudaBackend& backend, const std::vector<SequenceId>& ids)
    : backend_(backend) {
    for (const SequenceId id : ids) inputs_.push_back({id, 1});
}

void DecodeSession::step() {
    const std::span<const TokenId> tokens = backend_.decode_sampled(inputs_, {}, 0);
    for (std::size_t i = 0; i < inputs_.size(); ++i) inputs_[i].token = tokens[i];
}

void DecodeSession::warm_up() {
    for (int i = 0; i < kWarmUpSteps; ++i) step();
}

double DecodeSession::mean_length() const {
    double sum = 0;
    for (const runtime::DecodeInput& input : inputs_) {
        sum += static_cast<double>(backend_.length(input.sequence));
    }
    return sum / static_cast<double>(inputs_.size());
}

StepFigures DecodeSession::measure(const Runs& runs) {
    warm_up();
    StepFigures figures;
    figures.runs = runs;
    figures.mean_length = mean_length() + static_cast<double>(runs.total()) / 2;
    const FetchStatistics before = backend_.fetch_statistics();
    std::vector<double> medians;
    std::vector<double> all;
    std::vector<double> device;
    for (int run = 0; run < runs.repeats; ++run) {
        std::vector<double> times;
        for (int i = 0; i < runs.steps; ++i) {
            const std::int64_t begin = now_ns();
            step();
            times.push_back(1e-6 * static_cast<double>(now_ns() - begin));
            device.push_back(1e-6 * static_cast<double>(backend_.last_step_device_ns()));
        }
        medians.push_back(quantile(times, 0.5));
        all.insert(all.end(), times.begin(), times.end());
    }
    figures.fetches = difference(backend_.fetch_statistics(), before);
    figures.step_ms = quantile(medians, 0.5);
    figures.least_ms = quantile(medians, 0);
    figures.most_ms = quantile(medians, 1);
    figures.p99_ms = quantile(all, 0.99);
    figures.device_ms = quantile(device, 0.5);
    return figures;
}

double quantile(std::vector<double> values, double share) {
    HC_CHECK(!values.empty());
    std::sort(values.begin(), values.end());
    const double last = static_cast<double>(values.size() - 1);
    return values[static_cast<std::size_t>(std::llround(share * last))];
}

}  // namespace hc::cuda::bench
