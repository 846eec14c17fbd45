// hcprof budget: tokens per head and memory of a ratio, before any run.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <fmt/format.h>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <unistd.h>

#include "cli/command.h"
#include "cli/format.h"
#include "cli/heads_source.h"
#include "cli/help_texts.h"
#include "cli/output.h"
#include "cli/run_options.h"
#include "cli/table.h"
#include "cli/terminal.h"
#include "engine/config/head_file.h"
#include "engine/core/error.h"
#include "engine/policy/budget.h"
#include "engine/policy/device_memory.h"

namespace hc::cli {
namespace {

struct Options {
    std::string heads;
    std::string model;
    std::int64_t prompt = 0;
    std::vector<double> ratios{0.5};
    PolicyOptions policy;
    std::int64_t head_dim = 0;
    std::int64_t generate = 128;
    std::int64_t batch = 1;
    std::int64_t page = 256;
    std::int64_t element_bytes = 2;
    bool json = false;
};

struct Line {
    policy::Settings settings;
    policy::Budgets budgets;
    std::vector<std::int64_t> compressed;  ///< capacities of the compressed heads, ascending
    policy::MemoryForecast memory;
    std::optional<policy::DeviceMemoryForecast> device;  ///< with a model: what backend cuda allocates
};

Line compute(const Options& options, const HeadProfile& profile, const ModelShape& shape, double ratio) {
    PolicyOptions policy_options = options.policy;
    policy_options.ratio = ratio;
    Line line;
    line.settings = policy_settings(policy_options, profile.stable_threshold);
    line.budgets = policy::compute_budgets(profile, options.prompt, line.settings);
    for (std::size_t i = 0; i < profile.size(); ++i) {
        if (!is_full(profile.roles[i])) line.compressed.push_back(line.budgets.capacity[i]);
    }
    std::sort(line.compressed.begin(), line.compressed.end());
    line.memory = policy::forecast_memory(profile, line.budgets, shape, options.generate, options.batch,
                                          options.page, options.element_bytes, line.settings);
    if (shape.hidden > 0) {  // a whole model's shape, not what a head file tells alone
        policy::DeviceMemoryQuestion question;
        question.shape = shape;
        question.profile = &profile;
        question.settings = line.settings;
        question.prompt = options.prompt;
        question.generated = options.generate;
        question.batch = options.batch;
        question.page_tokens = options.page;
        line.device = policy::forecast_device_memory(question);
    }
    return line;
}

nlohmann::ordered_json to_json(const Line& line, std::int64_t prompt) {
    nlohmann::ordered_json j;
    j["ratio"] = line.settings.ratio;
    j["mode"] = std::string(policy::mode_name(line.settings.mode));
    j["prompt"] = prompt;
    j["base"] = line.budgets.base;
    j["tokens_all_heads"] = line.budgets.total();
    if (!line.compressed.empty()) {
        j["compressed_capacity"] = {{"min", line.compressed.front()},
                                    {"median", line.compressed[line.compressed.size() / 2]},
                                    {"max", line.compressed.back()}};
    }
    j["pool_token_bytes"] = line.memory.pool_token_bytes;
    j["pool_bytes"] = line.memory.pool_bytes;
    j["host_bytes"] = line.memory.host_bytes;
    j["full_pool_bytes"] = line.memory.full_pool_bytes;
    j["full_refresh_bytes"] = line.memory.full_refresh_bytes;
    if (line.device) {
        for (const policy::DeviceMemoryPart& part : line.device->device) j["device"][part.name] = part.bytes;
        j["device_bytes"] = line.device->device_bytes();
        j["device_host_bytes"] = line.device->host_tier_bytes;
    }
    j["capacity"] = line.budgets.capacity;
    return j;
}

void run(const Options& options) {
    const HeadProfile profile = config::read_head_file(options.heads);
    ModelShape shape;
    shape.num_layers = profile.num_layers;
    shape.num_kv_heads = profile.num_kv_heads;
    shape.head_dim = options.head_dim > 0 ? options.head_dim : 128;
    if (!options.model.empty()) {
        const model::Model model = model::load_model(model::find_model(options.model));
        check_profile_fits(profile, model, options.heads);
        shape = model.shape;
    }
    std::vector<Line> lines;
    for (const double ratio : options.ratios) lines.push_back(compute(options, profile, shape, ratio));
    const double minimum = policy::minimum_ratio(profile, options.prompt, lines.front().settings);
    if (options.json) {
        nlohmann::ordered_json document;
        document["heads"] = options.heads;
        document["head_dim"] = shape.head_dim;
        document["minimum_ratio"] = minimum;
        for (const Line& line : lines) document["budgets"].push_back(to_json(line, options.prompt));
        print_json(document);
        return;
    }
    fmt::print("{}\n{} tokens of prompt, {} generated, batch {}, head dim {}{}, {} bytes an element, pages of {}\n"
               "smallest feasible ratio: {:.4f}\n\n",
               describe_roles(profile), format_count(options.prompt), options.generate, options.batch, shape.head_dim,
               options.model.empty() && options.head_dim == 0 ? " (assumed; --model or --head-dim)" : "",
               options.element_bytes, options.page, minimum);
    std::vector<std::string> header{""};
    for (const Line& line : lines) header.push_back(fmt::format("ratio {:.3g}", line.settings.ratio));
    Table table(header);
    const auto row = [&](const std::string& name, const auto& cell) {
        std::vector<std::string> cells{name};
        for (const Line& line : lines) cells.push_back(cell(line));
        table.add_row(std::move(cells));
    };
    const auto bytes = [](std::int64_t n) { return format_bytes(static_cast<double>(n)); };
    row("base (tokens, reference sets)", [](const Line& l) { return format_count(l.budgets.base); });
    row("compressed heads keep min/median/max", [](const Line& l) {
        if (l.compressed.empty()) return std::string("-");
        return fmt::format("{}/{}/{}", l.compressed.front(), l.compressed[l.compressed.size() / 2], l.compressed.back());
    });
    row("tokens in all heads", [](const Line& l) { return format_count(l.budgets.total()); });
    row("resident KV, prompt tokens alone", [&](const Line& l) { return bytes(l.memory.pool_token_bytes); });
    row("resident pool, with pages and generated tokens", [&](const Line& l) { return bytes(l.memory.pool_bytes); });
    row("host tier", [&](const Line& l) { return bytes(l.memory.host_bytes); });
    row("the same pool under full attention", [&](const Line& l) { return bytes(l.memory.full_pool_bytes); });
    row("refresh of every satellite", [&](const Line& l) { return bytes(l.memory.full_refresh_bytes); });
    if (lines.front().device) {
        for (const policy::DeviceMemoryPart& part : lines.front().device->device) {
            row("GPU: " + part.name, [&](const Line& l) { return bytes(l.device->of(part.name)); });
        }
        row("GPU in all (CUDA's own context apart)", [&](const Line& l) { return bytes(l.device->device_bytes()); });
        row("pinned host memory", [&](const Line& l) { return bytes(l.device->host_tier_bytes); });
    }
    fmt::print("{}", table.to_string(terminal_width(STDOUT_FILENO)));
}

}  // namespace

void setup_budget(CLI::App& app, const Context&) {
    const auto options = std::make_shared<Options>();
    CLI::App* command = app.add_subcommand("budget", "Print tokens per head and memory of a ratio, before any run");
    command->add_option("--heads", options->heads, "Head file")->required();
    command->add_option("--prompt", options->prompt, "Prompt tokens")->required()->check(CLI::Range(std::int64_t{1}, std::int64_t{1} << 40));
    command->add_option("--ratio", options->ratios, "Fractions of KV kept; several make columns")->delimiter(',')->capture_default_str();
    command->add_option("--mode", options->policy.mode, "fixed or reference")->check(CLI::IsMember({"fixed", "reference"}))->capture_default_str();
    command->add_option("--model", options->model, "Model (file, folder or shape:NAME): its head dimension, and what a GPU run allocates in all");
    command->add_option("--head-dim", options->head_dim, "Head dimension (default 128)")->check(CLI::Range(1, 4096));
    command->add_option("--generate", options->generate, "Generated tokens")->check(CLI::NonNegativeNumber)->capture_default_str();
    command->add_option("--batch", options->batch, "Sequences")->check(CLI::Range(1, 1000000))->capture_default_str();
    command->add_option("--page", options->page, "Tokens per page")->check(CLI::Range(1, 1 << 20))->capture_default_str();
    command->add_option("--element-bytes", options->element_bytes, "Bytes of a KV element")->check(CLI::IsMember({1, 2, 4}))->capture_default_str();
    command->add_flag("--json", options->json, "Print figures as JSON");
    command->footer(std::string(help_text("budget")));
    command->callback([options] { run(*options); });
}

}  // namespace hc::cli
