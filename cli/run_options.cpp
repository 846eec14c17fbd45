#include "cli/run_options.h"

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "cli/backend.h"
#include "cli/drift_source.h"
#include "engine/config/settings_json.h"
#include "engine/core/error.h"

namespace hc::cli {
namespace {

// Tokens of a prompt that go through a layer together on a GPU: enough to fill it.
constexpr std::int64_t kDevicePrefillChunk = 4096;

}  // namespace

void add_model_options(CLI::App& command, ModelOptions& options) {
    command.add_option("--model", options.model, "GGUF file, Hugging Face folder, or shape:NAME without weights (default: HCPROF_MODEL, else the fetched model)");
    command.add_option("--precision", options.precision,
                       "fp32: weights as stored, arithmetic in fp32; fast: int8 activations")
        ->check(CLI::IsMember({"fast", "fp32"}))
        ->capture_default_str();
    command.add_option("--backend", options.backend, "cpu, cuda, or auto (says which it took)")
        ->check(CLI::IsMember({"auto", "cpu", "cuda"}))
        ->capture_default_str();
    command.add_option("--threads", options.threads, "Compute threads (default: every core of this process)")
        ->check(CLI::Range(0, 1024));
    command.add_option("--prefill", options.prefill,
                       "computed; or synthetic: a prompt's KV is random, for long contexts of shapes without weights (backend cuda)")
        ->check(CLI::IsMember({"computed", "synthetic"}))
        ->capture_default_str();
    command.add_option("--drift", options.drift,
                       "synthetic:rate=SHARE,new=SHARE,run=TOKENS,seed=N, or trace:FILE[,run=N] of a recorded run, decides triggers and fetched rows (backend cuda)");
}

model::Model open_model(const ModelOptions& options) {
    std::optional<std::filesystem::path> path;
    if (!options.model.empty()) path = options.model;
    return model::load_model(model::find_model(path));
}

runtime::EngineOptions engine_options(const ModelOptions& options) {
    runtime::EngineOptions engine;
    engine.backend = choose_backend(options.backend);
    engine.precision = options.precision == "fp32" ? kernels::cpu::Precision::kFp32 : kernels::cpu::Precision::kFast;
    engine.threads = options.threads;
    if (!options.drift.empty()) engine.drift = read_drift(options.drift);
    engine.synthetic_prefill = options.prefill == "synthetic";
    if (engine.backend == runtime::Backend::kCuda) {
        engine.prefill_chunk = kDevicePrefillChunk;
    } else if (engine.drift || engine.synthetic_prefill) {
        const std::string why = why_no_cuda();
        throw_unavailable("--drift and --prefill synthetic need backend cuda, and " +
                          (why.empty() ? std::string("--backend is cpu") : why));
    }
    return engine;
}

void check_runnable(const model::Model& model, const runtime::EngineOptions& options) {
    if (model.shape_only && options.backend == runtime::Backend::kCpu) {
        const std::string why = why_no_cuda();
        throw_unavailable(model.name + " has no weights and needs backend cuda, and " +
                          (why.empty() ? std::string("--backend is cpu") : why));
    }
}

std::string synthetic_parts(const model::Model& model, const runtime::EngineOptions& options) {
    std::string parts;
    const auto add = [&](const std::string& part) { parts += (parts.empty() ? "" : ", ") + part; };
    if (model.shape_only) add("random weights");
    if (options.synthetic_prefill) add("random prompt KV");
    if (options.drift) add("drift " + runtime::to_string(*options.drift));
    return parts;
}

void add_text_options(CLI::App& command, TextSource& source) {
    command.add_option("--text", source.files, "Text file, '-' for standard input; several are joined");
    command.add_option("--question", source.question, "Asked after the text, in the model's chat format");
    command.add_option("--prompt-tokens", source.max_prompt_tokens,
                       "Cut the text so that the prompt has at most this many tokens")
        ->check(CLI::PositiveNumber);
}

void add_policy_options(CLI::App& command, PolicyOptions& options) {
    command.add_option("--mode", options.mode, "fixed: ours; reference: the authors' published code, quirks included")
        ->check(CLI::IsMember({"fixed", "reference"}))
        ->capture_default_str();
    command.add_option("--ratio", options.ratio, "Fraction of the prompt's KV that is kept, (0, 1]")->capture_default_str();
    command.add_option("--threshold", options.threshold, "Median overlap under which a star is refreshed (default: the head file's)")
        ->check(CLI::Range(0.0, 1.0));
    command.add_option("--window", options.window, "Decode steps per drift check")->capture_default_str();
    command.add_option("--commit-lag", options.commit_lag, "Steps from trigger to commit (default: the mode's, 1 for fixed)")
        ->check(CLI::NonNegativeNumber);
    command.add_flag("--no-retrieval", options.no_retrieval, "Select at prefill only, never check for drift");
    command.add_option("--sink", options.sink, "First tokens that every compressed head keeps")->check(CLI::NonNegativeNumber);
    command.add_option("--recent", options.recent, "Last prompt tokens that every compressed head keeps")->check(CLI::NonNegativeNumber);
    command.add_option("--set", options.set, "Any other setting as KEY=VALUE, e.g. --set stagger_checks=false (docs/settings.md)");
}

policy::Settings policy_settings(const PolicyOptions& options, double file_threshold) {
    const policy::Mode mode = options.mode == "reference" ? policy::Mode::kReference : policy::Mode::kFixed;
    policy::Settings settings = policy::settings_for(mode);
    if (!options.set.empty()) {
        nlohmann::json patch = nlohmann::json::parse(config::to_json(settings));
        for (const std::string& pair : options.set) {
            const std::size_t equals = pair.find('=');
            if (equals == std::string::npos) throw_usage(fmt::format("--set '{}': expected KEY=VALUE", pair));
            const std::string key = pair.substr(0, equals);
            if (!patch.contains(key)) {
                std::string known;
                for (const auto& item : patch.items()) known += (known.empty() ? "" : ", ") + item.key();
                throw_usage(fmt::format("--set '{}': no such setting; there are: {}", key, known));
            }
            const nlohmann::json value = nlohmann::json::parse(pair.substr(equals + 1), nullptr, false);
            if (value.is_discarded() || value.is_object() || value.is_array()) {
                throw_usage(fmt::format("--set {}: '{}' is no number, true or false", key, pair.substr(equals + 1)));
            }
            patch[key] = value;
        }
        try {
            settings = config::settings_from_json(patch.dump(), "--set");
        } catch (const Error& e) {
            throw_usage(e.what());
        }
    }
    settings.ratio = options.ratio;
    settings.stable_threshold = options.threshold >= 0 ? options.threshold : file_threshold;
    settings.window = options.window;
    if (options.commit_lag >= 0) settings.commit_lag = options.commit_lag;
    if (options.no_retrieval) settings.retrieval = false;
    if (options.sink > 0) settings.sink = options.sink;
    if (options.recent > 0) settings.recent = options.recent;
    policy::validate(settings);
    return settings;
}

}  // namespace hc::cli
