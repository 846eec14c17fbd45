// What recording costs a decode step: engines with and without it, decoding in turn, block by
// block, at the same context. Prints one JSON document.
//
//   recording_cost MODEL TEXT [prompt tokens] [blocks]
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>

#include "engine/core/clock.h"
#include "engine/core/error.h"
#include "engine/policy/calibration.h"
#include "engine/runtime/generate.h"
#include "profiler/trace/writer.h"
#include "tests/support/paths.h"

namespace hc {
namespace {

constexpr int kStepsPerBlock = 16;

struct Contestant {
    std::string name;
    std::unique_ptr<trace::Writer> writer;
    std::unique_ptr<trace::RunRecorder> recorder;
    std::unique_ptr<runtime::Engine> engine;
    runtime::SequenceId sequence = 0;
    model::TokenId token = 0;
    std::vector<double> step_ns;
};

model::TokenId best(std::span<const float> logits) {
    return static_cast<model::TokenId>(std::max_element(logits.begin(), logits.end()) -
                                       logits.begin());
}

double median(std::vector<double> v) {
    std::sort(v.begin(), v.end());
    return v[v.size() / 2];
}

int run(int argc, char** argv) {
    if (argc < 3) {
        std::fprintf(stderr, "usage: recording_cost MODEL TEXT [prompt tokens] [blocks]\n");
        return 2;
    }
    const std::size_t length = argc > 3 ? std::strtoul(argv[3], nullptr, 10) : 2048;
    const int blocks = argc > 4 ? std::atoi(argv[4]) : 16;
    const model::Model model = model::load_model(argv[1]);
    std::ifstream in(argv[2], std::ios::binary);
    const std::string text(std::istreambuf_iterator<char>(in), {});
    std::vector<model::TokenId> prompt = model.tokenizer->encode(text, false, false);
    if (prompt.size() > length) prompt.resize(length);
    // Every head compressed or pivot, so that the drift trace has its usual size.
    HeadProfile profile;
    profile.num_layers = static_cast<std::int32_t>(model.shape.num_layers);
    profile.num_kv_heads = static_cast<std::int32_t>(model.shape.num_kv_heads);
    profile.stars.resize(static_cast<std::size_t>(profile.num_layers));
    for (std::int32_t l = 0; l < profile.num_layers; ++l) {
        Star star;
        for (std::int32_t h = 0; h < profile.num_kv_heads; ++h) {
            profile.roles.push_back(h == 0 ? HeadRole::kPivot : HeadRole::kSatellite);
            profile.ratios.push_back(h == 0 ? -1.0 : 1.0);
            if (h != 0) star.members.push_back(h);
        }
        profile.stars[static_cast<std::size_t>(l)].push_back(star);
    }

    const test::TemporaryFolder folder;
    std::vector<Contestant> contestants;
    for (const char* name : {"off", "recording", "drift trace"}) {
        Contestant c;
        c.name = name;
        runtime::EngineOptions options;
        options.record_operations = c.name != "off";
        if (c.name != "off") {
            c.writer = std::make_unique<trace::Writer>(folder.path() / (c.name + ".sqlite"),
                                                       trace::WriterOptions{});
            trace::Run description;
            description.policy = "fullkv";
            description.prompt_tokens = static_cast<std::int64_t>(prompt.size());
            c.recorder = std::make_unique<trace::RunRecorder>(*c.writer,
                                                              c.writer->begin_run(description, {}));
        }
        c.engine = std::make_unique<runtime::Engine>(model, options, c.recorder.get());
        runtime::SequenceOptions sequence_options;
        sequence_options.reserve_generated = (blocks + 1) * kStepsPerBlock;
        c.sequence = c.engine->add_sequence(sequence_options);
        if (c.name == "drift trace") {
            runtime::AttentionCapture capture;
            capture.profile = &profile;
            c.engine->capture_attention(c.sequence, capture);
        }
        c.token = best(c.engine->prefill(c.sequence, prompt));
        contestants.push_back(std::move(c));
    }
    for (int block = 0; block <= blocks; ++block) {  // block 0 warms up
        for (std::size_t turn = 0; turn < contestants.size(); ++turn) {
            Contestant& c =
                contestants[(turn + static_cast<std::size_t>(block)) % contestants.size()];
            for (int step = 0; step < kStepsPerBlock; ++step) {
                const std::int64_t start = now_ns();
                const runtime::DecodeInput input{c.sequence, c.token};
                c.token = best(c.engine->decode(std::span(&input, 1)));
                if (block > 0) c.step_ns.push_back(static_cast<double>(now_ns() - start));
            }
        }
    }
    nlohmann::ordered_json document;
    document["prompt_tokens"] = prompt.size();
    document["steps_each"] = contestants.front().step_ns.size();
    const double off = median(contestants.front().step_ns);
    for (Contestant& c : contestants) {
        document["median_step_ns"][c.name] = median(c.step_ns);
        document["cost_percent"][c.name] = 100 * (median(c.step_ns) / off - 1);
        if (c.writer) c.writer->finish();
    }
    std::printf("%s\n", document.dump(2).c_str());
    return 0;
}

}  // namespace
}  // namespace hc

int main(int argc, char** argv) {
    try {
        return hc::run(argc, argv);
    } catch (const hc::Error& e) {
        std::fprintf(stderr, "recording_cost: %s\n", e.what());
        return static_cast<int>(e.code());
    }
}
