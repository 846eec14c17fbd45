#include "cli/heads_source.h"

#include "cli/backend.h"

#include <fmt/format.h>

#include "engine/core/error.h"
#include "engine/runtime/generate.h"

namespace hc::cli {
namespace {

class CalibratorSink final : public runtime::AttentionRowSink {
public:
    explicit CalibratorSink(policy::Calibrator& calibrator) : calibrator_(calibrator) {}
    void begin_pass(std::int64_t kv_len) override { calibrator_.begin_pass(kv_len); }
    void layer_rows(std::int32_t layer, std::span<const float> rows) override {
        calibrator_.add_layer(layer, rows);
    }

private:
    policy::Calibrator& calibrator_;
};

}  // namespace

policy::Calibration calibrate(const model::Model& model, std::span<const model::TokenId> prompt,
                              const runtime::EngineOptions& engine_options, const CalibrationPlan& plan,
                              Progress& progress) {
    const auto prompt_length = static_cast<std::int64_t>(prompt.size());
    policy::CalibrationSettings settings;
    settings.num_layers = static_cast<std::int32_t>(model.shape.num_layers);
    settings.num_qo_heads = static_cast<std::int32_t>(model.shape.num_qo_heads);
    settings.num_kv_heads = static_cast<std::int32_t>(model.shape.num_kv_heads);
    settings.topk = plan.topk.value_or(plan.reference ? 1024 : policy::default_topk(prompt_length));
    settings.max_length = prompt_length;
    settings.calibration_step = prompt_length;
    settings.stable_threshold = plan.stable_threshold;
    settings.sim_threshold = plan.sim_threshold;
    if (plan.reference) settings.stability_floor = 0;

    policy::Calibrator calibrator(settings);
    CalibratorSink sink(calibrator);
    runtime::EngineOptions quiet = engine_options;
    quiet.record_operations = false;
    runtime::Engine engine = make_engine(model, quiet, nullptr);
    runtime::SequenceOptions sequence_options;
    sequence_options.reserve_generated = plan.generate;
    const runtime::SequenceId sequence = engine.add_sequence(sequence_options);
    engine.capture_rows(sequence, &sink);
    runtime::GenerateOptions generate;
    generate.max_tokens = plan.generate;
    progress.begin("calibrating", prompt_length + plan.generate);
    static_cast<void>(runtime::generate(engine, sequence, prompt, generate, nullptr, progress));
    progress.end();
    return calibrator.finish();
}

std::string chance_warning(std::int64_t topk, std::int64_t prompt, double stable_threshold,
                           double sim_threshold) {
    const double chance = static_cast<double>(topk) / static_cast<double>(prompt);
    const double threshold = std::min(stable_threshold, sim_threshold);
    if (chance < 0.8 * threshold) return {};
    return fmt::format(
        "sets of {} of {} tokens overlap by {:.2f} by chance alone, close to the threshold {:.2f}: roles say "
        "little; use a longer text or a smaller --topk",
        topk, prompt, chance, threshold);
}

std::string describe_roles(const HeadProfile& profile) {
    return fmt::format("{} KV heads: {} anchor, {} volatile, {} pivot, {} satellite; {:.1f} % are kept in full",
                       profile.size(), profile.count(HeadRole::kAnchor), profile.count(HeadRole::kVolatile),
                       profile.count(HeadRole::kPivot), profile.count(HeadRole::kSatellite),
                       100.0 * static_cast<double>(profile.num_full()) / static_cast<double>(profile.size()));
}

void check_profile_fits(const HeadProfile& profile, const model::Model& model, const std::string& file) {
    if (profile.num_layers == model.shape.num_layers && profile.num_kv_heads == model.shape.num_kv_heads) return;
    throw_input(fmt::format("head file '{}' is of another model: it has {} layers of {} KV heads, {} has {} of {}",
                            file, profile.num_layers, profile.num_kv_heads, model.name, model.shape.num_layers,
                            model.shape.num_kv_heads));
}

}  // namespace hc::cli
