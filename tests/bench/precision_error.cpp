// What precision `fast` costs: the fp32 engine's greedy tokens fed to the fast one, logits
// compared step by step. Prints one JSON document.
//
//   precision_error MODEL TEXT [prompt tokens] [tokens]
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>

#include "engine/core/error.h"
#include "engine/runtime/generate.h"

namespace hc {
namespace {

runtime::Generated run(const model::Model& model, std::span<const model::TokenId> prompt,
                       kernels::cpu::Precision precision, runtime::GenerateOptions generate) {
    runtime::EngineOptions options;
    options.precision = precision;
    options.record_operations = false;
    runtime::Engine engine(model, options);
    const runtime::SequenceId sequence = engine.add_sequence({});
    NoProgress progress;
    return runtime::generate(engine, sequence, prompt, generate, nullptr, progress);
}

int compare(int argc, char** argv) {
    if (argc < 3) {
        std::fprintf(stderr, "usage: precision_error MODEL TEXT [prompt tokens] [tokens]\n");
        return 2;
    }
    const std::size_t length = argc > 3 ? std::strtoul(argv[3], nullptr, 10) : 2048;
    const model::Model model = model::load_model(argv[1]);
    std::ifstream in(argv[2], std::ios::binary);
    const std::string text(std::istreambuf_iterator<char>(in), {});
    std::vector<model::TokenId> prompt = model.tokenizer->encode(text, false, false);
    if (prompt.size() > length) prompt.resize(length);

    runtime::GenerateOptions generate;
    generate.max_tokens = argc > 4 ? std::atoi(argv[4]) : 128;
    std::vector<float> exact;
    generate.keep_logits = &exact;
    const runtime::Generated reference =
        run(model, prompt, kernels::cpu::Precision::kFp32, generate);
    std::vector<float> fast;
    generate.keep_logits = &fast;
    generate.forced = reference.tokens;
    generate.reference_logits = exact;
    const runtime::Generated result = run(model, prompt, kernels::cpu::Precision::kFast, generate);

    double squared = 0, worst = 0;
    for (std::size_t i = 0; i < exact.size(); ++i) {
        const double difference = std::abs(static_cast<double>(exact[i]) - fast[i]);
        squared += difference * difference;
        worst = std::max(worst, difference);
    }
    std::vector<double> kl = result.kl_nats;
    double sum = 0;
    for (const double value : kl) sum += value;
    std::sort(kl.begin(), kl.end());
    nlohmann::ordered_json document;
    document["prompt_tokens"] = prompt.size();
    document["steps"] = kl.size();
    document["logit_rms_difference"] = std::sqrt(squared / static_cast<double>(exact.size()));
    document["logit_max_difference"] = worst;
    document["kl_mean_nats"] = sum / static_cast<double>(kl.size());
    document["kl_p95_nats"] = kl[kl.size() * 95 / 100];
    document["same_top_token"] =
        static_cast<double>(std::count(result.top1_equal.begin(), result.top1_equal.end(), true)) /
        static_cast<double>(result.top1_equal.size());
    std::printf("%s\n", document.dump(2).c_str());
    return 0;
}

}  // namespace
}  // namespace hc

int main(int argc, char** argv) {
    try {
        return hc::compare(argc, argv);
    } catch (const hc::Error& e) {
        std::fprintf(stderr, "precision_error: %s\n", e.what());
        return static_cast<int>(e.code());
    }
}
