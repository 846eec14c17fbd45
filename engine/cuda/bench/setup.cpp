#include "engine/cuda/bench/setup.h"

namespace hc::cuda::bench {
namespace {

/// What fetches did, per step and in relation.
void add_fetches(Json& point, const StepFigures& figures) {
    const FetchStatistics& f = figures.fetches;
    if (f.checks == 0) return;
    const auto steps = static_cast<double>(figures.runs.total());
    const auto per_step = [&](std::int64_t count) {
        return rounded(static_cast<double>(count) / steps);
    };
    point["checks_per_step"] = per_step(f.checks);
    point["triggers_per_step"] = per_step(f.triggers);
    point["trigger_share"] =
        rounded(static_cast<double>(f.triggers) / static_cast<double>(f.checks));
    point["rows_per_step"] = per_step(f.rows);
    point["mb_per_step"] = rounded(1e-6 * static_cast<double>(f.bytes) / steps);
    point["tokens_per_run"] =
        or_null(ratio(static_cast<double>(f.rows), static_cast<double>(f.runs)));
    point["superseded"] = f.superseded;
    const auto transfer = static_cast<double>(f.transfer_ns);
    const auto exposed = static_cast<double>(f.exposed_ns);
    point["transfer_ms_per_step"] = rounded(1e-6 * transfer / steps);
    point["transfer_gb_per_s"] = or_null(ratio(static_cast<double>(f.bytes), transfer));
    point["exposed_ms_per_step"] = rounded(1e-6 * exposed / steps);
    point["commit_ms_per_step"] = rounded(1e-6 * static_cast<double>(f.commit_ns) / steps);
    point["hiding"] = transfer > 0 ? Json(rounded(1 - exposed / transfer)) : Json(nullptr);
}

double relative(std::int64_t found, std::int64_t forecast) {
    if (forecast == 0) return found == 0 ? 0 : 1;
    return rounded(static_cast<double>(found) / static_cast<double>(forecast) - 1);
}

}  // namespace

SyntheticDrift usual_drift() {
    return {.rate = 0.15, .new_rows = 0.5, .run = 5, .seed = 1};
}

CudaOptions synthetic_options() {
    CudaOptions options;
    options.synthetic_prefill = true;
    options.drift = usual_drift();
    return options;
}

std::unique_ptr<CudaBackend> Setup::backend(const CudaOptions& options) const {
    runtime::EngineOptions engine;
    engine.backend = runtime::Backend::kCuda;
    engine.page_size = kPageTokens;
    engine.prefill_chunk = kPrefillChunk;
    engine.record_operations = false;
    CudaOptions all = options;
    const CudaOptions& tuning = arguments.tuning;
    all.gather_blocks = tuning.gather_blocks;
    all.gather_threads = tuning.gather_threads;
    all.spare_sms = tuning.spare_sms;
    all.cluster_top_k = tuning.cluster_top_k;
    all.dependent_launch = tuning.dependent_launch;
    all.copy_engine_rows = tuning.copy_engine_rows;
    return std::make_unique<CudaBackend>(model, engine, all, nullptr);
}

runtime::SequenceOptions Setup::full(std::int64_t reserve) const {
    runtime::SequenceOptions options;
    options.reserve_generated = reserve;
    return options;
}

runtime::SequenceOptions Setup::hetero(double ratio, int lag, std::int64_t reserve) const {
    runtime::SequenceOptions options;
    options.heterocache = true;
    options.profile = &profile;
    options.settings.ratio = ratio;
    options.settings.commit_lag = lag;
    options.settings.stable_threshold = profile.stable_threshold;
    options.reserve_generated = reserve;
    return options;
}

policy::Budgets Setup::budgets(const runtime::SequenceOptions& options, std::int64_t prompt) const {
    if (options.heterocache) {
        return policy::compute_budgets(*options.profile, prompt, options.settings);
    }
    return policy::full_budgets(static_cast<std::int32_t>(model.shape.num_layers),
                                static_cast<std::int32_t>(model.shape.num_kv_heads), prompt);
}

SequenceId add_synthetic(CudaBackend& backend, const runtime::SequenceOptions& options,
                         std::int64_t prompt) {
    const SequenceId id = backend.add_sequence(options);
    try {
        backend.prefill_synthetic(id, prompt);
    } catch (...) {
        backend.remove_sequence(id);
        throw;
    }
    return id;
}

double step_weight_bytes(const ModelShape& shape) {
    std::int64_t bytes = policy::device_weight_bytes(shape);
    // A tied embedding is read as the output matrix.
    if (!shape.tied_embeddings) bytes -= policy::aligned_bytes(2 * shape.vocab * shape.hidden);
    return static_cast<double>(bytes);
}

double step_kv_bytes(const ModelShape& shape, const policy::Budgets& budgets, double generated) {
    const auto heads = static_cast<double>(budgets.capacity.size());
    return (static_cast<double>(budgets.total()) + heads * generated) *
           static_cast<double>(4 * shape.head_dim);  // bf16 keys and values
}

Json decode_point(const Setup& setup, CudaBackend& backend, const std::vector<SequenceId>& ids,
                  const runtime::SequenceOptions& options, std::int64_t prompt, const Runs& runs) {
    DecodeSession session(backend, ids);
    const StepFigures figures = session.measure(runs);
    const double generated = figures.mean_length - static_cast<double>(prompt);
    const auto batch = static_cast<double>(ids.size());
    const ModelShape& shape = backend.model().shape;
    const policy::Budgets budgets = setup.budgets(options, prompt);
    const double weights = step_weight_bytes(shape);
    const double kv = batch * step_kv_bytes(shape, budgets, generated);
    const double prompt_kv = batch * step_kv_bytes(shape, budgets, 0);
    const double bytes_per_ms = 1e6 * setup.limits.read_gb_per_s;
    const double floor_ms = (weights + kv) / bytes_per_ms;
    Json point;
    point["prompt"] = prompt;
    point["batch"] = ids.size();
    point["step_ms"] = rounded(figures.step_ms);
    point["step_ms_least"] = rounded(figures.least_ms);
    point["step_ms_most"] = rounded(figures.most_ms);
    point["spread"] = rounded((figures.most_ms - figures.least_ms) / figures.step_ms);
    point["p99_ms"] = rounded(figures.p99_ms);
    point["p99_over_median"] = rounded(figures.p99_ms / figures.step_ms);
    point["device_ms"] = rounded(figures.device_ms);
    point["tokens_per_s"] = rounded(1e3 * batch / figures.step_ms);
    point["weights_gb"] = rounded(1e-9 * weights);
    point["kv_gb"] = rounded(1e-9 * kv);
    point["floor_ms"] = rounded(floor_ms);
    point["ratio_to_floor"] = rounded(figures.step_ms / floor_ms);
    // Sequences grow while they are measured: what reading that growth takes is taken off where
    // points are compared.
    point["generated"] = rounded(generated);
    point["step_ms_at_prompt"] = rounded(figures.step_ms - (kv - prompt_kv) / bytes_per_ms);
    point["steps"] = runs.steps;
    point["repeats"] = runs.repeats;
    add_fetches(point, figures);
    return point;
}

Json memory_point(const Setup& setup, const CudaBackend& backend,
                  const runtime::SequenceOptions& options, std::int64_t prompt) {
    policy::DeviceMemoryQuestion question;
    question.shape = setup.model.shape;
    if (options.heterocache) {
        question.profile = options.profile;
        question.settings = options.settings;
    }
    question.prompt = prompt;
    question.generated = options.reserve_generated;
    question.page_tokens = kPageTokens;
    question.prefill_chunk = kPrefillChunk;
    question.synthetic_prefill = true;
    const policy::DeviceMemoryForecast forecast = policy::forecast_device_memory(question);
    const MemoryLedger& device = backend.device_ledger();
    const std::int64_t tier = backend.host_ledger().of("host tier");
    Json point;
    point["forecast_bytes"] = forecast.device_bytes();
    point["device_bytes"] = device.total();
    point["device_peak_bytes"] = device.peak();
    point["difference"] = relative(device.total(), forecast.device_bytes());
    point["peak_difference"] = relative(device.peak(), forecast.device_bytes());
    point["forecast_tier_bytes"] = forecast.host_tier_bytes;
    point["tier_bytes"] = tier;
    point["tier_difference"] = relative(tier, forecast.host_tier_bytes);
    Json parts = Json::object();
    for (const auto& [name, bytes] : device.by_name()) {
        parts[name] = {{"bytes", bytes}, {"forecast", forecast.of(name)}};
    }
    point["parts"] = std::move(parts);
    return point;
}

}  // namespace hc::cuda::bench
