// hcprof calibrate: head roles and budgets from a model and a text, or from captured attention.
#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <memory>
#include <nlohmann/json.hpp>

#include "cli/command.h"
#include "cli/heads_source.h"
#include "cli/help_texts.h"
#include "cli/output.h"
#include "cli/run_options.h"
#include "cli/terminal.h"
#include "engine/config/attention_capture.h"
#include "engine/config/head_file.h"
#include "engine/core/error.h"

namespace hc::cli {
namespace {

struct Options {
    ModelOptions model;
    TextSource text;
    std::string attention;
    std::string output;
    std::int64_t generate = 100;
    std::int64_t topk = 0;
    double stable_threshold = 0.5;
    double sim_threshold = 0.5;
    std::string mode = "fixed";
    bool json = false;
};

void print(const Options& options, const policy::Calibration& calibration, const std::string& warning) {
    if (options.json) {
        const HeadProfile& profile = calibration.profile;
        nlohmann::ordered_json document;
        document["file"] = options.output;
        document["topk"] = profile.topk;
        document["calibration_step"] = calibration.spatial_step;
        for (const HeadRole role : {HeadRole::kAnchor, HeadRole::kVolatile, HeadRole::kPivot, HeadRole::kSatellite}) {
            document["counts"][std::string(role_name(role))] = profile.count(role);
        }
        document["warning"] = warning;
        print_json(document);
        return;
    }
    if (!warning.empty()) print_warning(warning);
    fmt::print("{}\n{}\n", describe_roles(calibration.profile), role_map(calibration.profile));
    fmt::print("wrote {}\n", options.output);
}

void run(const Options& options, const Context& context) {
    check_writable(options.output);
    if (!options.attention.empty()) {
        const policy::Calibration calibration = config::calibrate_from_capture(options.attention);
        config::write_head_file(options.output, calibration.profile, "captured");
        print(options, calibration, "");
        return;
    }
    const model::Model model = open_model(options.model);
    if (model.shape_only) throw_refused(model.name + " has no weights: there is no attention to calibrate on");
    TextSource source = options.text;
    source.reserve_tokens = options.generate;
    if (source.max_prompt_tokens == 0) source.max_prompt_tokens = std::min<std::int64_t>(5000, model.shape.context - options.generate);
    const std::vector<model::TokenId> prompt = prompt_tokens(model, source);
    CalibrationPlan plan;
    plan.generate = options.generate;
    if (options.topk > 0) plan.topk = options.topk;
    plan.reference = options.mode == "reference";
    plan.stable_threshold = options.stable_threshold;
    plan.sim_threshold = options.sim_threshold;
    ProgressBar progress(context.interrupted);
    const policy::Calibration calibration = calibrate(model, prompt, engine_options(options.model), plan, progress);
    config::write_head_file(options.output, calibration.profile, model.name);
    print(options, calibration,
          chance_warning(calibration.profile.topk, static_cast<std::int64_t>(prompt.size()),
                         plan.stable_threshold, plan.sim_threshold));
}

}  // namespace

void setup_calibrate(CLI::App& app, const Context& context) {
    const auto options = std::make_shared<Options>();
    CLI::App* command = app.add_subcommand("calibrate", "Find head roles and budgets from a model and a text");
    add_model_options(*command, options->model);
    add_text_options(*command, options->text);
    command->add_option("--attention", options->attention,
                        "Folder of captured attention rows (config.json, attn.npy) instead of a model and a text");
    command->add_option("-o,--output", options->output, "Head file to write")->required();
    command->add_option("--generate", options->generate, "Tokens to generate while watching")
        ->check(CLI::Range(2, 100000))->capture_default_str();
    command->add_option("--topk", options->topk, "Positions per set (default: 0.2048 of the prompt; reference: 1024)")
        ->check(CLI::PositiveNumber);
    command->add_option("--stable-threshold", options->stable_threshold, "Heads with a lower median overlap are volatile")
        ->check(CLI::Range(0.0, 1.0))->capture_default_str();
    command->add_option("--sim-threshold", options->sim_threshold, "Heads with at least this overlap form a star")
        ->check(CLI::Range(0.0, 1.0))->capture_default_str();
    command->add_option("--mode", options->mode, "fixed or reference")
        ->check(CLI::IsMember({"fixed", "reference"}))->capture_default_str();
    command->add_flag("--json", options->json, "Print figures as JSON");
    command->footer(std::string(help_text("calibrate")));
    command->callback([options, &context] { run(*options, context); });
}

}  // namespace hc::cli
