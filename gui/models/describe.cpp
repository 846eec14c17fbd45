#include "gui/models/describe.h"

#include <algorithm>
#include <array>
#include <bit>

#include "gui/models/flow.h"
#include "gui/models/ticks.h"

namespace hc::gui {
namespace {

QString percent(double share) {
    return QString::number(share * 100, 'f', 1) + " %";
}

double duration_of(const RunView& view, const EventRef& event) {
    return static_cast<double>(view.lanes.lanes[event.lane].events.duration(event.index));
}

QString name_of(const RunView& view, const EventRef& event) {
    return view.lanes.names[view.lanes.lanes[event.lane].events.name(event.index)].text;
}

void add_rate(Facts& facts, double bytes, double ns) {
    if (bytes > 0 && ns > 0) {
        facts.push_back({"rate", QString::number(bytes / ns, 'f', 2) + " GB/s"});
    }
}

Facts step_facts_of(const RunView& view, std::size_t row) {
    const trace::Steps& steps = view.data.steps;
    const StepFacts& step = view.facts[row];
    const auto duration = static_cast<double>(steps.end_ns[row] - steps.start_ns[row]);
    Facts facts;
    const bool prefill = steps.phase[row] == Phase::kPrefill;
    facts.push_back({"phase", prefill ? "prefill" : "decode"});
    facts.push_back({"duration", format_duration(duration)});
    if (!prefill && view.metrics.step_ns.median > 0) {
        facts.push_back(
            {"against the median", QString::number(duration / view.metrics.step_ns.median, 'f', 2) +
                                       (step.slow ? " \u00d7 (slow)" : " \u00d7")});
    }
    facts.push_back({"drift checks", format_count(step.checks)});
    facts.push_back({"triggers", format_count(step.triggers)});
    for (const TokenRecord& token : view.data.tokens) {
        if (token.step != steps.step[row] || token.sequence != 0) continue;
        facts.push_back({"context", format_count(token.context_length) + " tokens"});
        if (token.kl_nats) {
            facts.push_back(
                {"KL to full attention", QString::number(*token.kl_nats, 'g', 3) + " nats"});
        }
    }
    return facts;
}

Facts op_facts(const RunView& view, std::size_t row) {
    const trace::Ops& ops = view.data.ops;
    const auto duration = static_cast<double>(ops.end_ns[row] - ops.start_ns[row]);
    const auto bytes =
        static_cast<double>(ops.bytes_read[row]) + static_cast<double>(ops.bytes_written[row]);
    Facts facts;
    facts.push_back({"step", format_count(ops.step[row])});
    if (ops.layer[row] >= 0) facts.push_back({"layer", format_count(ops.layer[row])});
    facts.push_back({"duration", format_duration(duration)});
    if (bytes > 0) {
        facts.push_back({"read", format_bytes(static_cast<double>(ops.bytes_read[row]))});
        facts.push_back({"written", format_bytes(static_cast<double>(ops.bytes_written[row]))});
    }
    // A transfer writes what it reads: its rate is that of the data, not of both ends.
    const bool transfer = is_transfer(ops.kind[row]);
    add_rate(facts, transfer ? static_cast<double>(ops.bytes_written[row]) : bytes, duration);
    if (ops.flops[row] > 0 && duration > 0) {
        facts.push_back(
            {"arithmetic",
             QString::number(static_cast<double>(ops.flops[row]) / duration, 'f', 1) + " GFLOP/s"});
    }
    if (ops.rows[row] > 0) facts.push_back({"rows", format_count(ops.rows[row])});
    return facts;
}

Facts check_facts(const RunView& view, std::size_t row) {
    const DriftRecord& check = view.data.drift[row];
    Facts facts;
    facts.push_back({"drift check", ""});
    facts.push_back({"pivot", QString("layer %1, head %2").arg(check.layer).arg(check.pivot)});
    facts.push_back({"median overlap", QString::number(check.median, 'f', 3)});
    facts.push_back({"threshold", QString::number(check.threshold, 'f', 3)});
    facts.push_back({"triggered", check.triggered ? "yes" : "no"});
    return facts;
}

Facts fetch_facts(const RunView& view, std::size_t row) {
    const FetchRecord& fetch = view.data.fetches[row];
    const auto transfer_ns = static_cast<double>(fetch.end_ns - fetch.start_ns);
    Facts facts;
    facts.push_back({QString("fetch %1").arg(fetch.id), ""});
    facts.push_back({"layer", format_count(fetch.layer)});
    facts.push_back({"rows fetched",
                     QString("%1 of %2")
                         .arg(format_count(fetch.rows_fetched), format_count(fetch.rows_wanted))});
    facts.push_back({"contiguous pieces", format_count(fetch.runs)});
    facts.push_back({"bytes", format_bytes(static_cast<double>(fetch.bytes))});
    facts.push_back(
        {"queued for", format_duration(static_cast<double>(fetch.start_ns - fetch.queued_ns))});
    facts.push_back({"transfer", format_duration(transfer_ns)});
    add_rate(facts, static_cast<double>(fetch.bytes), transfer_ns);
    facts.push_back({"due at step", format_count(fetch.due_step)});
    facts.push_back({"committed", fetch.committed_step >= 0
                                      ? "step " + format_count(fetch.committed_step)
                                  : fetch.superseded ? QString("no: superseded")
                                                     : QString("no: the run ended")});
    facts.push_back({"exposed", format_duration(static_cast<double>(fetch.exposed_ns))});
    return facts;
}

/// "3 x 1 x 1"
QString extent(const std::array<std::int32_t, 3>& sizes) {
    return QString("%1 \u00d7 %2 \u00d7 %3").arg(sizes[0]).arg(sizes[1]).arg(sizes[2]);
}

void add_kernel_facts(const ActivityDetails& activity, std::size_t row, Facts& facts) {
    const std::uint32_t id = activity.kernel_launch[row];
    if (id >= activity.launches.size()) return;
    const trace::Launch& launch = activity.launches[id];
    facts.push_back({"grid", extent(launch.grid)});
    facts.push_back({"block", extent(launch.block)});
    facts.push_back({"registers per thread", format_count(launch.registers_per_thread)});
    const std::int64_t shared =
        std::int64_t{launch.static_shared_bytes} + launch.dynamic_shared_bytes;
    facts.push_back({"shared memory", format_bytes(static_cast<double>(shared))});
    const QString full = activity.string(launch.name);
    if (!full.isEmpty()) facts.push_back({"full name", full});
}

/// Of an event of CUDA activity.
Facts activity_facts(const RunView& view, const EventRef& event) {
    const Lane& lane = view.lanes.lanes[event.lane];
    const ActivityDetails& activity = *view.lanes.activity;
    const std::size_t row = lane.events.source(event.index);
    const double duration = duration_of(view, event);
    Facts facts;
    facts.push_back({"duration", format_duration(duration)});
    switch (lane.kind) {
        case LaneKind::kKernels:
            add_kernel_facts(activity, row, facts);
            break;
        case LaneKind::kCopies: {
            const ActivityDetails::Copy& copy = activity.copies[row];
            facts.push_back({"bytes", format_bytes(static_cast<double>(copy.bytes()))});
            add_rate(facts, static_cast<double>(copy.bytes()), duration);
            const QString from = memory_kind(copy.src_kind), to = memory_kind(copy.dst_kind);
            if (!from.isEmpty() && !to.isEmpty()) {
                facts.push_back({"memory", QString("%1 \u2192 %2").arg(from, to)});
            }
            break;
        }
        case LaneKind::kSets:
            facts.push_back({"bytes", format_bytes(static_cast<double>(activity.set_bytes[row]))});
            add_rate(facts, static_cast<double>(activity.set_bytes[row]), duration);
            break;
        case LaneKind::kApi: {
            const auto failed = activity.api_failures.find(static_cast<std::uint32_t>(row));
            const bool good = failed == activity.api_failures.end();
            facts.push_back(
                {"result", good ? QString("success") : QString("error %1").arg(failed->second)});
            break;
        }
        case LaneKind::kNvtx: {
            const auto more = activity.nvtx.find(static_cast<std::uint32_t>(row));
            if (more == activity.nvtx.end()) break;
            const std::int32_t type = more->second.payload_type;
            if (type == 3 || type == 6) {
                const auto number = std::bit_cast<double>(more->second.payload);
                facts.push_back({"payload", QString::number(number)});
            } else if (type >= 0) {
                facts.push_back({"payload", QString::number(more->second.payload)});
            }
            if (more->second.domain > 0) {
                facts.push_back({"domain", QString::number(more->second.domain)});
            }
            break;
        }
        default:
            break;
    }
    if (const std::uint32_t id = correlation_of(view.lanes, event); id != 0) {
        facts.push_back({"correlation", QString::number(id)});
    }
    return facts;
}

void append(Facts& facts, Facts more) {
    facts.insert(facts.end(), more.begin(), more.end());
}

}  // namespace

QString event_title(const RunView& view, const EventRef& event) {
    const Lane& lane = view.lanes.lanes[event.lane];
    const std::size_t source = lane.events.source(event.index);
    const QString name = name_of(view, event);
    switch (lane.kind) {
        case LaneKind::kSteps:
            return view.data.steps.phase[source] == Phase::kPrefill
                       ? name
                       : QString("%1 %2").arg(name).arg(view.data.steps.step[source]);
        case LaneKind::kOps: {
            const std::int32_t layer = view.data.ops.layer[source];
            return layer < 0 ? name : QString("%1 \u00b7 layer %2").arg(name).arg(layer);
        }
        case LaneKind::kFetches:
            return QString("%1 \u00b7 fetch %2").arg(name).arg(view.data.fetches[source].id);
        case LaneKind::kLayers:
            return QString("%1 \u00b7 step %2").arg(name).arg(view.data.ops.step[source]);
        default:
            return name;
    }
}

QString event_label(const RunView& view, const EventRef& event) {
    const Lane& lane = view.lanes.lanes[event.lane];
    const std::size_t source = lane.events.source(event.index);
    if (lane.kind == LaneKind::kSteps) {
        return view.data.steps.phase[source] == Phase::kPrefill
                   ? name_of(view, event)
                   : QString::number(view.data.steps.step[source]);
    }
    const QString name = name_of(view, event);
    if (lane.kind == LaneKind::kLayers) return QString("L%1").arg(view.data.ops.layer[source]);
    if (lane.kind != LaneKind::kOps && lane.kind != LaneKind::kFetches) return name;
    const std::int32_t layer =
        lane.kind == LaneKind::kOps ? view.data.ops.layer[source] : view.data.fetches[source].layer;
    return layer < 0 ? name : QString("%1 L%2").arg(name).arg(layer);
}

QString event_tooltip(const RunView& view, const EventRef& event) {
    QString text = event_title(view, event);
    for (const Fact& fact : event_facts(view, event)) {
        if (fact.value.isEmpty()) break;  // headings begin the long story
        if (fact.key == "start") continue;
        text += QString("\n%1: %2").arg(fact.key, fact.value);
    }
    return text;
}

Facts event_facts(const RunView& view, const EventRef& event) {
    const Lane& lane = view.lanes.lanes[event.lane];
    const std::size_t source = lane.events.source(event.index);
    const auto start = static_cast<double>(lane.events.start(event.index));
    Facts facts;
    if (lane.kind == LaneKind::kFetches) {
        facts.push_back({"duration", format_duration(duration_of(view, event))});
        facts.push_back({"layer", format_count(view.data.fetches[source].layer)});
    } else if (lane.kind == LaneKind::kSteps) {
        append(facts, step_facts_of(view, source));
    } else if (lane.kind == LaneKind::kOps) {
        append(facts, op_facts(view, source));
    } else if (lane.kind == LaneKind::kLayers) {
        facts.push_back({"duration", format_duration(duration_of(view, event))});
        facts.push_back({"step", format_count(view.data.ops.step[source])});
    } else if (view.lanes.activity) {
        append(facts, activity_facts(view, event));
    }
    facts.push_back({"start", format_time(start)});
    const auto fetch = fetch_of(view, event);
    const bool is_check =
        lane.kind == LaneKind::kOps && view.data.ops.kind[source] == OpKind::kDriftTopk;
    if (is_check) {
        for (std::size_t i = 0; i < view.data.drift.size(); ++i) {
            const bool its = view.data.drift[i].op_id == view.data.ops.op_id[source];
            if (its) append(facts, check_facts(view, i));
        }
    }
    if (fetch) {
        append(facts, fetch_facts(view, *fetch));
        const auto check = view.check_row(view.data.fetches[*fetch].check_id);
        if (check && !is_check) append(facts, check_facts(view, *check));
    }
    return facts;
}

QString counter_text(CounterUnit unit, double value) {
    switch (unit) {
        case CounterUnit::kBytesPerNs:
            return QString::number(value, 'f', value < 10 ? 2 : 1) + " GB/s";
        case CounterUnit::kBytes:
            return format_bytes(value);
        case CounterUnit::kShare:
            return QString::number(value, 'f', 2);
    }
    return {};
}

Facts run_facts(const RunView& view) {
    const analysis::RunMetrics& metrics = view.metrics;
    const trace::Run& run = view.data.run;
    Facts facts;
    facts.push_back({"model", QString::fromStdString(run.model_name)});
    facts.push_back({"machine", QString::fromStdString(view.data.machine.name)});
    facts.push_back({"backend", QString::fromStdString(run.backend)});
    facts.push_back({"prefill", format_duration(static_cast<double>(metrics.prefill_ns))});
    facts.push_back({"decode steps", format_count(metrics.step_ns.count)});
    if (metrics.fetches > 0) {
        facts.push_back({"fetches", format_count(metrics.fetches)});
        facts.push_back({"rows fetched", format_count(metrics.rows_fetched)});
        facts.push_back({"bytes fetched", format_bytes(static_cast<double>(metrics.fetch_bytes))});
    }
    double total = 0;
    for (const analysis::OpKindTotal& kind : metrics.by_kind) {
        total += static_cast<double>(kind.total_ns);
    }
    if (total > 0) facts.push_back({"decode time by operation", ""});
    for (const analysis::OpKindTotal& kind : metrics.by_kind) {
        const std::string_view name = op_kind_name(kind.kind);
        const auto ns = static_cast<double>(kind.total_ns);
        if (ns <= 0) continue;
        facts.push_back({QString::fromUtf8(name.data(), static_cast<qsizetype>(name.size())),
                         QString("%1 \u00b7 %2").arg(format_duration(ns), percent(ns / total))});
    }
    return facts;
}

}  // namespace hc::gui
