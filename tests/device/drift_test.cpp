#include "kernels/cuda/drift.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <memory>
#include <numeric>
#include <random>

#include "engine/policy/selection.h"
#include "kernels/cuda/synthetic_drift.h"
#include "kernels/cuda/top_k.h"
#include "tests/device/device_buffer.h"
#include "tests/device/mapped_array.h"

namespace hc {
namespace {

using kernels::cuda::bitmap_words;
using kernels::cuda::DriftHeader;
using test::DeviceArray;
using test::MappedArray;

void add_to_bitmap(const Positions& positions, std::uint32_t* bitmap) {
    for (const auto position : positions) bitmap[position / 32] |= 1U << (position % 32);
}

// ---- decision --------------------------------------------------------------------------------

struct DecisionCase {
    std::int32_t prompt, base, window;
    bool chance_corrected;
};

/// `base` positions, of which about `share` come from the first half of `shuffled`.
Positions draw_set(std::vector<Position>& shuffled, std::size_t base, double share,
                   std::mt19937& random) {
    const std::size_t half = std::min(base, shuffled.size());
    std::shuffle(shuffled.begin(), shuffled.begin() + static_cast<std::ptrdiff_t>(half), random);
    std::shuffle(shuffled.begin() + static_cast<std::ptrdiff_t>(half), shuffled.end(), random);
    const std::size_t rest = shuffled.size() - half;
    const auto wanted = static_cast<std::size_t>(share * static_cast<double>(base));
    const std::size_t known = std::max(std::min(wanted, half), base > rest ? base - rest : 0);
    Positions set(shuffled.begin(), shuffled.begin() + static_cast<std::ptrdiff_t>(known));
    const auto begin = shuffled.begin() + static_cast<std::ptrdiff_t>(half);
    set.insert(set.end(), begin, begin + static_cast<std::ptrdiff_t>(base - known));
    std::sort(set.begin(), set.end());
    return set;
}

/// One decision over random sets against the policy's overlap and median.
void check_decision(const DecisionCase& c, std::mt19937& random, int& triggers) {
    SCOPED_TRACE(::testing::Message() << "prompt " << c.prompt << " base " << c.base << " W "
                                      << c.window << " corrected " << c.chance_corrected);
    std::vector<Position> shuffled(static_cast<std::size_t>(c.prompt));
    std::iota(shuffled.begin(), shuffled.end(), 0U);
    std::shuffle(shuffled.begin(), shuffled.end(), random);
    const auto base = static_cast<std::size_t>(c.base);
    const auto words = static_cast<std::size_t>(bitmap_words(c.prompt));
    Positions reference(shuffled.begin(), shuffled.begin() + c.base);
    std::sort(reference.begin(), reference.end());
    const std::size_t stride = words + 3;
    std::vector<std::uint32_t> candidates(stride * static_cast<std::size_t>(c.window), 0);
    std::vector<std::uint32_t> reference_bits(words, 0);
    add_to_bitmap(reference, reference_bits.data());
    std::vector<double> overlaps;
    for (std::size_t w = 0; w < static_cast<std::size_t>(c.window); ++w) {
        const double share = std::uniform_real_distribution<double>(0.2, 0.9)(random);
        const Positions set = draw_set(shuffled, base, share, random);
        add_to_bitmap(set, candidates.data() + w * stride);
        overlaps.push_back(policy::overlap(set, reference));
    }
    double median = policy::median(overlaps);
    if (c.chance_corrected) {
        const double chance = static_cast<double>(c.base) / static_cast<double>(c.prompt);
        median = (median - chance) / (1.0 - chance);
    }
    const std::int64_t step = static_cast<std::int64_t>(random());
    const DeviceArray<std::uint32_t> device_candidates(candidates);
    const DeviceArray<std::uint32_t> device_reference(reference_bits);
    const DeviceArray<std::int64_t> step_counter(std::vector<std::int64_t>{step});
    const DeviceArray<std::int64_t> sequence(std::vector<std::int64_t>{41});
    const MappedArray<DriftHeader> header(1);
    const DeviceArray<DriftHeader> copy(1);
    kernels::cuda::DriftDecideArguments a;
    a.candidates = device_candidates.get();
    a.candidate_stride = static_cast<std::int64_t>(stride);
    a.reference = device_reference.get();
    a.prompt = c.prompt;
    a.base = c.base;
    a.window = c.window;
    a.threshold = 0.5;
    a.chance_corrected = c.chance_corrected;
    a.star = 7;
    a.step_counter = step_counter.get();
    a.sequence_counter = sequence.get();
    a.host_header = header.device();
    a.device_header = copy.get();
    HC_ASSERT_CUDA(kernels::cuda::drift_decide(a, nullptr));
    HC_ASSERT_CUDA(cudaDeviceSynchronize());
    const DriftHeader& got = header.host()[0];
    const bool triggered = median < 0.5;
    EXPECT_EQ(got.ticket, static_cast<std::uint64_t>(step) + 1);
    EXPECT_EQ(got.step, step);
    EXPECT_EQ(got.sequence, 42);
    EXPECT_EQ(got.star, 7);
    EXPECT_EQ(got.median, median);
    EXPECT_EQ(got.triggered, triggered ? 1 : 0);
    for (std::size_t w = 0; w < std::size(got.overlaps); ++w) {
        EXPECT_EQ(got.overlaps[w], w < overlaps.size() ? overlaps[w] : 0.0);
    }
    EXPECT_EQ(std::memcmp(&got, &copy.read()[0], sizeof(got)), 0);
    if (triggered) {
        const auto last = candidates.end() - static_cast<std::ptrdiff_t>(stride);
        reference_bits.assign(last, last + static_cast<std::ptrdiff_t>(words));
        ++triggers;
    }
    EXPECT_EQ(device_reference.read(), reference_bits);
}

class DeviceDrift : public test::DeviceTest {};

TEST_F(DeviceDrift, DecidesAsThePolicyDoesForAnyWindowAndPrompt) {
    std::mt19937 random(41);
    int triggers = 0;
    int decisions = 0;
    for (const std::int32_t prompt : {1, 2, 31, 32, 33, 1000, 1024, 5003, 70'001}) {
        for (const std::int32_t window : {1, 2, 4, 5, 15, 16}) {
            for (const bool corrected : {false, true}) {
                const std::int32_t base = decisions % 3 == 0 ? prompt / 2 : prompt / 4;
                check_decision({prompt, base, window, corrected}, random, triggers);
                ++decisions;
            }
        }
    }
    EXPECT_GT(triggers, 10);
    EXPECT_LT(triggers, decisions - 10);
}

/// What a decision needs beside its sets; sets are empty words.
struct PlainDecision {
    explicit PlainDecision(std::int32_t prompt)
        : sets(std::vector<std::uint32_t>(static_cast<std::size_t>(bitmap_words(prompt)), 0)),
          reference(std::vector<std::uint32_t>(static_cast<std::size_t>(bitmap_words(prompt)), 0)),
          step_counter(std::vector<std::int64_t>{0}),
          header(1) {
        arguments.candidates = sets.get();
        arguments.candidate_stride = bitmap_words(prompt);
        arguments.reference = reference.get();
        arguments.prompt = prompt;
        arguments.base = 1;
        arguments.threshold = 1.0;
        arguments.step_counter = step_counter.get();
        arguments.host_header = header.device();
    }
    void set_step(std::int64_t step) const {
        HC_ASSERT_CUDA(cudaMemcpy(step_counter.get(), &step, sizeof(step), cudaMemcpyHostToDevice));
    }
    DeviceArray<std::uint32_t> sets;
    DeviceArray<std::uint32_t> reference;
    DeviceArray<std::int64_t> step_counter;
    MappedArray<DriftHeader> header;
    kernels::cuda::DriftDecideArguments arguments;
};

TEST_F(DeviceDrift, NeverTriggersWhereTheSetsAreTheWholePrompt) {
    PlainDecision decision(100);
    decision.arguments.base = 100;
    decision.arguments.window = 2;
    decision.arguments.candidate_stride = 0;
    EXPECT_EQ(kernels::cuda::drift_decide(decision.arguments, nullptr), cudaErrorInvalidValue);
    decision.arguments.candidate_stride = 4;
    for (const double rate : {-1.0, 1.0}) {
        decision.arguments.forced_rate = rate;
        HC_ASSERT_CUDA(kernels::cuda::drift_decide(decision.arguments, nullptr));
        HC_ASSERT_CUDA(cudaDeviceSynchronize());
        const DriftHeader& got = decision.header.host()[0];
        EXPECT_EQ(got.triggered, 0);
        EXPECT_EQ(got.median, 1.0);
        EXPECT_EQ(got.overlaps[0], 1.0);
        EXPECT_EQ(got.overlaps[1], 1.0);
        EXPECT_EQ(got.overlaps[2], 0.0);
    }
}

TEST_F(DeviceDrift, TriggersWhereItIsTold) {
    const PlainDecision decision(64);
    kernels::cuda::DriftDecideArguments a = decision.arguments;
    const DeviceArray<std::uint8_t> told(std::vector<std::uint8_t>{1, 0, 1});
    a.told = told.get();
    a.num_told = 0;
    EXPECT_EQ(kernels::cuda::drift_decide(a, nullptr), cudaErrorInvalidValue);
    a.num_told = 3;
    a.forced_rate = 1;
    a.window = 2;
    for (std::int64_t step = 2; step < 20; ++step) {
        decision.set_step(step);
        HC_ASSERT_CUDA(kernels::cuda::drift_decide(a, nullptr));
        HC_ASSERT_CUDA(cudaDeviceSynchronize());
        EXPECT_EQ(decision.header.host()[0].triggered, (step / 2 - 1) % 3 == 1 ? 0 : 1) << step;
    }
}

TEST_F(DeviceDrift, TriggersAtTheForcedRateFromReplaysOfOneGraph) {
    const PlainDecision decision(64);
    kernels::cuda::DriftDecideArguments a = decision.arguments;
    a.forced_rate = 0.25;
    a.seed = 99;
    a.star = 3;
    cudaStream_t stream = nullptr;
    cudaGraph_t graph = nullptr;
    cudaGraphExec_t exec = nullptr;
    HC_ASSERT_CUDA(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
    HC_ASSERT_CUDA(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
    HC_ASSERT_CUDA(kernels::cuda::drift_decide(a, stream));
    HC_ASSERT_CUDA(cudaStreamEndCapture(stream, &graph));
    HC_ASSERT_CUDA(cudaGraphInstantiate(&exec, graph, 0));
    int triggers = 0;
    constexpr int kSteps = 400;
    for (std::int64_t step = 0; step < kSteps; ++step) {
        decision.set_step(step);
        HC_ASSERT_CUDA(cudaGraphLaunch(exec, stream));
        HC_ASSERT_CUDA(cudaStreamSynchronize(stream));
        using kernels::cuda::hash_on;
        const double unit =
            kernels::cuda::unit_of_hash(hash_on(hash_on(99, static_cast<std::uint64_t>(step)), 3));
        const DriftHeader& got = decision.header.host()[0];
        ASSERT_EQ(got.ticket, static_cast<std::uint64_t>(step) + 1);
        ASSERT_EQ(got.triggered, unit < 0.25 ? 1 : 0);
        triggers += got.triggered;
    }
    EXPECT_NEAR(triggers, kSteps / 4, 35);  // four standard deviations
    HC_ASSERT_CUDA(cudaGraphExecDestroy(exec));
    HC_ASSERT_CUDA(cudaGraphDestroy(graph));
    HC_ASSERT_CUDA(cudaStreamDestroy(stream));
}

// ---- candidate sets --------------------------------------------------------------------------

TEST_F(DeviceDrift, CandidateSetsAreThePolicysWithAndWithoutClusters) {
    std::mt19937 random(43);
    std::normal_distribution<float> normal;
    for (const std::int32_t prompt : {33, 5'003, 100'000, 262'144, 262'145}) {
        std::vector<float> scores(static_cast<std::size_t>(prompt));
        for (float& x : scores) x = std::round(std::exp(2 * normal(random)) * 64);  // many ties
        const std::int32_t k = prompt / 3;
        Positions expected;
        policy::top_k(scores, static_cast<std::size_t>(k), expected);
        std::vector<std::uint32_t> bits(static_cast<std::size_t>(bitmap_words(prompt)), 0);
        add_to_bitmap(expected, bits.data());
        const DeviceArray<float> device_scores(scores);
        const DeviceArray<std::int32_t> device_k(std::vector<std::int32_t>{k});
        const DeviceArray<std::uint8_t> workspace(kernels::cuda::top_k_workspace_bytes(1, prompt));
        for (const bool may_use_clusters : {false, true}) {
            const DeviceArray<std::uint32_t> bitmap(bits.size());
            kernels::cuda::TopKArguments a;
            a.scores = device_scores.get();
            a.score_stride = prompt;
            a.k = device_k.get();
            a.num_rows = 1;
            a.count = prompt;
            a.bitmaps = bitmap.get();
            a.bitmap_stride = bitmap_words(prompt);
            a.workspace = workspace.get();
            a.may_use_clusters = may_use_clusters;
            HC_ASSERT_CUDA(kernels::cuda::top_k(a, nullptr));
            EXPECT_EQ(bitmap.read(), bits) << prompt << " clusters " << may_use_clusters;
        }
    }
}

// ---- synthetic drift -------------------------------------------------------------------------

struct Runs {
    std::int64_t positions = 0;
    std::int64_t runs = 0;
};

Runs count_runs(const std::vector<std::uint32_t>& bits) {
    Runs result;
    bool before = false;
    for (std::size_t i = 0; i < bits.size() * 32; ++i) {
        const bool set = (bits[i / 32] >> (i % 32) & 1U) != 0;
        result.positions += set ? 1 : 0;
        result.runs += set && !before ? 1 : 0;
        before = set;
    }
    return result;
}

/// The best caps[j] of each row of scores.
std::vector<std::vector<std::uint32_t>> choose(const DeviceArray<float>& scores,
                                               const std::vector<std::int32_t>& caps,
                                               std::int32_t prompt) {
    const auto rows = static_cast<std::int32_t>(caps.size());
    const auto words = static_cast<std::size_t>(bitmap_words(prompt));
    const DeviceArray<std::int32_t> k(caps);
    const DeviceArray<std::uint32_t> bitmaps(words * caps.size());
    const DeviceArray<std::uint8_t> workspace(kernels::cuda::top_k_workspace_bytes(rows, prompt));
    kernels::cuda::TopKArguments a;
    a.scores = scores.get();
    a.score_stride = prompt;
    a.k = k.get();
    a.num_rows = rows;
    a.count = prompt;
    a.bitmaps = bitmaps.get();
    a.bitmap_stride = static_cast<std::int64_t>(words);
    a.workspace = workspace.get();
    EXPECT_EQ(kernels::cuda::top_k(a, nullptr), cudaSuccess);
    const std::vector<std::uint32_t> all = bitmaps.read();
    std::vector<std::vector<std::uint32_t>> out;
    for (std::size_t j = 0; j < caps.size(); ++j) {
        const auto begin = all.begin() + static_cast<std::ptrdiff_t>(j * words);
        out.emplace_back(begin, begin + static_cast<std::ptrdiff_t>(words));
    }
    return out;
}

class DeviceSyntheticDrift : public test::DeviceTest {};

TEST_F(DeviceSyntheticDrift, KeepsTheCapacityAndBringsTheStatedShareInRuns) {
    constexpr std::int32_t kPrompt = 200'003;
    const std::vector<std::int32_t> caps = {80'000, 40'001, 120'000};
    const DeviceArray<float> scores(caps.size() * kPrompt);
    for (const double run : {1.0, 2.0, 5.0}) {
        for (const double share : {0.1, 0.4}) {
            SCOPED_TRACE(::testing::Message() << "run " << run << " share " << share);
            kernels::cuda::SyntheticDriftArguments a;
            a.prompt = kPrompt;
            a.num_members = static_cast<std::int32_t>(caps.size());
            std::copy(caps.begin(), caps.end(), a.caps);
            a.seed = 5;
            a.star = 2;
            a.mean_run = run;
            a.new_share = share;
            a.scores = scores.get();
            a.score_stride = kPrompt;
            HC_ASSERT_CUDA(kernels::cuda::synthetic_resident(a, nullptr));
            auto resident = choose(scores, caps, kPrompt);
            for (std::int64_t step = 10; step < 13; ++step) {
                const DeviceArray<std::int64_t> counter(std::vector<std::int64_t>{step});
                std::vector<std::unique_ptr<DeviceArray<std::uint32_t>>> held;
                for (std::size_t j = 0; j < caps.size(); ++j) {
                    held.push_back(std::make_unique<DeviceArray<std::uint32_t>>(resident[j]));
                    a.residents[j] = held.back()->get();
                }
                a.step_counter = counter.get();
                HC_ASSERT_CUDA(kernels::cuda::synthetic_scores(a, nullptr));
                const auto wanted = choose(scores, caps, kPrompt);
                for (std::size_t j = 0; j < caps.size(); ++j) {
                    std::vector<std::uint32_t> fetched(wanted[j]);
                    for (std::size_t i = 0; i < fetched.size(); ++i) fetched[i] &= ~resident[j][i];
                    const Runs runs = count_runs(fetched);
                    EXPECT_EQ(count_runs(wanted[j]).positions, caps[j]);
                    EXPECT_NEAR(static_cast<double>(runs.positions), share * caps[j],
                                0.1 * share * caps[j]);
                    // Cells that happen to lie side by side make one run.
                    const double expected = run / (1.0 - share * caps[j] / kPrompt);
                    EXPECT_NEAR(static_cast<double>(runs.positions),
                                expected * static_cast<double>(runs.runs),
                                0.2 * static_cast<double>(runs.positions));
                }
                resident = wanted;
            }
        }
    }
}

TEST_F(DeviceSyntheticDrift, DrawsTheSameForTheSameStepAndAnewForAnother) {
    constexpr std::int32_t kPrompt = 5'003;
    const DeviceArray<std::uint32_t> resident(
        std::vector<std::uint32_t>(static_cast<std::size_t>(bitmap_words(kPrompt)), 0x0f0f0f0fU));
    const DeviceArray<float> scores(kPrompt);
    kernels::cuda::SyntheticDriftArguments a;
    a.prompt = kPrompt;
    a.num_members = 1;
    a.caps[0] = 2'500;
    a.residents[0] = resident.get();
    a.scores = scores.get();
    a.score_stride = kPrompt;
    const auto draw = [&](std::int64_t step) {
        const DeviceArray<std::int64_t> counter(std::vector<std::int64_t>{step});
        a.step_counter = counter.get();
        EXPECT_EQ(kernels::cuda::synthetic_scores(a, nullptr), cudaSuccess);
        return scores.read();
    };
    const std::vector<float> first = draw(1);
    EXPECT_NE(draw(2), first);
    EXPECT_EQ(draw(1), first);
    EXPECT_TRUE(std::all_of(first.begin(), first.end(), [](float x) { return x >= 0 && x < 4; }));
}

TEST_F(DeviceSyntheticDrift, RefusesSharesAndRunsOutOfRange) {
    kernels::cuda::SyntheticDriftArguments a;
    a.mean_run = 0.5;
    EXPECT_EQ(kernels::cuda::synthetic_resident(a, nullptr), cudaErrorInvalidValue);
    a.mean_run = 4;
    a.new_share = std::nan("");
    EXPECT_EQ(kernels::cuda::synthetic_resident(a, nullptr), cudaErrorInvalidValue);
}

}  // namespace
}  // namespace hc
