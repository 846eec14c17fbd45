#include "simulator/cost/op_costs.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <unordered_map>

#include "engine/core/error.h"
#include "simulator/cost/transfers.h"

namespace hc::sim {
namespace {

/// An operation counts as alone below this overlapped share, as disturbed above the other.
constexpr double kAloneShare = 0.01;
constexpr double kDisturbedShare = 0.5;
constexpr std::size_t kLeastDisturbed = 20;
/// A larger factor than this is noise of a few operations, not contention for bandwidth.
constexpr double kLargestInterference = 3.0;

using KindSamples = std::array<std::vector<Sample>, static_cast<std::size_t>(OpKind::kCount)>;

double median_of(std::vector<double>& values) {
    const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
    std::nth_element(values.begin(), middle, values.end());
    return *middle;
}

struct DecodeOp {
    OpKind kind{};
    std::int32_t layer = 0;
    double size = 0;
    std::int64_t rows = 0;
    double time_ns = 0;  // without waiting
    double share = 0;    // of it beside a transfer
};

std::vector<DecodeOp> decode_ops(const trace::RunData& run) {
    std::unordered_map<std::int64_t, bool> decode;
    for (std::size_t i = 0; i < run.steps.size(); ++i) {
        decode[run.steps.step[i]] = run.steps.phase[i] == Phase::kDecode;
    }
    const std::vector<std::int64_t> blocked = blocked_ns(run);
    const TransferTimes transfers(run);
    std::vector<DecodeOp> ops;
    for (std::size_t i = 0; i < run.ops.size(); ++i) {
        const OpKind kind = run.ops.kind[i];
        if (kind >= OpKind::kCount) continue;
        const auto step = decode.find(run.ops.step[i]);
        if (!is_transfer(kind) && (step == decode.end() || !step->second)) continue;
        const std::int64_t start = run.ops.start_ns[i] + blocked[i];
        const std::int64_t end = run.ops.end_ns[i];
        if (end <= start) continue;
        const auto time = static_cast<double>(end - start);
        const bool own = is_transfer(kind);
        ops.push_back({kind, run.ops.layer[i],
                       depends_on_rows(kind) ? static_cast<double>(run.ops.rows[i]) : 0.0,
                       run.ops.rows[i], time,
                       own ? 0.0 : static_cast<double>(transfers.beside(start, end)) / time});
    }
    return ops;
}

bool is_dense(OpKind kind) {
    return kind == OpKind::kQkv || kind == OpKind::kAttnOut || kind == OpKind::kMlp ||
           kind == OpKind::kLmHead;
}

/// How much slower the machine was in `ops` than in `reference`: by the matrix products, which
/// are the same in both where they have as many tokens. Other programs and the clock change between
/// runs; the line through several runs must not take that for a matter of rows.
double slowness(const std::vector<DecodeOp>& ops, const std::vector<DecodeOp>& reference) {
    const auto medians = [](const std::vector<DecodeOp>& from) {
        std::map<std::pair<OpKind, std::int64_t>, std::vector<double>> times;
        for (const DecodeOp& op : from) {
            if (!is_dense(op.kind) || op.share >= kAloneShare) continue;
            times[{op.kind, op.rows}].push_back(op.time_ns);
        }
        std::map<std::pair<OpKind, std::int64_t>, double> result;
        for (auto& [kind, values] : times) result[kind] = median_of(values);
        return result;
    };
    const auto ours = medians(ops);
    double sum = 0;
    double reference_sum = 0;
    for (const auto& [kind, time] : medians(reference)) {
        const auto found = ours.find(kind);
        if (found == ours.end()) continue;
        sum += found->second;
        reference_sum += time;
    }
    return sum > 0 && reference_sum > 0 ? sum / reference_sum : 1.0;
}

/// Appends (time / alone - 1) / share of every disturbed operation.
void add_interference(const std::vector<DecodeOp>& ops, std::vector<double>& factors) {
    std::map<std::pair<OpKind, std::int32_t>, std::vector<double>> alone;
    for (const DecodeOp& op : ops) {
        if (op.share < kAloneShare) alone[{op.kind, op.layer}].push_back(op.time_ns);
    }
    std::map<std::pair<OpKind, std::int32_t>, double> medians;
    for (auto& [key, times] : alone) medians[key] = median_of(times);
    for (const DecodeOp& op : ops) {
        if (op.share < kDisturbedShare || op.kind == OpKind::kCommit) continue;
        const auto found = medians.find({op.kind, op.layer});
        if (found != medians.end()) factors.push_back((op.time_ns / found->second - 1) / op.share);
    }
}

}  // namespace

std::vector<std::int64_t> blocked_ns(const trace::RunData& run) {
    struct Wait {
        std::int64_t exposed_ns = 0;
        std::int64_t transfer_end_ns = std::numeric_limits<std::int64_t>::min();
    };
    std::unordered_map<std::int64_t, Wait> by_op;
    for (const FetchRecord& fetch : run.fetches) {
        if (fetch.commit_op < 0 || fetch.exposed_ns <= 0) continue;
        Wait& wait = by_op[fetch.commit_op];
        wait.exposed_ns += fetch.exposed_ns;
        wait.transfer_end_ns = std::max(wait.transfer_end_ns, fetch.end_ns);
    }
    std::vector<std::int64_t> blocked(run.ops.size(), 0);
    if (by_op.empty()) return blocked;
    for (std::size_t i = 0; i < run.ops.size(); ++i) {
        const auto found = by_op.find(run.ops.op_id[i]);
        if (found == by_op.end() || run.ops.kind[i] != OpKind::kCommit) continue;
        // A stream on a device waits before its commit, a thread inside it.
        const std::int64_t start = run.ops.start_ns[i];
        if (found->second.transfer_end_ns <= start) continue;
        blocked[i] = std::min(found->second.exposed_ns,
                              std::max<std::int64_t>(0, run.ops.end_ns[i] - start));
    }
    return blocked;
}

OpCosts::OpCosts(std::span<const trace::RunData* const> runs) {
    KindSamples alone;
    KindSamples all;
    KindSamples tokens;
    std::vector<double> factors;
    std::vector<DecodeOp> reference;
    for (const trace::RunData* run : runs) {
        std::vector<DecodeOp> ops = decode_ops(*run);
        add_interference(ops, factors);
        const double speed = reference.empty() ? 1.0 : 1.0 / slowness(ops, reference);
        for (const DecodeOp& op : ops) {
            const auto kind = static_cast<std::size_t>(op.kind);
            all[kind].push_back({op.size, op.time_ns * speed});
            if (op.share >= kAloneShare) continue;
            alone[kind].push_back({op.size, op.time_ns * speed});
            if (!depends_on_rows(op.kind) && op.rows > 0) {
                tokens[kind].push_back({static_cast<double>(op.rows), op.time_ns * speed});
            }
        }
        if (reference.empty()) reference = std::move(ops);
    }
    for (std::size_t kind = 0; kind < fits_.size(); ++kind) {
        if (all[kind].empty()) continue;
        // Disturbed ones only where there is little else.
        const bool enough = alone[kind].size() * 4 >= all[kind].size();
        fits_[kind] = fit_line(std::move(enough ? alone[kind] : all[kind]));
    }
    for (std::size_t kind = 0; kind < token_fits_.size(); ++kind) {
        if (tokens[kind].empty()) continue;
        LinearFit fit = fit_line(std::move(tokens[kind]));
        // One batch size says nothing of another.
        if (fit.kind == FitKind::kLine) token_fits_[kind] = fit;
    }
    if (factors.size() >= kLeastDisturbed) {
        interference_ = std::clamp(median_of(factors), 0.0, kLargestInterference);
    }
}

const LinearFit* OpCosts::find(OpKind kind) const {
    const auto& fit = fits_[static_cast<std::size_t>(kind)];
    return fit ? &*fit : nullptr;
}

const LinearFit& OpCosts::require(OpKind kind) const {
    const LinearFit* fit = find(kind);
    if (fit == nullptr) {
        throw_refused(
            fmt::format("no recorded '{}' operation to take its cost from: record a "
                        "heterocache run whose checks trigger in the same trace",
                        op_kind_name(kind)));
    }
    return *fit;
}

std::int64_t OpCosts::rescale(OpKind kind, std::int64_t recorded_ns, double old_size,
                              double new_size) const {
    if (old_size == new_size || recorded_ns <= 0) return recorded_ns;
    const LinearFit& fit = require(kind);
    const double old_ns = fit.at(old_size);
    if (!(old_ns > 0)) return recorded_ns;
    // A broken file must not overflow.
    return std::llround(
        std::min(4e18, static_cast<double>(recorded_ns) * fit.at(new_size) / old_ns));
}

const LinearFit* OpCosts::find_tokens(OpKind kind) const {
    const auto& fit = token_fits_[static_cast<std::size_t>(kind)];
    return fit ? &*fit : nullptr;
}

std::int64_t OpCosts::rescale_tokens(OpKind kind, std::int64_t recorded_ns, double old_tokens,
                                     double new_tokens) const {
    if (old_tokens == new_tokens || recorded_ns <= 0) return recorded_ns;
    const LinearFit* fit = find_tokens(kind);
    if (fit == nullptr) {
        throw_refused(fmt::format(
            "'{}' was recorded at one batch size only, so there are no data for another: record a "
            "run of another batch, in this trace or in one named by --costs-from",
            op_kind_name(kind)));
    }
    const double old_ns = fit->at(old_tokens);
    if (!(old_ns > 0)) return recorded_ns;
    return std::llround(
        std::min(4e18, static_cast<double>(recorded_ns) * fit->at(new_tokens) / old_ns));
}

}  // namespace hc::sim
