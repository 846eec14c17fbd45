#include <algorithm>
#include <cmath>
#include <numeric>

#include "engine/core/error.h"
#include "profiler/analysis/bootstrap.h"
#include "profiler/analysis/compare.h"
#include "profiler/analysis/step_index.h"
#include "profiler/analysis/sums.h"
#include "profiler/analysis/welch.h"

namespace hc::analysis {
namespace {

using trace::RunData;

constexpr auto kKinds = static_cast<std::size_t>(OpKind::kCount);

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

/// What can be said without a test.
Verdict presence_of(const TimeDifference& d) {
    if (d.count_a == 0 && d.count_b == 0) return Verdict::kNone;
    if (d.count_b == 0) return Verdict::kOnlyA;
    if (d.count_a == 0) return Verdict::kOnlyB;
    return Verdict::kNone;
}

Verdict verdict_of(const TimeDifference& d) {
    const Verdict presence = presence_of(d);
    if (presence != Verdict::kNone || !d.interval) return presence;
    if (d.basis == Basis::kWithin) {
        const bool excludes_zero = d.interval->high < 0 || d.interval->low > 0;
        return excludes_zero ? Verdict::kDiffers : Verdict::kNone;
    }
    if (d.p_adjusted.value_or(1) > kSignificance) return Verdict::kNone;
    return d.difference < 0 ? Verdict::kFaster : Verdict::kSlower;
}

double mean_of(std::span<const double> values) {
    if (values.empty()) return 0;
    return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

double mean_per_step(std::span<const RunSummary> runs, std::size_t kind) {
    std::vector<double> means;
    for (const RunSummary& run : runs) {
        if (run.step_ns.empty()) continue;
        const std::vector<double>& times = run.kind_ns[kind];
        means.push_back(std::accumulate(times.begin(), times.end(), 0.0) /
                        static_cast<double>(run.step_ns.size()));
    }
    return mean_of(means);
}

/// One span a recording.
template <typename Select>
std::vector<std::span<const double>> values_of(std::span<const RunSummary> runs, Select&& select) {
    std::vector<std::span<const double>> values;
    for (const RunSummary& run : runs) values.emplace_back(select(run));
    return values;
}

std::vector<KindDifference> compare_kinds(std::span<const RunSummary> a,
                                          std::span<const RunSummary> b) {
    std::vector<KindDifference> result;
    for (std::size_t kind = 0; kind < kKinds; ++kind) {
        const auto of_kind = [kind](const RunSummary& run) -> const std::vector<double>& {
            return run.kind_ns[kind];
        };
        KindDifference difference{static_cast<OpKind>(kind),
                                  compare_recordings(values_of(a, of_kind), values_of(b, of_kind)),
                                  mean_per_step(a, kind), mean_per_step(b, kind)};
        if (difference.time.count_a + difference.time.count_b == 0) continue;
        result.push_back(difference);
    }
    std::vector<TimeDifference*> rows;
    for (KindDifference& difference : result) rows.push_back(&difference.time);
    correct_for_many(rows);
    std::stable_sort(result.begin(), result.end(),
                     [](const KindDifference& x, const KindDifference& y) {
                         return std::abs(x.time.difference) > std::abs(y.time.difference);
                     });
    return result;
}

/// The figures of one recording; nullopt where it has none.
struct FigureSource {
    std::string_view name, title;
    FigureUnit unit;
    std::optional<double> (*value)(const RunSummary&);
};

std::optional<double> positive(std::int64_t value) {
    return value == 0 ? std::nullopt : std::optional(static_cast<double>(value));
}

std::optional<double> per_step(const RunSummary& run, std::int64_t value, bool known) {
    if (!known || run.step_ns.empty()) return std::nullopt;
    return static_cast<double>(value) / static_cast<double>(run.step_ns.size());
}

constexpr FigureSource kFigures[] = {
    {"prefill_ns", "prefill", FigureUnit::kNs,
     [](const RunSummary& r) { return positive(r.metrics.prefill_ns); }},
    {"hiding", "I/O hiding", FigureUnit::kShare,
     [](const RunSummary& r) { return r.metrics.transfer.hiding; }},
    {"triggers_per_step", "triggers a step", FigureUnit::kCount,
     [](const RunSummary& r) { return per_step(r, r.metrics.triggers, r.metrics.checks > 0); }},
    {"exposed_ns_per_step", "exposed a step", FigureUnit::kNs,
     [](const RunSummary& r) {
         return per_step(r, r.metrics.transfer.exposed_ns, r.metrics.fetches > 0);
     }},
    {"rows_fetched_per_step", "rows fetched a step", FigureUnit::kCount,
     [](const RunSummary& r) {
         return per_step(r, r.metrics.rows_fetched, r.metrics.fetches > 0);
     }},
    {"fetch_bytes_per_step", "fetched a step", FigureUnit::kBytes,
     [](const RunSummary& r) { return per_step(r, r.metrics.fetch_bytes, r.metrics.fetches > 0); }},
    {"kv_pool_peak_bytes", "KV pool (peak)", FigureUnit::kBytes,
     [](const RunSummary& r) { return positive(r.metrics.kv_pool_peak_bytes); }},
    {"host_tier_bytes", "host tier", FigureUnit::kBytes,
     [](const RunSummary& r) { return positive(r.metrics.host_tier_bytes); }},
};

std::vector<FigureDifference> compare_figures(std::span<const RunSummary> a,
                                              std::span<const RunSummary> b) {
    std::vector<FigureDifference> result;
    for (const FigureSource& source : kFigures) {
        const auto values = [&](std::span<const RunSummary> runs) {
            std::vector<double> known;
            for (const RunSummary& run : runs) {
                if (const std::optional<double> value = source.value(run)) known.push_back(*value);
            }
            return known;
        };
        const std::vector<double> of_a = values(a);
        const std::vector<double> of_b = values(b);
        if (of_a.size() != a.size() || of_b.size() != b.size()) continue;
        result.push_back(compare_figure(source.name, source.title, source.unit, of_a, of_b));
    }
    correct_for_many(result);
    return result;
}

void add_settings(const RunSummary& a, const RunSummary& b,
                  std::vector<SettingDifference>& result) {
    const auto add = [&](const std::string& what, const std::string& in_a,
                         const std::string& in_b) {
        const bool said = std::any_of(result.begin(), result.end(),
                                      [&](const SettingDifference& s) { return s.what == what; });
        if (in_a != in_b && !said) result.push_back({what, in_a, in_b});
    };
    // Two files of one name are told apart by their hashes alone.
    if (a.run.model_hash != b.run.model_hash) {
        const bool named = a.run.model_name != b.run.model_name;
        add(named ? "model" : "model hash", named ? a.run.model_name : a.run.model_hash,
            named ? b.run.model_name : b.run.model_hash);
    }
    add("origin", std::string(trace::origin_name(a.run.origin)),
        std::string(trace::origin_name(b.run.origin)));
    add("prompt tokens", std::to_string(a.run.prompt_tokens), std::to_string(b.run.prompt_tokens));
    add("batch", std::to_string(a.run.batch), std::to_string(b.run.batch));
    add("backend", a.run.backend, b.run.backend);
    add("machine", a.machine, b.machine);
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
        case Verdict::kDiffers:
            return "differs within these two recordings";
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
    d.recordings_a = a.empty() ? 0 : 1;
    d.recordings_b = b.empty() ? 0 : 1;
    d.count_a = a.size();
    d.count_b = b.size();
    d.median_a = median_of_sorted(sorted_a);
    d.median_b = median_of_sorted(sorted_b);
    d.difference = d.median_b - d.median_a;
    if (std::min(a.size(), b.size()) >= kSamplesMin) {
        d.interval = bootstrap_interval(sorted_a, sorted_b);
        d.basis = Basis::kWithin;
    }
    d.verdict = verdict_of(d);
    return d;
}

TimeDifference compare_recordings(std::span<const double> medians_a,
                                  std::span<const double> medians_b) {
    TimeDifference d;
    d.recordings_a = d.count_a = medians_a.size();
    d.recordings_b = d.count_b = medians_b.size();
    d.median_a = mean_of(medians_a);
    d.median_b = mean_of(medians_b);
    d.difference = d.median_b - d.median_a;
    if (const std::optional<WelchResult> welch = welch_test(medians_a, medians_b)) {
        d.interval = Bounds{welch->low, welch->high};
        d.basis = Basis::kBetween;
        d.p = d.p_adjusted = welch->p;
    }
    d.verdict = verdict_of(d);
    return d;
}

TimeDifference compare_recordings(std::span<const std::span<const double>> a,
                                  std::span<const std::span<const double>> b) {
    if (a.size() == 1 && b.size() == 1) return compare_medians(a.front(), b.front());
    std::size_t count_a = 0;
    std::size_t count_b = 0;
    const auto medians = [](std::span<const std::span<const double>> recordings,
                            std::size_t& count) {
        std::vector<double> result;
        for (const std::span<const double> values : recordings) {
            if (values.empty()) continue;
            count += values.size();
            result.push_back(median_of_sorted(sorted_copy(values)));
        }
        return result;
    };
    TimeDifference d = compare_recordings(medians(a, count_a), medians(b, count_b));
    d.count_a = count_a;
    d.count_b = count_b;
    return d;
}

void correct_for_many(std::span<TimeDifference* const> rows) {
    std::vector<double> p;
    for (const TimeDifference* row : rows) {
        if (row->p) p.push_back(*row->p);
    }
    const std::vector<double> adjusted = holm_adjusted(p);
    std::size_t next = 0;
    for (TimeDifference* row : rows) {
        if (!row->p) continue;
        row->p_adjusted = adjusted[next++];
        row->verdict = verdict_of(*row);
    }
}

FigureDifference compare_figure(std::string_view name, std::string_view title, FigureUnit unit,
                                std::span<const double> a, std::span<const double> b) {
    FigureDifference f{name, title, unit, mean_of(a), mean_of(b), {}, {}, false};
    if (const std::optional<WelchResult> welch = welch_test(a, b)) {
        f.interval = Bounds{welch->low, welch->high};
        f.p_adjusted = welch->p;
    }
    return f;
}

void correct_for_many(std::vector<FigureDifference>& figures) {
    std::vector<double> p;
    for (const FigureDifference& f : figures) {
        if (f.p_adjusted) p.push_back(*f.p_adjusted);
    }
    const std::vector<double> adjusted = holm_adjusted(p);
    std::size_t next = 0;
    for (FigureDifference& f : figures) {
        if (!f.p_adjusted) continue;
        f.p_adjusted = adjusted[next++];
        f.told = *f.p_adjusted <= kSignificance;
    }
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

Comparison compare_runs(std::span<const RunSummary> a, std::span<const RunSummary> b) {
    HC_CHECK(!a.empty() && !b.empty());
    Comparison comparison;
    for (const RunSummary& run : b) add_settings(a.front(), run, comparison.settings);
    for (const RunSummary& run : a) add_settings(a.front(), run, comparison.settings);
    const auto steps = [](const RunSummary& run) -> const std::vector<double>& {
        return run.step_ns;
    };
    comparison.step = compare_recordings(values_of(a, steps), values_of(b, steps));
    comparison.by_kind = compare_kinds(a, b);
    comparison.figures = compare_figures(a, b);
    return comparison;
}

}  // namespace hc::analysis
