// hcprof sweep: many what-if questions, over cores, processes and machines; hcprof merge: their
// answers as one file.
#include <CLI/CLI.hpp>
#include <cstdlib>
#include <fmt/format.h>
#include <memory>
#include <thread>

#include "cli/command.h"
#include "cli/help_texts.h"
#include "cli/output.h"
#include "cli/terminal.h"
#include "cli/what_if.h"
#include "engine/core/atomic_file.h"
#include "engine/core/error.h"
#include "simulator/search/result_file.h"
#include "simulator/search/shard.h"
#include "simulator/search/tune.h"

namespace hc::cli {
namespace {

struct SweepOptions {
    WhatIfOptions what_if;
    std::string shard;
    std::string output;
    int threads = 0;
};

std::optional<std::string> environment(const char* name) {
    const char* const value = std::getenv(name);
    if (value == nullptr) return std::nullopt;
    return std::string(value);
}

/// results.jsonl of shard 2 of 8: results.2-of-8.jsonl, so that all shards can be started alike.
std::filesystem::path file_of(const std::string& output, const sim::Shard& shard) {
    const std::filesystem::path path(output);
    if (shard.count == 1) return path;
    std::filesystem::path named = path;
    named.replace_filename(fmt::format("{}.{}-of-{}{}", path.stem().string(), shard.index + 1, shard.count,
                                       path.extension().string()));
    return named;
}

void sweep(const SweepOptions& options, const Context& context) {
    const std::optional<sim::Shard> launched = sim::shard_of_environment(environment);
    const sim::Shard shard = !options.shard.empty() ? sim::parse_shard(options.shard) : launched.value_or(sim::Shard{});
    const std::filesystem::path file = file_of(options.output, shard);
    check_writable(file.string());
    const std::vector<sim::Scenario> all = expand(grid_of(options.what_if));
    const auto [first, last] = sim::range_of(shard, all.size());
    const std::vector<sim::Scenario> mine(all.begin() + static_cast<std::ptrdiff_t>(first),
                                          all.begin() + static_cast<std::ptrdiff_t>(last));
    ProgressBar progress(context.interrupted);
    const OpenedTrace opened(options.what_if, progress);
    const sim::Identity identity = opened.identity();
    sim::ResultFile results(file);
    const std::size_t before = results.size();
    const int cores = static_cast<int>(std::max(1U, std::thread::hardware_concurrency()));
    // Shards of one machine share its cores already.
    const int threads = options.threads > 0 ? options.threads : shard.count > 1 ? 1 : cores;
    sim::answer_all(opened.simulator(), identity, mine, threads, results, progress);
    std::size_t refused = 0;
    for (const sim::Scenario& scenario : mine) {
        refused += results.find(sim::key_of(identity, scenario))->figures ? 0 : 1;
    }
    fmt::print("shard {} of {}: {} of {} points, {} new, {} refused, in {}\n", shard.index + 1, shard.count, mine.size(),
               all.size(), results.size() - before, refused, file.string());
}

struct MergeOptions {
    std::vector<std::string> files;
    std::string output;
};

void merge(const MergeOptions& options) {
    check_writable(options.output);
    const std::vector<std::filesystem::path> files(options.files.begin(), options.files.end());
    const std::string text = sim::merge_points(files);
    write_file_atomically(options.output, text);
    fmt::print("wrote {}: {} points\n", options.output, std::count(text.begin(), text.end(), '\n'));
}

}  // namespace

void setup_sweep(CLI::App& app, const Context& context) {
    const auto options = std::make_shared<SweepOptions>();
    CLI::App* command = app.add_subcommand("sweep", "Answer a grid of what-if questions, in shards where there are many");
    add_what_if_options(*command, options->what_if);
    command->add_option("--shard", options->shard, "I/N: this process does the I-th of N parts (default: what Slurm or MPI says)");
    command->add_option("--threads", options->threads, "Threads (default: every core; 1 in a shard)")->check(CLI::Range(0, 1024));
    command->add_option("-o,--output", options->output, "Results, one JSON line a point; of a shard NAME.I-of-N.jsonl")->required();
    command->footer(std::string(help_text("sweep")));
    command->callback([options, &context] { sweep(*options, context); });
}

void setup_merge(CLI::App& app, const Context&) {
    const auto options = std::make_shared<MergeOptions>();
    CLI::App* command = app.add_subcommand("merge", "Put the results of a sweep's shards together");
    command->add_option("files", options->files, "Files that 'hcprof sweep' wrote")->required();
    command->add_option("-o,--output", options->output, "File to write")->required();
    command->footer(std::string(help_text("merge")));
    command->callback([options] { merge(*options); });
}

}  // namespace hc::cli
