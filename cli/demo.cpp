// hcprof demo: the whole product on a real model and real texts, with everything it wrote named
// at the end.
#include <CLI/CLI.hpp>
#include <filesystem>
#include <fmt/format.h>
#include <memory>
#include <unistd.h>

#include "cli/command.h"
#include "cli/experiment.h"
#include "cli/format.h"
#include "cli/heads_source.h"
#include "cli/help_texts.h"
#include "cli/output.h"
#include "cli/run_options.h"
#include "cli/scenarios.h"
#include "cli/terminal.h"
#include "cli/trace_source.h"
#include "cli/viewer_process.h"
#include "engine/config/head_file.h"
#include "engine/core/clock.h"
#include "engine/core/error.h"
#include "engine/policy/budget.h"

namespace hc::cli {
namespace {

namespace fs = std::filesystem;

constexpr const char* kQuestion =
    "First list what the Apache License asks of someone who redistributes the work. Then explain what the "
    "Artistic License says about modified versions of the package. Then compare both.";

struct Options {
    ModelOptions model;
    TextSource text;
    std::string folder = "hcprof-demo";
    std::int64_t generate = 128;
    std::int64_t calibrate = 64;
    double ratio = 0;  ///< 0: chosen from the head file
    double threshold = 0.65;
    bool no_window = false;
};

/// Half of what can be saved: between the smallest feasible ratio and keeping everything.
double choose_ratio(const HeadProfile& profile, std::int64_t prompt) {
    policy::Settings settings;
    const double minimum = policy::minimum_ratio(profile, prompt, settings);
    const double ratio = minimum + 0.25 * (1.0 - minimum);
    return std::min(1.0, std::ceil(ratio * 100) / 100);
}

class Demo {
public:
    Demo(const Options& options, const Context& context)
        : options_(options), context_(context), progress_(context.interrupted), start_ns_(now_ns()) {}

    void run() {
        prepare();
        calibrate_heads();
        record();
        compare();
        simulate();
        draw();
        finish();
    }

private:
    void heading(int number, const std::string& text) {
        fmt::print("\n[{}/5] {}  ({:.0f} s)\n", number, text, static_cast<double>(now_ns() - start_ns_) * 1e-9);
        std::fflush(stdout);
    }

    void prepare() {
        std::error_code error;
        fs::create_directories(options_.folder, error);
        if (error) throw_io(fmt::format("cannot make folder '{}': {}", options_.folder, error.message()));
        heads_file_ = (fs::path(options_.folder) / "heads.json").string();
        trace_file_ = (fs::path(options_.folder) / "demo.sqlite").string();
        simulated_file_ = (fs::path(options_.folder) / "simulated.sqlite").string();
        picture_file_ = (fs::path(options_.folder) / "timeline.png").string();
        check_writable(trace_file_);
        model_.emplace(open_model(options_.model));
        if (model_->tokenizer == nullptr) throw_refused(model_->name + " has no weights and no words: the demo needs both");
        TextSource source = options_.text;
        source.reserve_tokens = std::max(options_.generate, options_.calibrate);
        if (source.files.empty()) {
            source.files = {"/usr/share/common-licenses/Apache-2.0", "/usr/share/common-licenses/Artistic"};
        }
        if (source.question.empty()) source.question = kQuestion;
        if (source.max_prompt_tokens == 0) source.max_prompt_tokens = std::min<std::int64_t>(4096, model_->shape.context - source.reserve_tokens);
        prompt_ = prompt_tokens(*model_, source);
        fmt::print("model {}: {} layers, {} query and {} KV heads, context {}\ntexts {}\nprompt {} tokens, {} generated, {}\n",
                   model_->name, model_->shape.num_layers, model_->shape.num_qo_heads, model_->shape.num_kv_heads,
                   model_->shape.context, fmt::join(source.files, " + "), format_count(static_cast<std::int64_t>(prompt_.size())), options_.generate,
                   options_.model.precision == "fast" ? "int8 activations (fast)" : "fp32");
    }

    void calibrate_heads() {
        heading(1, "calibrate: which heads hold still, which move together");
        CalibrationPlan plan;
        plan.generate = options_.calibrate;
        const policy::Calibration calibration = calibrate(*model_, prompt_, engine_options(options_.model), plan, progress_);
        profile_ = calibration.profile;
        config::write_head_file(heads_file_, profile_, model_->name);
        fmt::print("{}\n{}\n", describe_roles(profile_), role_map(profile_));
    }

    void record() {
        heading(2, "record: full attention, its drift trace, HeteroCache");
        settings_ = policy::settings_for(policy::Mode::kFixed);
        settings_.ratio = options_.ratio > 0 ? options_.ratio : choose_ratio(profile_, static_cast<std::int64_t>(prompt_.size()));
        settings_.stable_threshold = options_.threshold;
        fmt::print("ratio {:.2f} (smallest feasible: {:.2f}), a check every {} steps, refresh under an overlap of {:.2f}, "
                   "commit lag {}\n", settings_.ratio,
                   policy::minimum_ratio(profile_, static_cast<std::int64_t>(prompt_.size()), settings_),
                   settings_.window, settings_.stable_threshold, settings_.commit_lag);
        trace::WriterOptions writer_options;
        writer_options.command_line = context_.command_line;
        trace::Writer writer(trace_file_, writer_options);
        add_machine_values(writer, engine_options(options_.model), progress_);
    runtime::GenerateOptions generate;
        generate.max_tokens = options_.generate;
        Experiment experiment(*model_, prompt_, engine_options(options_.model), generate, writer, progress_);

        const auto plan = [&](const char* policy, const char* title) {
            RunPlan p;
            p.policy = policy;
            p.settings = settings_;
            p.profile = &profile_;
            p.title = title;
            return p;
        };
        RunPlan full = plan("fullkv", "full attention");
        full.profile = nullptr;
        const RunOutcome first = experiment.run(full, nullptr, false);
        RunPlan drift = plan("fullkv", "drift trace");
        drift.drift_trace = DriftTracePlan{1.0, 5};  // every position, so that any budget can be asked about
        const RunOutcome reference = experiment.run(drift, &first, true);
        static_cast<void>(experiment.run(plan("heterocache", "HeteroCache"), &reference, false));
        RunPlan without = plan("heterocache", "HeteroCache, no retrieval");
        without.settings.retrieval = false;
        static_cast<void>(experiment.run(without, &reference, false));
        static_cast<void>(experiment.run(plan("oracle", "oracle"), &reference, false));
        add_recall(writer, trace_file_, progress_);
        writer.finish();
        hetero_run_ = reference.run + 1;
        attention_run_ = reference.run;
        fmt::print("the model wrote: {}\n", excerpt(model_->tokenizer->decode(first.generated.tokens)));
    }

    [[nodiscard]] static std::string excerpt(const std::string& text) {
        std::string line;
        for (const char c : text) line += c == '\n' ? ' ' : c;
        if (display_width(line) <= 150) return line;
        std::size_t end = 150;
        while (end > 0 && (static_cast<unsigned char>(line[end]) & 0xC0U) == 0x80U) --end;
        return line.substr(0, end) + " ...";
    }

    void compare() {
        heading(3, "compare: the same tokens through each policy");
        const trace::Trace trace(trace_file_);
        const std::vector<LabelledMetrics> runs = read_metrics(trace, {}, progress_);
        fmt::print("{}", metrics_table(runs, terminal_width(STDOUT_FILENO)));
        for (const LabelledMetrics& run : runs) {
            if (run.run.id == hetero_run_) recorded_ = run;
        }
        if (recorded_->metrics.triggers == 0) {
            print_warning("no check triggered on this text: raise --threshold to see retrieval at work");
        }
        fmt::print("The oracle keeps the best tokens of each step and cannot be built; full attention is the bound above it.\n");
    }

    void simulate() {
        heading(4, "simulate: other budgets and other machines, from this trace alone");
        const trace::Trace trace(trace_file_);
        const sim::Simulator simulator(trace, hetero_run_, attention_run_, progress_);
        const double minimum = policy::minimum_ratio(profile_, static_cast<std::int64_t>(prompt_.size()), settings_);
        ScenarioGrid budgets;
        for (const double share : {0.05, 0.15, 0.4, 0.6}) {
            budgets.ratios.push_back(std::round((minimum + share * (1 - minimum)) * 1000) / 1000);
        }
        ScenarioGrid machines;
        machines.machines = {"xeon-8480", "link-cxl2-x4"};
        trace::WriterOptions writer_options;
        writer_options.command_line = context_.command_line;
        trace::Writer writer(simulated_file_, writer_options);
        std::vector<sim::Prediction> predictions;
        std::vector<std::string> refusals;
        const auto add = [&](const ScenarioGrid& grid) {
            for (const sim::Scenario& scenario : expand(grid)) {
                try {
                    predictions.push_back(simulator.simulate(scenario));
                    static_cast<void>(sim::write_prediction(writer, predictions.back()));
                } catch (const Error& e) {
                    if (e.code() != ExitCode::kRefused) throw;
                    refusals.push_back(fmt::format("{}: refused: {}", scenario.label, e.what()));
                }
            }
        };
        add(ScenarioGrid{});
        add(budgets);
        add(machines);
        ScenarioGrid gpu;
        gpu.machines = {"h100-sxm"};
        add(gpu);
        writer.finish();
        fmt::print("{}", predictions_table(predictions, &*recorded_, terminal_width(STDOUT_FILENO)));
        print_notes(predictions);
        for (const std::string& refusal : refusals) fmt::print("  {}\n", refusal);
    }

    void draw() {
        heading(5, "draw: the viewer's picture of this trace");
        if (!viewer_built(context_.program_dir)) {
            print_warning("the viewer is not built (install qt6-base-dev and build again): no picture");
            return;
        }
        const std::vector<std::string> arguments{trace_file_, "--run", std::to_string(hetero_run_)};
        std::vector<std::string> snapshot = arguments;
        for (const char* more : {"--snapshot", picture_file_.c_str(), "--size", "1600x1000"}) snapshot.emplace_back(more);
        const int code = run_viewer(context_.program_dir, snapshot);
        if (code != 0) throw Error(static_cast<ExitCode>(code), "the viewer could not draw the picture");
        pictured_ = true;
        if (!options_.no_window && display_available()) start_viewer(context_.program_dir, arguments);
    }

    void finish() {
        fmt::print("\nwrote {}  (heads)\nwrote {}  (trace)\nwrote {}  (simulated runs)\n", heads_file_, trace_file_, simulated_file_);
        if (pictured_) fmt::print("wrote {}  (picture)\n", picture_file_);
        fmt::print("next: ./run.sh hcprof report {0} --operations, ./run.sh view {0}\n", trace_file_);
    }

    const Options& options_;
    const Context& context_;
    ProgressBar progress_;
    std::int64_t start_ns_;
    std::string heads_file_, trace_file_, simulated_file_, picture_file_;
    std::optional<model::Model> model_;
    std::vector<model::TokenId> prompt_;
    HeadProfile profile_;
    policy::Settings settings_;
    trace::RunId hetero_run_ = -1;
    trace::RunId attention_run_ = -1;
    std::optional<LabelledMetrics> recorded_;
    bool pictured_ = false;
};

}  // namespace

void setup_demo(CLI::App& app, const Context& context) {
    const auto options = std::make_shared<Options>();
    CLI::App* command = app.add_subcommand("demo", "The whole product on a real model and real texts, in minutes");
    add_model_options(*command, options->model);
    add_text_options(*command, options->text);
    command->add_option("--out", options->folder, "Folder for what it writes")->capture_default_str();
    command->add_option("--generate", options->generate, "Tokens per run")->check(CLI::Range(8, 4096))->capture_default_str();
    command->add_option("--calibrate", options->calibrate, "Tokens to watch the heads for")->check(CLI::Range(8, 4096))->capture_default_str();
    command->add_option("--ratio", options->ratio, "Fraction of KV kept (default: chosen from the heads found)")->check(CLI::Range(0.0, 1.0));
    command->add_option("--threshold", options->threshold, "Overlap under which a star is refreshed")->check(CLI::Range(0.0, 1.0))->capture_default_str();
    command->add_flag("--no-window", options->no_window, "Open no window");
    command->footer(std::string(help_text("demo")));
    command->callback([options, &context] { Demo(*options, context).run(); });
}

}  // namespace hc::cli
