#include <algorithm>
#include <array>
#include <cmath>
#include <set>

#include "profiler/analysis/metrics.h"
#include "profiler/analysis/step_index.h"
#include "profiler/analysis/sums.h"

namespace hc::analysis {
namespace {

using trace::RunData;

void add_steps(const RunData& data, RunMetrics& metrics) {
    std::vector<double> decode;
    std::int64_t tokens = 0;
    for (std::size_t i = 0; i < data.steps.size(); ++i) {
        const std::int64_t duration = data.steps.end_ns[i] - data.steps.start_ns[i];
        if (data.steps.phase[i] == Phase::kPrefill) {
            add_wrapping(metrics.prefill_ns, duration);
        } else {
            decode.push_back(static_cast<double>(duration));
            tokens += data.steps.batch[i];
        }
    }
    metrics.step_ns = distribution(std::move(decode));
    if (metrics.step_ns.sum > 0) {
        metrics.tokens_per_s = static_cast<double>(tokens) / (metrics.step_ns.sum * 1e-9);
    }
}

void add_retrieval(const RunData& data, RunMetrics& metrics) {
    metrics.checks = static_cast<std::int64_t>(data.drift.size());
    for (const DriftRecord& check : data.drift) metrics.triggers += check.triggered ? 1 : 0;
    metrics.fetches = static_cast<std::int64_t>(data.fetches.size());
    for (const FetchRecord& fetch : data.fetches) {
        metrics.superseded += fetch.superseded ? 1 : 0;
        add_wrapping(metrics.rows_wanted, fetch.rows_wanted);
        add_wrapping(metrics.rows_fetched, fetch.rows_fetched);
        add_wrapping(metrics.fetch_bytes, fetch.bytes);
    }
}

void add_memory(const RunData& data, RunMetrics& metrics) {
    for (const MemoryRecord& m : data.memory) {
        metrics.kv_pool_peak_bytes = std::max(metrics.kv_pool_peak_bytes, m.pool_used_bytes);
        metrics.host_tier_bytes = std::max(metrics.host_tier_bytes, m.host_tier_bytes);
        metrics.process_peak_bytes = std::max(metrics.process_peak_bytes, m.process_peak_bytes);
    }
}

void add_quality(const RunData& data, RunMetrics& metrics) {
    std::vector<double> kl;
    std::int64_t compared = 0;
    std::int64_t equal = 0;
    std::int64_t forced = 0;
    double nll = 0;
    for (const TokenRecord& token : data.tokens) {
        if (token.kl_nats) kl.push_back(*token.kl_nats);
        if (token.top1_equal) {
            ++compared;
            equal += *token.top1_equal ? 1 : 0;
        }
        if (token.nll_nats) {
            ++forced;
            nll += *token.nll_nats;
        }
    }
    if (!kl.empty()) metrics.kl_nats = distribution(std::move(kl));
    if (compared > 0) {
        metrics.top1_equal = static_cast<double>(equal) / static_cast<double>(compared);
    }
    if (forced > 0) metrics.perplexity = std::exp(nll / static_cast<double>(forced));
}

std::vector<OpKindTotal> totals_by_kind(const RunData& data) {
    constexpr auto kKinds = static_cast<std::size_t>(OpKind::kCount);
    std::array<OpKindTotal, kKinds> totals{};
    std::array<std::vector<double>, kKinds> durations;
    StepIndex steps(data.steps);
    const trace::Ops& ops = data.ops;
    for (std::size_t i = 0; i < ops.size(); ++i) {
        const std::optional<std::size_t> step = steps.find(ops.step[i]);
        const auto kind = static_cast<std::size_t>(ops.kind[i]);
        if (!step || data.steps.phase[*step] != Phase::kDecode || kind >= kKinds) continue;
        OpKindTotal& total = totals[kind];
        const std::int64_t duration = ops.end_ns[i] - ops.start_ns[i];
        total.count += 1;
        add_wrapping(total.total_ns, duration);
        add_wrapping(total.bytes, ops.bytes_read[i]);
        add_wrapping(total.bytes, ops.bytes_written[i]);
        add_wrapping(total.flops, ops.flops[i]);
        durations[kind].push_back(static_cast<double>(duration));
    }
    std::vector<OpKindTotal> result;
    for (std::size_t kind = 0; kind < kKinds; ++kind) {
        if (totals[kind].count == 0) continue;
        totals[kind].kind = static_cast<OpKind>(kind);
        totals[kind].median_ns = median_in_place(durations[kind]);
        result.push_back(totals[kind]);
    }
    std::stable_sort(result.begin(), result.end(), [](const OpKindTotal& a, const OpKindTotal& b) {
        return a.total_ns > b.total_ns;
    });
    return result;
}

/// Mean over compressed heads and recorded steps. Full heads hold everything and would only
/// dilute it.
std::optional<RecallInterval> mean_recall(const RunData& data, const RunData* attention) {
    if (data.run.policy == "fullkv") return RecallInterval{1, 1};
    if (attention == nullptr || attention->run.prompt_tokens != data.run.prompt_tokens) {
        return std::nullopt;
    }
    std::set<HeadId> full;
    for (const HeadRecord& head : data.heads) {
        if (is_full(head.role)) full.insert({head.layer, head.head});
    }
    RecallInterval sum;
    std::int64_t count = 0;
    for (const trace::RecallRecord& record : run_recall(data, *attention)) {
        if (full.contains({record.layer, record.head})) continue;
        sum.low += record.low;
        sum.high += record.high;
        ++count;
    }
    if (count == 0) return std::nullopt;
    return RecallInterval{sum.low / static_cast<double>(count),
                          sum.high / static_cast<double>(count)};
}

}  // namespace

RunMetrics run_metrics(const RunData& data, const RunData* attention) {
    RunMetrics metrics;
    metrics.run = data.run.id;
    metrics.commit_lag = data.run.commit_lag;
    add_steps(data, metrics);
    metrics.transfer = transfer_metrics(data);
    add_retrieval(data, metrics);
    add_memory(data, metrics);
    add_quality(data, metrics);
    metrics.recall = mean_recall(data, attention);
    metrics.by_kind = totals_by_kind(data);
    return metrics;
}

}  // namespace hc::analysis
