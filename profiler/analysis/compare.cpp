#include <algorithm>
#include <cmath>
#include <numbers>
#include <numeric>
#include <random>

#include "engine/core/error.h"
#include "profiler/analysis/compare.h"
#include "profiler/analysis/step_index.h"
#include "profiler/analysis/sums.h"

namespace hc::analysis {
namespace {

using trace::RunData;

constexpr auto kKinds = static_cast<std::size_t>(OpKind::kCount);
constexpr std::uint64_t kSeed = 20240229;

/// Random numbers that are the same with every standard library: the standard fixes its engines,
/// not its distributions.
class Random {
public:
    /// In (0, 1), both ends excluded.
    double uniform() {
        return (static_cast<double>(engine_() >> 11U) + 0.5) * (1.0 / 9007199254740992.0);
    }

    double normal() {  // Box and Muller
        const double radius = std::sqrt(-2 * std::log(uniform()));
        return radius * std::cos(2 * std::numbers::pi * uniform());
    }

    /// `shape` is at least 1. Marsaglia and Tsang, "A simple method for generating gamma
    /// variables", ACM TOMS 26 (2000).
    double gamma(double shape) {
        const double d = shape - 1.0 / 3;
        const double c = 1 / std::sqrt(9 * d);
        for (;;) {
            const double x = normal();
            const double root = 1 + c * x;
            if (root <= 0) continue;
            const double v = root * root * root;
            if (std::log(uniform()) < 0.5 * x * x + d - d * v + d * std::log(v)) return d * v;
        }
    }

private:
    std::mt19937_64 engine_{kSeed};
};

/// Medians of resamples, without drawing the resamples. n draws with replacement are
/// sorted[floor(n U)] for n uniform U, and that function never falls, so the k-th smallest draw
/// is sorted[floor(n U_(k))]; U_(k), the k-th smallest of n uniforms, is Beta(k, n + 1 - k). This
/// is the same distribution at a cost that does not grow with n.
class ResampledMedian {
public:
    explicit ResampledMedian(std::span<const double> sorted) : sorted_(sorted) {}

    [[nodiscard]] double draw(Random& random) const {
        const std::size_t n = sorted_.size();
        const std::size_t k = (n + 1) / 2;
        const double below = random.gamma(static_cast<double>(k));
        const double above = random.gamma(static_cast<double>(n + 1 - k));
        const double lower = below / (below + above);
        if (n % 2 == 1) return at(lower);
        // The next one is the smallest of n - k uniforms on (lower, 1).
        const double rest = std::pow(random.uniform(), 1 / static_cast<double>(n - k));
        return (at(lower) + at(1 - (1 - lower) * rest)) / 2;
    }

private:
    [[nodiscard]] double at(double u) const {
        const std::size_t n = sorted_.size();
        return sorted_[std::min(static_cast<std::size_t>(u * static_cast<double>(n)), n - 1)];
    }

    std::span<const double> sorted_;
};

std::vector<double> sorted_copy(std::span<const double> values) {
    std::vector<double> sorted(values.begin(), values.end());
    for (const double v : sorted) HC_CHECK(!std::isnan(v));  // would leave the sort undefined
    std::sort(sorted.begin(), sorted.end());
    return sorted;
}

double median_of_sorted(const std::vector<double>& sorted) {
    const std::size_t n = sorted.size();
    if (n == 0) return 0;
    return n % 2 == 1 ? sorted[n / 2] : (sorted[n / 2 - 1] + sorted[n / 2]) / 2;
}

Bounds bootstrap_interval(const std::vector<double>& a, const std::vector<double>& b) {
    Random random;
    const ResampledMedian of_a(a);
    const ResampledMedian of_b(b);
    std::vector<double> differences(kResamples);
    for (double& difference : differences) {
        const double median_a = of_a.draw(random);
        difference = of_b.draw(random) - median_a;
    }
    std::sort(differences.begin(), differences.end());
    constexpr std::size_t kTail = kResamples / 40;  // 2.5 % on either side
    return {differences[kTail], differences[kResamples - 1 - kTail]};
}

Verdict verdict_of(const TimeDifference& d) {
    if (d.count_a == 0 && d.count_b == 0) return Verdict::kNone;
    if (d.count_b == 0) return Verdict::kOnlyA;
    if (d.count_a == 0) return Verdict::kOnlyB;
    if (!d.interval) return Verdict::kNone;
    if (d.interval->high < 0) return Verdict::kFaster;
    return d.interval->low > 0 ? Verdict::kSlower : Verdict::kNone;
}

double mean_per_step(const RunSummary& run, std::size_t kind) {
    if (run.step_ns.empty()) return 0;
    const std::vector<double>& times = run.kind_ns[kind];
    return std::accumulate(times.begin(), times.end(), 0.0) /
           static_cast<double>(run.step_ns.size());
}

std::vector<KindDifference> compare_kinds(const RunSummary& a, const RunSummary& b) {
    std::vector<KindDifference> result;
    for (std::size_t kind = 0; kind < kKinds; ++kind) {
        if (a.kind_ns[kind].empty() && b.kind_ns[kind].empty()) continue;
        result.push_back({static_cast<OpKind>(kind),
                          compare_medians(a.kind_ns[kind], b.kind_ns[kind]), mean_per_step(a, kind),
                          mean_per_step(b, kind)});
    }
    std::stable_sort(result.begin(), result.end(),
                     [](const KindDifference& x, const KindDifference& y) {
                         return std::abs(x.time.difference) > std::abs(y.time.difference);
                     });
    return result;
}

std::vector<FigureDifference> compare_figures(const RunSummary& a, const RunSummary& b) {
    const RunMetrics& x = a.metrics;
    const RunMetrics& y = b.metrics;
    std::vector<FigureDifference> result;
    const auto plain = [&](std::string_view name, std::string_view title, FigureUnit unit,
                           std::int64_t in_a, std::int64_t in_b) {
        if (in_a == 0 || in_b == 0) return;
        result.push_back({name, title, unit, static_cast<double>(in_a), static_cast<double>(in_b)});
    };
    const auto per_step = [&](std::string_view name, std::string_view title, FigureUnit unit,
                              std::int64_t in_a, std::int64_t in_b) {
        result.push_back({name, title, unit,
                          static_cast<double>(in_a) / static_cast<double>(a.step_ns.size()),
                          static_cast<double>(in_b) / static_cast<double>(b.step_ns.size())});
    };
    plain("prefill_ns", "prefill", FigureUnit::kNs, x.prefill_ns, y.prefill_ns);
    if (x.transfer.hiding && y.transfer.hiding) {
        result.push_back(
            {"hiding", "I/O hiding", FigureUnit::kShare, *x.transfer.hiding, *y.transfer.hiding});
    }
    const bool steps = !a.step_ns.empty() && !b.step_ns.empty();
    if (steps && x.checks > 0 && y.checks > 0) {
        per_step("triggers_per_step", "triggers a step", FigureUnit::kCount, x.triggers,
                 y.triggers);
    }
    if (steps && x.fetches > 0 && y.fetches > 0) {
        per_step("exposed_ns_per_step", "exposed a step", FigureUnit::kNs, x.transfer.exposed_ns,
                 y.transfer.exposed_ns);
        per_step("rows_fetched_per_step", "rows fetched a step", FigureUnit::kCount, x.rows_fetched,
                 y.rows_fetched);
        per_step("fetch_bytes_per_step", "fetched a step", FigureUnit::kBytes, x.fetch_bytes,
                 y.fetch_bytes);
    }
    plain("kv_pool_peak_bytes", "KV pool (peak)", FigureUnit::kBytes, x.kv_pool_peak_bytes,
          y.kv_pool_peak_bytes);
    plain("host_tier_bytes", "host tier", FigureUnit::kBytes, x.host_tier_bytes, y.host_tier_bytes);
    return result;
}

std::vector<SettingDifference> compare_settings(const RunSummary& a, const RunSummary& b) {
    std::vector<SettingDifference> result;
    const auto add = [&](const std::string& what, const std::string& in_a,
                         const std::string& in_b) {
        if (in_a != in_b) result.push_back({what, in_a, in_b});
    };
    // Two files of one name are told apart by their hashes alone.
    if (a.run.model_hash != b.run.model_hash) {
        const bool named = a.run.model_name != b.run.model_name;
        result.push_back({named ? "model" : "model hash",
                          named ? a.run.model_name : a.run.model_hash,
                          named ? b.run.model_name : b.run.model_hash});
    }
    add("origin", std::string(trace::origin_name(a.run.origin)),
        std::string(trace::origin_name(b.run.origin)));
    add("prompt tokens", std::to_string(a.run.prompt_tokens), std::to_string(b.run.prompt_tokens));
    add("batch", std::to_string(a.run.batch), std::to_string(b.run.batch));
    add("backend", a.run.backend, b.run.backend);
    add("machine", a.machine, b.machine);
    return result;
}

}  // namespace

std::string_view verdict_name(Verdict verdict) {
    switch (verdict) {
        case Verdict::kFaster:
            return "faster";
        case Verdict::kSlower:
            return "slower";
        case Verdict::kNone:
            break;
        case Verdict::kOnlyA:
            return "only in A";
        case Verdict::kOnlyB:
            return "only in B";
    }
    return "no difference that can be told";
}

std::optional<double> TimeDifference::relative(double value) const {
    if (count_a == 0 || count_b == 0 || median_a <= 0) return std::nullopt;
    return value / median_a;
}

TimeDifference compare_medians(std::span<const double> a, std::span<const double> b) {
    const std::vector<double> sorted_a = sorted_copy(a);
    const std::vector<double> sorted_b = sorted_copy(b);
    TimeDifference d;
    d.count_a = a.size();
    d.count_b = b.size();
    d.median_a = median_of_sorted(sorted_a);
    d.median_b = median_of_sorted(sorted_b);
    d.difference = d.median_b - d.median_a;
    if (std::min(a.size(), b.size()) >= kSamplesMin) {
        d.interval = bootstrap_interval(sorted_a, sorted_b);
    }
    d.verdict = verdict_of(d);
    return d;
}

RunSummary summarise(const RunData& data) {
    RunSummary summary;
    summary.run = data.run;
    summary.machine = data.machine.name;
    summary.metrics = run_metrics(data, nullptr);
    for (std::size_t i = 0; i < data.steps.size(); ++i) {
        if (data.steps.phase[i] != Phase::kDecode) continue;
        summary.step_ns.push_back(
            static_cast<double>(data.steps.end_ns[i] - data.steps.start_ns[i]));
    }
    StepIndex steps(data.steps);
    const trace::Ops& ops = data.ops;
    std::array<std::int64_t, kKinds> total{};
    std::array<bool, kKinds> occurs{};
    const auto close_step = [&] {
        for (std::size_t kind = 0; kind < kKinds; ++kind) {
            if (occurs[kind]) summary.kind_ns[kind].push_back(static_cast<double>(total[kind]));
        }
        total.fill(0);
        occurs.fill(false);
    };
    for (std::size_t i = 0; i < ops.size(); ++i) {
        if (i > 0 && ops.step[i] != ops.step[i - 1]) close_step();  // operations ascend by step
        const std::optional<std::size_t> step = steps.find(ops.step[i]);
        const auto kind = static_cast<std::size_t>(ops.kind[i]);
        if (!step || data.steps.phase[*step] != Phase::kDecode || kind >= kKinds) continue;
        add_wrapping(total[kind], ops.end_ns[i] - ops.start_ns[i]);
        occurs[kind] = true;
    }
    close_step();
    return summary;
}

Comparison compare_runs(const RunSummary& a, const RunSummary& b) {
    Comparison comparison;
    comparison.settings = compare_settings(a, b);
    comparison.step = compare_medians(a.step_ns, b.step_ns);
    comparison.by_kind = compare_kinds(a, b);
    comparison.figures = compare_figures(a, b);
    return comparison;
}

}  // namespace hc::analysis
