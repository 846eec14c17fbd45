#include "kernels/cuda/sample.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "tests/device/device_buffer.h"

namespace hc::test {
namespace {

using kernels::cuda::SampleArguments;

struct Cut {
    float temperature;
    std::int32_t top_k;
    float top_p;
};

// The stream of runtime::Sampler.
double next_uniform(std::uint64_t& state) {
    state += 0x9E3779B97F4A7C15U;
    std::uint64_t z = state;
    z = (z ^ (z >> 30U)) * 0xBF58476D1CE4E5B9U;
    z = (z ^ (z >> 27U)) * 0x94D049BB133111EBU;
    return static_cast<double>((z ^ (z >> 31U)) >> 11U) * 0x1.0p-53;
}

// The plain algorithm of runtime::Sampler, split so that its boundaries can be looked at. fp32
// exp differs in the last bits between host and device, so every boundary is known to kSlack only.
class Candidates {
public:
    static constexpr double kSlack = 1e-5;

    Candidates(const float* logits, std::int32_t vocab, Cut cut) : ids_(vocab), place_(vocab) {
        std::iota(ids_.begin(), ids_.end(), 0);
        std::sort(ids_.begin(), ids_.end(), [&](std::int32_t a, std::int32_t b) {
            return logits[a] != logits[b] ? logits[a] > logits[b] : a < b;
        });
        for (std::size_t i = 0; i < ids_.size(); ++i) place_[static_cast<std::size_t>(ids_[i])] = i;
        if (cut.top_k > 0 && cut.top_k < vocab) ids_.resize(static_cast<std::size_t>(cut.top_k));
        const float largest = logits[ids_.front()];
        double sum = 0;
        for (const auto id : ids_) {
            sum += static_cast<double>(std::exp((logits[id] - largest) / cut.temperature));
            up_to_.push_back(sum);
        }
        for (double& v : up_to_) v /= sum;
        lowest_nucleus_ = reaching(static_cast<double>(cut.top_p) - kSlack);
        highest_nucleus_ = reaching(static_cast<double>(cut.top_p) + kSlack);
    }

    // Whether `uniform` may have chosen `id`, and into `unique` whether nothing else could.
    [[nodiscard]] bool allows(std::int32_t id, double uniform, bool& unique) const {
        const double low = uniform * lowest_nucleus_ - kSlack;
        const double high = uniform * highest_nucleus_ + kSlack;
        const std::size_t i = place_[static_cast<std::size_t>(id)];
        if (i >= ids_.size()) return false;
        const double begin = i == 0 ? 0 : up_to_[i - 1];
        unique = begin < low && high < up_to_[i];
        return begin < high && low < up_to_[i] && begin < highest_nucleus_ && begin < up_to_[i];
    }

private:
    // The mass of the shortest prefix that reaches a share, of one token at least.
    [[nodiscard]] double reaching(double share) const {
        for (const double v : up_to_) {
            if (v >= share) return v;
        }
        return up_to_.back();
    }
    std::vector<std::int32_t> ids_;
    std::vector<std::size_t> place_;  // of each id among all
    std::vector<double> up_to_;       // shares of the kept ones, summed in order
    double lowest_nucleus_ = 0;
    double highest_nucleus_ = 0;
};

std::vector<std::int32_t> run(const std::vector<float>& logits, std::int64_t stride, std::int32_t n,
                              std::int32_t vocab, Cut cut, std::vector<std::uint64_t>& states) {
    const DeviceArray<float> in(logits);
    const DeviceArray<std::uint64_t> device_states(states);
    const DeviceArray<std::int32_t> tokens(static_cast<std::size_t>(n));
    const DeviceArray<std::byte> workspace(kernels::cuda::sample_workspace_bytes(n, vocab));
    SampleArguments a;
    a.logits = in.get();
    a.stride = stride;
    a.n = n;
    a.vocab = vocab;
    a.temperature = cut.temperature;
    a.top_k = cut.top_k;
    a.top_p = cut.top_p;
    a.states = device_states.get();
    a.tokens = tokens.get();
    a.workspace = workspace.get();
    EXPECT_EQ(kernels::cuda::sample(a, nullptr), cudaSuccess);
    states = device_states.read();
    return tokens.read();
}

// Every row draws once from logits of its own; returns how many draws had one answer.
int check(std::int32_t n, std::int32_t vocab, float deviation, Cut cut, std::mt19937& random) {
    SCOPED_TRACE(testing::Message() << "vocab " << vocab << " deviation " << deviation << " T "
                                    << cut.temperature << " k " << cut.top_k << " p " << cut.top_p);
    const std::int64_t stride = vocab + 3;
    std::normal_distribution<float> normal(0.0f, deviation);
    std::vector<float> logits(static_cast<std::size_t>(n * stride),
                              std::numeric_limits<float>::quiet_NaN());
    for (std::int32_t r = 0; r < n; ++r) {
        for (std::int32_t id = 0; id < vocab; ++id) {
            // Rounded, so that equal logits are common; some tokens are ruled out.
            float v = std::round(normal(random) * 64.0f) / 64.0f;
            if (id % 97 == 96) v = -std::numeric_limits<float>::infinity();
            logits[static_cast<std::size_t>(r * stride + id)] = v;
        }
    }
    std::vector<std::uint64_t> states;
    for (std::int32_t r = 0; r < n; ++r) {
        states.push_back(std::uint64_t{random()} << 32 | random());
    }
    std::vector<std::uint64_t> after = states;
    const auto tokens = run(logits, stride, n, vocab, cut, after);
    std::vector<std::uint64_t> again = states;
    EXPECT_EQ(run(logits, stride, n, vocab, cut, again), tokens) << "equal input, equal tokens";
    int unique_draws = 0;
    for (std::size_t r = 0; r < tokens.size(); ++r) {
        std::uint64_t state = states[r];
        const double uniform = next_uniform(state);
        EXPECT_EQ(after[r], state) << "row " << r;
        const Candidates candidates(&logits[r * static_cast<std::size_t>(stride)], vocab, cut);
        bool unique = false;
        EXPECT_TRUE(tokens[r] >= 0 && tokens[r] < vocab &&
                    candidates.allows(tokens[r], uniform, unique))
            << "row " << r << " token " << tokens[r] << " uniform " << uniform;
        unique_draws += unique ? 1 : 0;
    }
    return unique_draws;
}

class DeviceSample : public DeviceTest {};

TEST_F(DeviceSample, GreedyTakesTheLargestLogitAndTheLowestIdOnTies) {
    std::mt19937 random(51);
    for (const std::int32_t vocab : {1, 2, 31, 4096, 4097, 49152, 128256}) {
        constexpr std::int32_t kRows = 3;
        std::vector<float> logits(static_cast<std::size_t>(kRows * vocab));
        std::normal_distribution<float> normal(-5.0f, 2.0f);
        // Rounded to whole numbers, so that the largest occurs often.
        for (auto& v : logits) v = std::round(normal(random));
        std::vector<std::int32_t> expected;
        for (std::int32_t r = 0; r < kRows; ++r) {
            const auto row = logits.begin() + static_cast<std::ptrdiff_t>(r) * vocab;
            expected.push_back(static_cast<std::int32_t>(std::max_element(row, row + vocab) - row));
        }
        std::vector<std::uint64_t> states = {1, 2, 3};
        EXPECT_EQ(run(logits, vocab, kRows, vocab, {0, 5, 0.5f}, states), expected);
        EXPECT_EQ(states, (std::vector<std::uint64_t>{1, 2, 3})) << "greedy draws nothing";
    }
}

TEST_F(DeviceSample, GreedyHoldsBothZerosForEqual) {
    std::vector<std::uint64_t> states = {1};
    EXPECT_EQ(run({-1.0f, -0.0f, 0.0f}, 3, 1, 3, {0, 0, 1}, states),
              (std::vector<std::int32_t>{1}));
}

TEST_F(DeviceSample, DrawsWhatThePlainAlgorithmDraws) {
    std::mt19937 random(52);
    const Cut cuts[] = {{1.0f, 0, 1.0f}, {0.7f, 40, 1.0f}, {1.0f, 0, 0.9f},   {0.8f, 50, 0.95f},
                        {2.0f, 1, 1.0f}, {1.0f, 3, 0.5f},  {1.0f, 0, 0.001f}, {0.05f, 7, 0.99f}};
    int unique = 0;
    int draws = 0;
    for (const std::int32_t vocab : {1, 5, 100, 2000}) {
        for (const Cut cut : cuts) {
            unique += check(16, vocab, 3.0f, cut, random);
            draws += 16;
        }
    }
    EXPECT_GT(unique, draws * 9 / 10) << "the comparison is not to be empty";
}

TEST_F(DeviceSample, DrawsFromALargeVocabularyPeakedAndFlat) {
    std::mt19937 random(53);
    for (const Cut cut : {Cut{1.0f, 0, 0.95f}, Cut{0.8f, 200, 0.9f}}) {
        EXPECT_GT(check(2, 128256, 4.0f, cut, random), -1);
        EXPECT_GT(check(2, 128256, 0.01f, cut, random), -1);
    }
}

TEST_F(DeviceSample, DrawsEachTokenAsOftenAsItsProbabilitySays) {
    // 2,000 rows of one distribution, states of one stream.
    constexpr std::int32_t kRows = 2000;
    const float probabilities[] = {0.5f, 0.25f, 0.125f, 0.125f};
    std::vector<float> logits;
    std::vector<std::uint64_t> states;
    for (std::int32_t r = 0; r < kRows; ++r) {
        for (const float p : probabilities) logits.push_back(std::log(p));
        states.push_back(7 + static_cast<std::uint64_t>(r) * kernels::cuda::kSampleIncrement);
    }
    const auto tokens = run(logits, 4, kRows, 4, {1.0f, 0, 1.0f}, states);
    for (std::int32_t id = 0; id < 4; ++id) {
        const auto count = static_cast<double>(std::count(tokens.begin(), tokens.end(), id));
        const double p = probabilities[id];
        EXPECT_NEAR(count, kRows * p, 5 * std::sqrt(kRows * p * (1 - p))) << "token " << id;
    }
}

TEST_F(DeviceSample, RefusesWhatItDoesNotKnow) {
    SampleArguments a;
    a.n = 1;
    EXPECT_EQ(kernels::cuda::sample(a, nullptr), cudaErrorInvalidValue);
    a.vocab = 10;
    a.temperature = -1;
    EXPECT_EQ(kernels::cuda::sample(a, nullptr), cudaErrorInvalidValue);
    a.temperature = 1;
    a.top_p = 0;
    EXPECT_EQ(kernels::cuda::sample(a, nullptr), cudaErrorInvalidValue);
    a.top_p = 1;
    a.top_k = -1;
    EXPECT_EQ(kernels::cuda::sample(a, nullptr), cudaErrorInvalidValue);
    a.n = 0;
    a.top_k = 0;
    EXPECT_EQ(kernels::cuda::sample(a, nullptr), cudaSuccess);
}

}  // namespace
}  // namespace hc::test
