// The everyday model on the device against the CPU backend in fp32 (teacher-forced).
#include <algorithm>
#include <cstdlib>
#include <fstream>

#include "engine/runtime/cpu_backend.h"
#include "tests/device_engine/fixture.h"

namespace hc::test {
namespace {

constexpr std::size_t kSteps = 64;

// What bf16 costs a logit of this model: each of a step's some 300 intermediate results, and each
// weight that the file's blocks give, is rounded to eight bits: errors of 2^-9 that add up like a
// random walk. Against fp32 on the CPU, over 195 steps, one logit was off by at most 0.68 and a
// step's root mean square by at most 0.29 (H100; logits of these steps span some 30). So a choice
// is clear when its two best logits are further apart than the first of these. Both bounds were set
// from that measurement: they notice when it gets worse, and do not show that rounding is all of it.
constexpr double kLogitTolerance = 0.7;
constexpr double kRmsTolerance = 0.35;

const char* const kTexts[] = {
    "The history of navigation is the history of measuring time. A clock that keeps the time of a "
    "known port lets a sailor compare it with the time of the sun where he is, and the difference "
    "is his longitude.",
    "def merge(left, right):\n    result = []\n    while left and right:\n        if left[0] <= "
    "right[0]:\n            result.append(left.pop(0))\n        else:\n            "
    "result.append(right.pop(0))\n    return result + left + right\n",
    "Permission is hereby granted, free of charge, to any person obtaining a copy of this software "
    "and associated documentation files, to deal in the software without restriction.",
};

struct TopTwo {
    std::size_t best = 0;
    float gap = 0;
};

TopTwo top_two(std::span<const float> logits) {
    TopTwo out;
    out.best =
        static_cast<std::size_t>(std::max_element(logits.begin(), logits.end()) - logits.begin());
    float second = -INFINITY;
    for (std::size_t i = 0; i < logits.size(); ++i) {
        if (i != out.best) second = std::max(second, logits[i]);
    }
    out.gap = logits[out.best] - second;
    return out;
}

class EverydayModel : public DeviceEngineTest {};

TEST_F(EverydayModel, AgreesWithTheCpuWhereverItsChoiceIsClear) {
    const auto path = model_file();
    HC_REQUIRE_OR_SKIP(path, "the default model");
    const model::Model model = model::load_model(*path);
    std::size_t clear = 0;
    std::size_t steps = 0;
    double worst_difference = 0;
    double worst_rms = 0;
    for (const char* text : kTexts) {
        std::vector<model::TokenId> prompt = model.tokenizer->encode(text, false, false);
        // Greedy tokens of the CPU in fp32, fed to both.
        runtime::EngineOptions cpu_options;
        cpu_options.precision = kernels::cpu::Precision::kFp32;
        runtime::CpuBackend cpu(model, cpu_options, nullptr);
        const auto on_cpu = cpu.add_sequence({});
        std::vector<std::vector<float>> expected;
        std::vector<model::TokenId> forced;
        auto logits = cpu.prefill(on_cpu, prompt, nullptr);
        for (std::size_t i = 0; i <= kSteps; ++i) {
            expected.emplace_back(logits.begin(), logits.end());
            if (i == kSteps) break;
            forced.push_back(static_cast<model::TokenId>(top_two(expected.back()).best));
            const runtime::DecodeInput input{on_cpu, forced.back()};
            logits = cpu.decode({&input, 1});
        }
        runtime::EngineOptions options = device_options();
        options.page_size = 256;
        cuda::CudaBackend engine(model, options, {}, nullptr);
        const auto found = run_forced(engine, engine.add_sequence({}), prompt, forced);
        for (std::size_t i = 0; i < found.size(); ++i) {
            const TopTwo wanted = top_two(expected[i]);
            double sum = 0;
            for (std::size_t j = 0; j < found[i].size(); ++j) {
                const double d = std::abs(static_cast<double>(found[i][j]) -
                                          static_cast<double>(expected[i][j]));
                worst_difference = std::max(worst_difference, d);
                sum += d * d;
            }
            worst_rms = std::max(worst_rms, std::sqrt(sum / static_cast<double>(found[i].size())));
            ++steps;
            if (static_cast<double>(wanted.gap) <= kLogitTolerance) continue;
            ++clear;
            EXPECT_EQ(top_two(found[i]).best, wanted.best)
                << "step " << i << ", gap " << wanted.gap;
        }
    }
    EXPECT_LT(worst_difference, kLogitTolerance);
    EXPECT_LT(worst_rms, kRmsTolerance);
    EXPECT_GT(clear, steps / 2);
    std::printf(
        "[ figures  ] logits: worst difference %.4f, worst rms %.4f; clear choices %zu of %zu\n",
        worst_difference, worst_rms, clear, steps);
    RecordProperty("worst_difference", std::to_string(worst_difference));
    RecordProperty("worst_rms", std::to_string(worst_rms));
    RecordProperty("clear_steps", static_cast<int>(clear));
    RecordProperty("steps", static_cast<int>(steps));
}

}  // namespace
}  // namespace hc::test
