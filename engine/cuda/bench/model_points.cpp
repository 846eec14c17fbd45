#include <fmt/format.h>

#include <algorithm>
#include <fstream>
#include <iterator>

#include "engine/config/head_file.h"
#include "engine/core/error.h"
#include "engine/cuda/bench/points.h"

namespace hc::cuda::bench {
namespace {

constexpr std::size_t kPrompt = 7 * 1024;
constexpr double kRatio = 0.52;
constexpr int kLag = 1;

std::vector<TokenId> prompt_of(const model::Model& model, const std::filesystem::path& path) {
    std::ifstream in(path, std::ios::binary);
    if (!in) throw_io(fmt::format("{}: cannot be read", path.string()));
    const std::string text(std::istreambuf_iterator<char>(in), {});
    if (model.tokenizer == nullptr) throw_input("the model has no tokenizer");
    std::vector<TokenId> tokens = model.tokenizer->encode(text, false, true);
    if (tokens.size() < kPrompt) {
        throw_input(fmt::format("{}: {} tokens, at least {} are needed", path.string(),
                                tokens.size(), kPrompt));
    }
    tokens.resize(kPrompt);
    return tokens;
}

/// As many steps as the context holds behind the prompt.
Runs runs_that_fit(const Setup& setup, const ModelShape& shape) {
    const std::int64_t room = shape.context - static_cast<std::int64_t>(kPrompt) - kWarmUpSteps;
    Runs runs = setup.main_runs();
    runs.steps = static_cast<int>(std::min<std::int64_t>(runs.steps, room / runs.repeats));
    if (runs.steps < 10) {
        throw_refused(fmt::format("a context of {} tokens has no room for {} runs behind {}",
                                  shape.context, runs.repeats, kPrompt));
    }
    return runs;
}

Json model_point(const Setup& real, const std::vector<TokenId>& prompt,
                 runtime::SequenceOptions options) {
    const Runs runs = runs_that_fit(real, real.model.shape);
    options.reserve_generated = kWarmUpSteps + runs.total();
    const std::unique_ptr<CudaBackend> backend = real.backend({});
    const SequenceId id = backend->add_sequence(options);
    static_cast<void>(backend->prefill(id, prompt, nullptr));
    Json point =
        decode_point(real, *backend, {id}, options, static_cast<std::int64_t>(prompt.size()), runs);
    point["model"] = real.model.name;
    return point;
}

}  // namespace

void model_points(Setup& setup) {
    const Arguments& arguments = setup.arguments;
    if (!arguments.model_file || !setup.report.wants_any({"model-"})) return;
    // Its own model and heads; points go to the same report.
    Setup real{arguments,
               Report(std::nullopt, {}),
               model::load_model(*arguments.model_file),
               {},
               setup.limits};
    const std::vector<TokenId> prompt = prompt_of(real.model, arguments.text.value());
    setup.report.measure("model-fullkv@7K",
                         [&] { return model_point(real, prompt, real.full(0)); });
    if (!arguments.model_heads) return;
    setup.report.measure(fmt::format("model-hetero-{}@7K", kRatio), [&] {
        real.profile = config::read_head_file(*arguments.model_heads);
        Json point = model_point(real, prompt, real.hetero(kRatio, kLag, 0));
        point["speedup"] = or_null(ratio(setup.report.figure("model-fullkv@7K", "step_ms"),
                                         point["step_ms"].get<double>()));
        return point;
    });
}

}  // namespace hc::cuda::bench
