#include "engine/cuda/bench/arguments.h"

#include <fmt/format.h>

#include <charconv>

#include "engine/core/error.h"

namespace hc::cuda::bench {
namespace {

constexpr int kMostSteps = 100'000;

int number(const std::string& option, const std::string& text, int low, int high) {
    int value = 0;
    const auto [end, status] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (status != std::errc{} || end != text.data() + text.size() || value < low || value > high) {
        throw_usage(
            fmt::format("{} {}: expected a whole number from {} to {}", option, text, low, high));
    }
    return value;
}

std::vector<std::string> split(const std::string& text) {
    std::vector<std::string> parts;
    std::size_t begin = 0;
    while (begin <= text.size()) {
        const std::size_t end = std::min(text.find(',', begin), text.size());
        if (end > begin) parts.push_back(text.substr(begin, end - begin));
        begin = end + 1;
    }
    return parts;
}

}  // namespace

CudaOptions tuned(CudaOptions options, const std::string& words) {
    std::size_t begin = 0;
    while (begin < words.size()) {
        const std::size_t end = std::min(words.find(' ', begin), words.size());
        const std::string word = words.substr(begin, end - begin);
        begin = end + 1;
        if (word.empty()) continue;
        const std::size_t equals = word.find('=');
        const std::string name = word.substr(0, equals);
        const std::string value = equals == std::string::npos ? "" : word.substr(equals + 1);
        const std::string what = "tuning " + name;
        if (name == "spare") {
            options.spare_sms = number(what, value, 0, 64);
        } else if (name == "blocks") {
            options.gather_blocks = number(what, value, 1, 64);
        } else if (name == "threads") {
            options.gather_threads = number(what, value, 32, 1024);
        } else if (name == "dependent") {
            options.dependent_launch = number(what, value, 0, 1) == 1;
        } else if (name == "clusters") {
            options.cluster_top_k = number(what, value, 0, 1) == 1;
        } else if (name == "copy") {
            options.copy_engine_rows = number(what, value, 1, 1 << 20);
        } else {
            throw_usage(
                fmt::format("'{}' is no tuning: expected spare=, blocks=, threads=, "
                            "copy=, clusters= or dependent=",
                            word));
        }
    }
    return options;
}

Arguments parse_arguments(const std::vector<std::string>& words) {
    Arguments arguments;
    std::optional<int> steps;
    std::optional<int> repeats;
    bool quick = false;
    for (std::size_t i = 0; i < words.size(); ++i) {
        const std::string& option = words[i];
        if (option == "--help" || option == "-h") {
            arguments.help = true;
            return arguments;
        }
        if (option == "--quick") {
            quick = true;
            continue;
        }
        if (i + 1 == words.size())
            throw_usage(fmt::format("{}: unknown, or lacks a value", option));
        const std::string& value = words[++i];
        if (option == "--heads") {
            arguments.heads = value;
        } else if (option == "--out") {
            arguments.out = value;
        } else if (option == "--only") {
            arguments.only = split(value);
        } else if (option == "--steps") {
            steps = number(option, value, 10, kMostSteps);
        } else if (option == "--repeats") {
            repeats = number(option, value, 1, 100);
        } else if (option == "--tuning") {
            arguments.tuning = tuned(arguments.tuning, value);
        } else if (option == "--try") {
            arguments.tries = split(value);
            for (const std::string& words_of_try : arguments.tries) {
                static_cast<void>(tuned(arguments.tuning, words_of_try));
            }
        } else if (option == "--lag") {
            arguments.lag = number(option, value, 1, 3);
        } else if (option == "--model-file") {
            arguments.model_file = value;
        } else if (option == "--model-heads") {
            arguments.model_heads = value;
        } else if (option == "--text") {
            arguments.text = value;
        } else {
            throw_usage(fmt::format("unknown option '{}'", option));
        }
    }
    arguments.steps = steps.value_or(quick ? 60 : arguments.steps);
    arguments.repeats = repeats.value_or(quick ? 1 : arguments.repeats);
    if (arguments.heads.empty()) throw_usage("--heads FILE is needed");
    if (arguments.model_file && !arguments.text) throw_usage("--model-file needs --text FILE");
    return arguments;
}

const char* usage() {
    return R"(engine_bench --heads FILE.json [options]

Measures the CUDA engine at Llama 3.1 8B's shape with seeded random weights and synthetic drift,
each point beside the limits of the device measured in the same process.

  --heads FILE        head profile of Llama 3.1 8B
  --out FILE          JSON, rewritten after every point
  --only NAME,NAME    only points of these names, or whose names begin so: fullkv@32K,
                      fullkv@128K, fullkv@224K, memory-, hetero-0.5@224K, hetero-0.25@224K-lag2,
                      batch-fullkv, batch-hetero-0.25, prefill@32K, published-, model-; what is
                      compared with fullkv@224K needs that point in the same run
  --steps N           decode steps per run (500); variants take two fifths of it
  --repeats N         runs per point (3)
  --tuning WORDS      of spare=N (multiprocessors that attention leaves to the gather) blocks=N
                      threads=N (of the gather) copy=N (rows from which on the copy engine takes a
                      run) and, 0 or 1, clusters= (top-k) and dependent= (launch); the engine's
                      defaults where not named
  --try WORDS,WORDS   also these, one after the other on the sequence of --lag
  --lag N             commit lag of batches, drift variants and published speedups (1)
  --quick             60 steps, one run
  --model-file GGUF   also a real model, with its own drift:
  --text FILE           its prompt, 7K tokens of it
  --model-heads FILE    its head profile; without it FullKV alone
)";
}

}  // namespace hc::cuda::bench
