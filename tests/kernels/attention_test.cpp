/// Attention and selection scores of every level against the reference.

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <string>

#include "engine/core/half.h"
#include "kernels/cpu/dispatch.h"
#include "kernels/cpu/ops.h"
#include "kernels/reference/ops.h"
#include "random_data.h"

namespace hc::kernels::cpu {
namespace {

using test::random_floats;
using test::RandomKv;

// Outputs are means of values of size one: fp32 sums and an exponential within 2 ulp of scores up
// to about 30 leave errors of some 1e-6.
constexpr double kTolerance = 2e-5;

void expect_close(const std::vector<float>& got, const std::vector<float>& expected,
                  double tolerance, const std::string& what) {
    ASSERT_EQ(got.size(), expected.size());
    for (std::size_t i = 0; i < got.size(); ++i) {
        ASSERT_NEAR(got[i], expected[i], tolerance) << what << " at " << i;
    }
}

struct Case {
    KvType type;
    std::int64_t length, page_size, head_dim, group;
};

std::string name_of(const Case& c) {
    return std::string(c.type == KvType::kF16 ? "f16" : "f32") + " length " +
           std::to_string(c.length) + " page " + std::to_string(c.page_size) + " dim " +
           std::to_string(c.head_dim) + " group " + std::to_string(c.group);
}

std::vector<Case> cases() {
    std::vector<Case> all;
    for (const KvType type : {KvType::kF32, KvType::kF16}) {
        for (const auto& [length, page, dim, group] :
             std::vector<std::array<std::int64_t, 4>>{{0, 16, 64, 3},
                                                      {1, 16, 64, 3},
                                                      {15, 16, 64, 1},
                                                      {16, 16, 64, 2},
                                                      {17, 16, 128, 4},
                                                      {100, 7, 80, 5},
                                                      {257, 256, 64, 3},
                                                      {300, 64, 13, 2},
                                                      {63, 5, 1, 1},
                                                      {513, 256, 96, 9},
                                                      {70, 33, 40, 17},
                                                      {1000, 256, 64, 3}}) {
            all.push_back({type, length, page, dim, group});
        }
    }
    return all;
}

class AttentionAtLevel : public testing::TestWithParam<Level> {
protected:
    const KernelTable& kernels() const { return kernels_for(GetParam()); }
    std::mt19937 random_{11};
};

TEST_P(AttentionAtLevel, OfOneTokenEqualsTheReference) {
    for (const Case& c : cases()) {
        const RandomKv kv(c.type, c.length, c.page_size, c.head_dim, random_);
        const auto size = static_cast<std::size_t>(c.group * c.head_dim);
        const auto rows = static_cast<std::size_t>(c.group * c.length);
        const auto q = random_floats(size, random_, 2.0f);
        std::vector<float> expected(size);
        std::vector<float> expected_probs(rows);
        std::vector<float> out(size, 9.0f);
        std::vector<float> probs(rows, 9.0f);
        std::vector<float> scratch(rows);
        reference::decode_attention(kv.view, q.data(), c.group, expected.data(),
                                    expected_probs.data());
        kernels().decode_attention(kv.view, q.data(), c.group, out.data(), scratch.data(),
                                   probs.data());
        expect_close(out, expected, kTolerance, name_of(c));
        expect_close(probs, expected_probs, kTolerance, name_of(c) + " probs");
    }
}

TEST_P(AttentionAtLevel, OfPiecesMergesToTheWhole) {
    for (const Case& c : cases()) {
        const RandomKv kv(c.type, c.length, c.page_size, c.head_dim, random_);
        const auto size = static_cast<std::size_t>(c.group * c.head_dim);
        const auto q = random_floats(size, random_, 2.0f);
        std::vector<float> expected(size);
        reference::decode_attention(kv.view, q.data(), c.group, expected.data(), nullptr);
        const std::int64_t cuts[] = {0, c.length / 3, c.length / 3, c.length * 4 / 5, c.length};
        const auto group = static_cast<std::size_t>(c.group);
        std::vector<float> partial(4 * size);
        std::vector<float> max(4 * group);
        std::vector<float> sum(4 * group);
        std::vector<float> scratch(static_cast<std::size_t>(c.group * c.length));
        for (std::size_t p = 0; p < 4; ++p) {
            kernels().decode_attention_piece(kv.view, cuts[p], cuts[p + 1], q.data(), c.group,
                                             &partial[p * size], &max[p * group], &sum[p * group],
                                             scratch.data());
        }
        std::vector<float> out(size, 9.0f);
        merge_attention_pieces(partial.data(), max.data(), sum.data(), 4, c.group, c.head_dim,
                               out.data());
        expect_close(out, expected, kTolerance, name_of(c));
    }
}

// The reference is slow here, so its answer serves all levels.
TEST(PrefillAttention, IsCausalAndEqualsTheReferenceAtEveryLevel) {
    std::mt19937 random(12);
    for (const Case& c : cases()) {
        for (const std::int64_t wanted : {1, 2, 37, 130}) {
            const std::int64_t n = std::min(wanted, c.length);
            const RandomKv kv(c.type, c.length, c.page_size, c.head_dim, random);
            const std::int64_t stride = (c.group + 2) * c.head_dim;
            const auto size = static_cast<std::size_t>(n * stride);
            const auto q = random_floats(size, random, 2.0f);
            std::vector<float> expected(size, 5.0f);
            reference::prefill_attention(kv.view, q.data(), n, c.group, stride, expected.data());
            for (const Level level : supported_levels()) {
                const KernelTable& kernels = kernels_for(level);
                std::vector<float> out(size, 5.0f);
                std::vector<float> scratch(
                    static_cast<std::size_t>(kernels.prefill_attention_scratch(c.head_dim)));
                kernels.prefill_attention(kv.view, q.data(), n, c.group, stride, out.data(),
                                          scratch.data());
                expect_close(out, expected, kTolerance, name_of(c) + " n " + std::to_string(n));
            }
        }
    }
}

TEST(PrefillAttention, OfALongChunkCrossesQueryBlocksAndMayBeCutInParts) {
    std::mt19937 random(13);
    const RandomKv kv(KvType::kF32, 700, 256, 64, random);
    const std::int64_t n = 512;
    const std::int64_t group = 3;
    const auto q = random_floats(static_cast<std::size_t>(n * group * 64), random);
    std::vector<float> expected(q.size());
    reference::prefill_attention(kv.view, q.data(), n, group, group * 64, expected.data());
    for (const Level level : supported_levels()) {
        const KernelTable& kernels = kernels_for(level);
        std::vector<float> out(q.size());
        std::vector<float> scratch(static_cast<std::size_t>(kernels.prefill_attention_scratch(64)));
        kernels.prefill_attention(kv.view, q.data(), n, group, group * 64, out.data(),
                                  scratch.data());
        expect_close(out, expected, kTolerance, "whole");

        // A part of the chunk's queries alone: shorter view, same answers.
        PagedKv part = kv.view;
        part.length = 700 - 200;
        std::vector<float> of_part(q.size());
        kernels.prefill_attention(part, q.data() + 100 * group * 64, 212, group, group * 64,
                                  of_part.data(), scratch.data());
        const std::vector<float> want(expected.begin() + 100 * group * 64,
                                      expected.begin() + 312 * group * 64);
        of_part.resize(want.size());
        expect_close(of_part, want, kTolerance, "part");
    }
}

// Scores of a thousand: weights underflow to zero, and nothing becomes NaN.
TEST_P(AttentionAtLevel, StandsScoresFarApart) {
    const RandomKv kv(KvType::kF32, 200, 64, 64, random_);
    const auto q = random_floats(64, random_, 1000.0f);
    std::vector<float> expected(64);
    std::vector<float> out(64);
    std::vector<float> scratch(static_cast<std::size_t>(
        std::max<std::int64_t>(200, kernels().prefill_attention_scratch(64))));
    reference::decode_attention(kv.view, q.data(), 1, expected.data(), nullptr);
    kernels().decode_attention(kv.view, q.data(), 1, out.data(), scratch.data(), nullptr);
    expect_close(out, expected, 1e-3, "decode");  // scores of 1e3 carry errors of 1e-4
    kernels().prefill_attention(kv.view, q.data(), 1, 1, 64, out.data(), scratch.data());
    expect_close(out, expected, 1e-3, "prefill");
}

std::vector<float> score(const KernelTable& kernels, const RandomKv& kv, std::int64_t prompt,
                         const std::vector<float>& q, std::int64_t group, std::int32_t width,
                         bool half) {
    std::vector<float> out(static_cast<std::size_t>(prompt));
    std::vector<float> scratch(static_cast<std::size_t>((group + 1) * (prompt + width)));
    kernels.selection_score(kv.view, prompt, q.data(), group, width, half, out.data(),
                            scratch.data());
    return out;
}

TEST_P(AttentionAtLevel, SelectionScoreEqualsTheReference) {
    for (const Case& c : cases()) {
        for (const std::int32_t width : {1, 5, 7}) {
            for (const std::int64_t prompt : {c.length, c.length / 2}) {
                const RandomKv kv(c.type, c.length, c.page_size, c.head_dim, random_);
                const auto q =
                    random_floats(static_cast<std::size_t>(c.group * c.head_dim), random_);
                std::vector<float> expected(static_cast<std::size_t>(prompt));
                reference::selection_score(kv.view, prompt, q.data(), c.group, width, false,
                                           expected.data());
                const auto out = score(kernels(), kv, prompt, q, c.group, width, false);
                for (std::size_t i = 0; i < out.size(); ++i) {
                    ASSERT_NEAR(out[i], expected[i], 2e-5 * expected[i] + 1e-12) << name_of(c);
                }
            }
        }
    }
}

// The fp32 product before the first rounding may differ by its last bits, so a value may fall on
// the neighbouring half: a relative 2^-10 for the product, carried through the exponential.
TEST_P(AttentionAtLevel, SelectionScoreInHalvesStaysWithinNeighbouringHalves) {
    const RandomKv kv(KvType::kF32, 900, 256, 64, random_);
    const auto q = random_floats(3 * 64, random_, 0.5f);
    std::vector<float> expected(900);
    reference::selection_score(kv.view, 900, q.data(), 3, 5, true, expected.data());
    const auto out = score(kernels(), kv, 900, q, 3, 5, true);
    int equal = 0;
    for (std::size_t i = 0; i < out.size(); ++i) {
        EXPECT_EQ(out[i], through_half(out[i]));
        EXPECT_NEAR(out[i], expected[i], 0.02f * expected[i] + 2e-7f);
        equal += out[i] == expected[i] ? 1 : 0;
    }
    EXPECT_GT(equal, 850);
}

TEST_P(AttentionAtLevel, SelectionScoreGivesEqualNeighbourhoodsEqualScores) {
    // Equal keys everywhere: all interior positions must tie exactly, at any vector boundary.
    RandomKv kv(KvType::kF32, 203, 64, 64, random_);
    for (auto& page : kv.storage) {
        for (std::size_t row = 1; row < 64; ++row) {
            std::copy_n(kv.storage[0].begin(), 64 * 4,
                        page.begin() + static_cast<std::ptrdiff_t>(row * 64 * 4));
        }
        std::copy_n(kv.storage[0].begin(), 64 * 4, page.begin());
    }
    const auto q = random_floats(64, random_);
    const auto out = score(kernels(), kv, 203, q, 1, 5, false);
    for (std::size_t i = 3; i + 3 < out.size(); ++i) EXPECT_EQ(out[i], out[2]) << i;
    EXPECT_LT(out[0], out[2]);
}

INSTANTIATE_TEST_SUITE_P(All, AttentionAtLevel, testing::ValuesIn(supported_levels()),
                         test::level_title);

}  // namespace
}  // namespace hc::kernels::cpu
