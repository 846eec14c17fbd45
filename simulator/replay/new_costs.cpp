#include "simulator/replay/new_costs.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "engine/core/error.h"

namespace hc::sim {
namespace {

constexpr std::int64_t kLongestNs = std::int64_t{3'600} * 1'000'000'000;

/// int8 products: the matrices with weights (fp32 precision has none).
bool has_weights(OpKind kind) {
    return kind == OpKind::kQkv || kind == OpKind::kAttnOut || kind == OpKind::kMlp ||
           kind == OpKind::kLmHead;
}

}  // namespace

std::int64_t scaled(std::int64_t value, double factor) {
    constexpr double kMost = 4e18;  // a broken file must not overflow
    return factor == 1 ? value : std::llround(std::min(kMost, static_cast<double>(value) * factor));
}

NewCosts::NewCosts(const TimelineInput& input)
    : in_(input),
      donors_(input.source, input.donor),
      reduced_(input.source.parameters.precision == "fast") {}

void NewCosts::doubt(OpKind kind, double changed_ns) {
    const LinearFit* fit = in_.costs.find(kind);
    doubt_ns_ += changed_ns * (fit == nullptr ? 1.0 : fit->residual_median);
}

/// Scales sizes and time of an operation from `old_rows` to op.rows.
std::int64_t NewCosts::resize(NewOp& op, std::int64_t old_rows, std::int64_t work_ns) {
    if (op.rows == old_rows || old_rows <= 0) return work_ns;
    const double factor = static_cast<double>(op.rows) / static_cast<double>(old_rows);
    op.bytes_read = scaled(op.bytes_read, factor);
    op.bytes_written =
        op.kind == OpKind::kAttention ? op.bytes_written : scaled(op.bytes_written, factor);
    op.flops = scaled(op.flops, factor);
    const std::int64_t now = in_.costs.rescale(op.kind, work_ns, static_cast<double>(old_rows),
                                               static_cast<double>(op.rows));
    doubt(op.kind, static_cast<double>(std::abs(now - work_ns)));
    return now;
}

std::int64_t NewCosts::attention(NewOp& op, std::int64_t work_ns, std::int32_t batch) {
    const auto layer = static_cast<std::size_t>(op.layer);
    if (op.layer < 0 || op.rows <= 0 || layer >= in_.attention_rows_delta.size()) return work_ns;
    const std::int64_t old_rows = op.rows;
    op.rows = std::max<std::int64_t>(1, op.rows + batch * in_.attention_rows_delta[layer]);
    if (op.rows != old_rows) {
        attention_rows_min_ = std::min(attention_rows_min_, op.rows);
        attention_rows_max_ = std::max(attention_rows_max_, op.rows);
    }
    return resize(op, old_rows, work_ns);
}

std::int64_t NewCosts::drift(NewOp& op, std::int64_t work_ns, bool same) {
    const std::int64_t old_rows = op.rows;
    op.rows = scaled(op.rows, in_.window_scale * in_.prompt_scale);
    const std::int64_t work = resize(op, old_rows, work_ns);
    if (!same) doubt(op.kind, static_cast<double>(work));
    return work;
}

NewCosts::Fetch NewCosts::fetch(const FetchDecision& decision, std::size_t id) const {
    Fetch cost;
    cost.rows = scaled(decision.rows_fetched, in_.prompt_scale);
    cost.bytes = cost.rows * in_.row_bytes;
    const RecordedFetch* own = donors_.same_fetch(decision);
    const RecordedFetch* donor = own != nullptr ? own : donors_.fetch(id);
    if (donor != nullptr) {
        cost.work_ns =
            in_.costs.rescale(OpKind::kFetch, donor->work_ns, static_cast<double>(donor->rows),
                              static_cast<double>(cost.rows));
        cost.latency_ns = donor->latency_ns;
        cost.submit_ns = donor->submit_ns;
    } else {
        cost.work_ns =
            std::llround(in_.costs.require(OpKind::kFetch).at(static_cast<double>(cost.rows)));
    }
    return cost;
}

NewCosts::Commit NewCosts::commit(const FetchDecision& decision, std::size_t id) {
    const std::int64_t rows = scaled(decision.rows_fetched, in_.prompt_scale);
    const RecordedFetch* own = donors_.same_fetch(decision);
    if (own != nullptr && !own->committed) own = nullptr;
    const RecordedFetch* donor = own != nullptr ? own : donors_.commit(id);
    Commit cost;
    if (donor != nullptr) {
        cost.gap_ns = donor->commit_gap_ns;
        cost.work_ns =
            in_.costs.rescale(OpKind::kCommit, donor->commit_work_ns,
                              static_cast<double>(donor->rows), static_cast<double>(rows));
    } else {
        cost.work_ns =
            std::llround(in_.costs.require(OpKind::kCommit).at(static_cast<double>(rows)));
    }
    if (own == nullptr || own->rows != rows) {
        doubt(OpKind::kCommit, static_cast<double>(cost.work_ns));
    }
    return cost;
}

std::int64_t NewCosts::on_machine(const NewOp& op, std::int64_t work_ns) const {
    if (in_.machine != nullptr) {
        const LinearFit* fit = depends_on_rows(op.kind) ? in_.costs.find(op.kind) : nullptr;
        const OpWork work{op.kind, static_cast<double>(op.bytes_read + op.bytes_written),
                          static_cast<double>(op.flops)};
        work_ns = in_.machine->rescale(work, work_ns, fit ? fit->floor_ns : 0.0,
                                       reduced_ && has_weights(op.kind));
    }
    if (work_ns > kLongestNs) {
        throw_refused(fmt::format("a '{}' operation would take {:.0f} s: too long to be true",
                                  op_kind_name(op.kind), static_cast<double>(work_ns) * 1e-9));
    }
    return work_ns;
}

}  // namespace hc::sim
