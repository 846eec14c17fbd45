#include "cli/output.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <unistd.h>

#include "cli/format.h"
#include "cli/table.h"
#include "engine/config/settings_json.h"
#include "engine/core/error.h"

namespace hc::cli {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

Json to_json(const analysis::Distribution& d) {
    return {{"count", d.count}, {"mean", d.mean}, {"median", d.median}, {"p95", d.p95},
            {"p99", d.p99},     {"max", d.max},   {"min", d.min}};
}

Json to_json(const sim::Estimate& e) { return {{"value", e.value}, {"low", e.low}, {"high", e.high}}; }

template <typename T>
Json optional_json(const std::optional<T>& value) {
    if (!value) return nullptr;
    if constexpr (std::is_arithmetic_v<T>) {
        return *value;
    } else {
        return to_json(*value);
    }
}

std::string recall_text(const std::optional<analysis::RecallInterval>& recall) {
    if (!recall) return "-";
    if (recall->high - recall->low < 0.0005) return fmt::format("{:.3f}", recall->low);
    return fmt::format("{:.3f}-{:.3f}", recall->low, recall->high);
}

std::string distribution_cell(const std::optional<analysis::Distribution>& d) {
    return d ? fmt::format("{:.4f} (p95 {:.4f})", d->mean, d->p95) : std::string("-");
}

std::string interval_text(const sim::Estimate& e, double scale) {
    return fmt::format("{:.2f} [{:.2f}, {:.2f}]", e.value * scale, e.low * scale, e.high * scale);
}

}  // namespace

void print_json(const Json& document) {
    // Names in a trace may be any bytes; what is no UTF-8 becomes U+FFFD.
    fmt::print("{}\n", document.dump(2, ' ', false, Json::error_handler_t::replace));
}

void print_warning(const std::string& message) { fmt::print(stderr, "hcprof: warning: {}\n", message); }

void check_writable(const std::string& path) {
    const fs::path folder = fs::path(path).has_parent_path() ? fs::path(path).parent_path() : fs::path(".");
    std::error_code error;
    if (!fs::is_directory(folder, error)) {
        throw_io(fmt::format("cannot write '{}': there is no folder '{}'", path, folder.string()));
    }
    if (fs::is_directory(path, error)) throw_io(fmt::format("cannot write '{}': it is a folder", path));
    // Finished files are renamed into place, which would remove a device or pipe of that name.
    if (fs::exists(path, error) && !fs::is_regular_file(path, error)) {
        throw_io(fmt::format("cannot write '{}': it is no regular file", path));
    }
    if (::access(folder.c_str(), W_OK | X_OK) != 0) {
        throw_io(fmt::format("cannot write '{}': {}", path, std::strerror(errno)));
    }
}

std::string role_map(const HeadProfile& profile) {
    std::string out;
    for (std::int32_t head = 0; head < profile.num_kv_heads; ++head) {
        out += fmt::format("  KV head {:2}  ", head);
        for (std::int32_t layer = 0; layer < profile.num_layers; ++layer) {
            switch (profile.role({layer, head})) {
                case HeadRole::kAnchor: out += 'A'; break;
                case HeadRole::kVolatile: out += 'V'; break;
                case HeadRole::kPivot: out += 'P'; break;
                case HeadRole::kSatellite: out += 's'; break;
            }
        }
        out += '\n';
    }
    return out + "  (A anchor, V volatile, P pivot, s satellite; one column a layer)";
}

std::string run_label(const trace::Run& run) {
    if (run.parameters_json.empty()) return run.policy;
    const config::RunParameters p = config::run_parameters_from_json(run.parameters_json, "run parameters");
    const std::string drift =
        std::string(p.drift_keep ? " + drift trace" : "") + (p.synthetic.empty() ? "" : " (synthetic)");
    if (run.policy != "heterocache" && run.policy != "oracle") return run.policy + drift;
    std::string label = fmt::format("{} {:.2f}", run.policy, p.settings.ratio) + drift;
    if (run.policy == "heterocache") {
        if (run.mode != "fixed") label += " " + run.mode;
        if (!p.settings.retrieval) label += " no retrieval";
    }
    return label;
}

Json to_json(const analysis::RunMetrics& m, const trace::Run& run) {
    Json j;
    j["run"] = m.run;
    j["label"] = run_label(run);
    j["origin"] = std::string(trace::origin_name(run.origin));
    j["policy"] = run.policy;
    j["mode"] = run.mode;
    j["backend"] = run.backend;
    j["prompt_tokens"] = run.prompt_tokens;
    if (!run.parameters_json.empty()) {
        const config::RunParameters p = config::run_parameters_from_json(run.parameters_json, "run parameters");
        if (!p.synthetic.empty()) j["synthetic"] = p.synthetic;
    }
    j["commit_lag"] = m.commit_lag;
    j["prefill_ns"] = m.prefill_ns;
    j["step_ns"] = to_json(m.step_ns);
    j["tokens_per_s"] = m.tokens_per_s;
    j["transfer_ns"] = m.transfer.transfer_ns;
    j["exposed_ns"] = m.transfer.exposed_ns;
    j["overlap"] = optional_json(m.transfer.overlap);
    j["hiding"] = optional_json(m.transfer.hiding);
    j["interference"] = optional_json(m.transfer.interference);
    j["checks"] = m.checks;
    j["triggers"] = m.triggers;
    j["fetches"] = m.fetches;
    j["superseded"] = m.superseded;
    j["rows_wanted"] = m.rows_wanted;
    j["rows_fetched"] = m.rows_fetched;
    j["fetch_bytes"] = m.fetch_bytes;
    j["kv_pool_peak_bytes"] = m.kv_pool_peak_bytes;
    j["host_tier_bytes"] = m.host_tier_bytes;
    j["process_peak_bytes"] = m.process_peak_bytes;
    j["kl_nats"] = optional_json(m.kl_nats);
    j["top1_equal"] = optional_json(m.top1_equal);
    j["perplexity"] = optional_json(m.perplexity);
    if (m.recall) {
        j["recall"] = {{"low", m.recall->low}, {"high", m.recall->high}};
    } else {
        j["recall"] = nullptr;
    }
    for (const analysis::OpKindTotal& k : m.by_kind) {
        j["operations"].push_back({{"kind", std::string(op_kind_name(k.kind))},
                                   {"count", k.count},
                                   {"total_ns", k.total_ns},
                                   {"median_ns", k.median_ns},
                                   {"bytes", k.bytes},
                                   {"flops", k.flops}});
    }
    return j;
}

Json to_json(const sim::Prediction& p) {
    Json j;
    j["label"] = p.scenario.label;
    j["tag"] = std::string(sim::tag_name(p.tag));
    j["notes"] = p.notes;
    j["step_ns"] = {{"median", to_json(p.step_ns_median)}, {"p95", to_json(p.step_ns_p95)},
                    {"p99", to_json(p.step_ns_p99)},       {"max", to_json(p.step_ns_max)}};
    j["tokens_per_s"] = to_json(p.tokens_per_s);
    j["transfer_ns"] = to_json(p.transfer_ns);
    j["exposed_ns"] = to_json(p.exposed_ns);
    j["overlap"] = optional_json(p.overlap);
    j["hiding"] = optional_json(p.hiding);
    j["interference"] = optional_json(p.interference);
    j["checks"] = p.checks;
    j["triggers"] = p.triggers;
    j["fetches"] = p.fetches;
    j["rows_fetched"] = p.rows_fetched;
    j["fetch_bytes"] = p.fetch_bytes;
    j["kv_pool_bytes"] = p.kv_pool_bytes;
    j["host_tier_bytes"] = p.host_tier_bytes;
    j["device_bytes"] = p.device_bytes;
    j["staging_bytes"] = p.staging_bytes;
    j["steps"] = p.steps;
    if (p.recall) {
        j["recall"] = {{"low", p.recall->low}, {"high", p.recall->high}};
    } else {
        j["recall"] = nullptr;
    }
    return j;
}

std::string metrics_table(const std::vector<LabelledMetrics>& runs, int width) {
    std::vector<std::string> header{""};
    for (const LabelledMetrics& r : runs) header.push_back(r.label);
    Table table(header);
    const auto row = [&](const std::string& name, const auto& cell) {
        std::vector<std::string> cells{name};
        for (const LabelledMetrics& r : runs) cells.push_back(cell(r));
        table.add_row(std::move(cells));
    };
    using Run = const LabelledMetrics&;
    // Systems recorded through NVTX carry names of their own.
    const auto is_policy = [](Run r) {
        return r.run.policy == "heterocache" || r.metrics.checks > 0 || r.metrics.fetches > 0;
    };
    row("tokens/s", [](Run r) { return format_number(r.metrics.tokens_per_s, 1); });
    row("prefill", [](Run r) { return format_ns(static_cast<double>(r.metrics.prefill_ns)); });
    row("step median", [](Run r) { return format_ns(r.metrics.step_ns.median); });
    row("step p95", [](Run r) { return format_ns(r.metrics.step_ns.p95); });
    row("step max", [](Run r) { return format_ns(r.metrics.step_ns.max); });
    row("KV pool (peak)", [](Run r) { return format_bytes(static_cast<double>(r.metrics.kv_pool_peak_bytes)); });
    row("host tier", [](Run r) { return format_bytes(static_cast<double>(r.metrics.host_tier_bytes)); });
    row("recall", [](Run r) { return recall_text(r.metrics.recall); });
    row("KL to full attention (nats)", [](Run r) { return distribution_cell(r.metrics.kl_nats); });
    row("same top token", [](Run r) { return r.metrics.top1_equal ? format_percent(*r.metrics.top1_equal) : std::string("-"); });
    if (std::any_of(runs.begin(), runs.end(), [](Run r) { return r.metrics.perplexity.has_value(); })) {
        row("perplexity", [](Run r) { return r.metrics.perplexity ? format_number(*r.metrics.perplexity, 3) : std::string("-"); });
    }
    row("drift checks", [&](Run r) { return is_policy(r) ? format_count(r.metrics.checks) : std::string("-"); });
    row("triggers", [&](Run r) { return is_policy(r) ? format_count(r.metrics.triggers) : std::string("-"); });
    row("rows fetched (of wanted)", [&](Run r) {
        return is_policy(r) ? fmt::format("{} of {}", format_count(r.metrics.rows_fetched), format_count(r.metrics.rows_wanted))
                            : std::string("-");
    });
    row("fetched", [&](Run r) { return is_policy(r) ? format_bytes(static_cast<double>(r.metrics.fetch_bytes)) : std::string("-"); });
    row("overlap", [&](Run r) { return is_policy(r) ? format_percent(r.metrics.transfer.overlap) : std::string("-"); });
    row("I/O hiding (commit lag)", [&](Run r) {
        if (!is_policy(r)) return std::string("-");
        return fmt::format("{} ({})", format_percent(r.metrics.transfer.hiding), r.metrics.commit_lag);
    });
    row("interference", [&](Run r) { return is_policy(r) ? format_percent(r.metrics.transfer.interference) : std::string("-"); });
    return table.to_string(width);
}

std::string predictions_table(const std::vector<sim::Prediction>& predictions, const LabelledMetrics* recorded,
                              int width) {
    Table table({"", "step median ms", "step p99 ms", "tokens/s", "hiding", "fetched", "memory", "recall", "origin"}, {0, 8});
    if (recorded != nullptr) {
        const analysis::RunMetrics& m = recorded->metrics;
        table.add_row({recorded->label, format_number(m.step_ns.median * 1e-6, 2), format_number(m.step_ns.p99 * 1e-6, 2),
                       format_number(m.tokens_per_s, 1), format_percent(m.transfer.hiding),
                       format_bytes(static_cast<double>(m.fetch_bytes)),
                       format_bytes(static_cast<double>(m.kv_pool_peak_bytes)), recall_text(m.recall), "recorded"});
    }
    for (const sim::Prediction& p : predictions) {
        table.add_row({p.scenario.label, interval_text(p.step_ns_median, 1e-6), interval_text(p.step_ns_p99, 1e-6),
                       format_number(p.tokens_per_s.value, 1),
                       p.hiding ? format_percent(p.hiding->value) : std::string("none"),
                       format_bytes(static_cast<double>(p.fetch_bytes)),
                       format_bytes(static_cast<double>(p.device_bytes > 0 ? p.device_bytes : p.kv_pool_bytes)), recall_text(p.recall),
                       std::string(sim::tag_name(p.tag))});
    }
    return table.to_string(width);
}

}  // namespace hc::cli
