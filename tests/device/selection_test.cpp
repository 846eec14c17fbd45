#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <random>

#include "engine/policy/selection.h"
#include "kernels/cuda/bitmap.h"
#include "kernels/cuda/selection_score.h"
#include "kernels/cuda/top_k.h"
#include "kernels/reference/ops.h"
#include "tests/device/device_buffer.h"

namespace hc {
namespace {

using test::DeviceArray;
using test::from_bf16;

using kernels::cuda::bitmap_words;
using Bitmap = std::vector<std::uint32_t>;

Bitmap to_bitmap(const Positions& positions, std::size_t bits) {
    Bitmap bitmap(static_cast<std::size_t>(bitmap_words(static_cast<std::int64_t>(bits))), 0);
    for (const auto position : positions) bitmap[position / 32] |= 1U << (position % 32);
    return bitmap;
}

// ---- scores ----------------------------------------------------------------------------------

struct ScoreCase {
    std::int32_t prompt, page_size, window, group, head_dim, pool_width;
    float spread;
};

/// Scores of random queries over randomly placed pages, against the plain twin.
void check_scores(const ScoreCase& c, std::uint32_t seed) {
    SCOPED_TRACE(::testing::Message()
                 << "prompt " << c.prompt << " page " << c.page_size << " W " << c.window << " G "
                 << c.group << " D " << c.head_dim << " width " << c.pool_width);
    std::mt19937 random(seed);
    const auto num_pages = static_cast<std::size_t>((c.prompt + c.page_size - 1) / c.page_size);
    const std::size_t page_values = 2UL * static_cast<std::size_t>(c.page_size * c.head_dim);
    std::vector<std::int32_t> indices(num_pages);
    std::iota(indices.begin(), indices.end(), 1);  // page 0 belongs to another
    std::shuffle(indices.begin(), indices.end(), random);
    const auto pool = test::random_bf16((num_pages + 1) * page_values, random);
    const auto queries = test::random_bf16(
        static_cast<std::size_t>(c.window * c.group * c.head_dim), random, c.spread);

    const DeviceArray<std::uint16_t> device_pool(pool);
    const DeviceArray<std::uint16_t> device_queries(queries);
    const DeviceArray<std::int32_t> device_indices(indices);
    const std::int64_t stride = c.prompt + 3;
    const DeviceArray<float> scores(static_cast<std::size_t>(c.window * stride));
    const DeviceArray<std::uint8_t> workspace(
        kernels::cuda::selection_score_workspace_bytes(c.window, c.group, c.prompt));
    kernels::cuda::SelectionScoreArguments a;
    a.queries = device_queries.get();
    a.pages = device_pool.get();
    a.page_indices = device_indices.get();
    a.page_size = c.page_size;
    a.prompt = c.prompt;
    a.window = c.window;
    a.group = c.group;
    a.head_dim = c.head_dim;
    a.pool_width = c.pool_width;
    a.scores = scores.get();
    a.score_stride = stride;
    a.workspace = workspace.get();
    HC_ASSERT_CUDA(kernels::cuda::selection_score(a, nullptr));
    const std::vector<float> got = scores.read();

    const std::vector<float> widened = from_bf16(pool);
    const std::vector<float> q = from_bf16(queries);
    std::vector<const std::byte*> pages;
    for (const std::int32_t index : indices) {
        pages.push_back(reinterpret_cast<const std::byte*>(
            widened.data() + static_cast<std::size_t>(index) * page_values));
    }
    const kernels::PagedKv kv{pages.data(), c.prompt, c.page_size, c.head_dim,
                              kernels::KvType::kF32};
    std::vector<float> expected(static_cast<std::size_t>(c.prompt));
    for (std::int32_t w = 0; w < c.window; ++w) {
        kernels::reference::selection_score(kv, c.prompt, q.data() + w * c.group * c.head_dim,
                                            c.group, c.pool_width, false, expected.data());
        float worst = 0;
        for (std::int32_t i = 0; i < c.prompt; ++i) {
            const float have = got[static_cast<std::size_t>(w * stride + i)];
            const float want = expected[static_cast<std::size_t>(i)];
            ASSERT_EQ(have, have) << "no score at " << i << " of query " << w;
            worst = std::max(worst, std::abs(have - want) / (want + 1e-30F));
        }
        // fp32 logits of up to some tens differ by 1e-5 with the order of their sums.
        EXPECT_LT(worst, 2e-4F) << "query " << w;
        for (std::int64_t i = c.prompt; i < stride; ++i) {
            const float beyond = got[static_cast<std::size_t>(w * stride + i)];
            EXPECT_TRUE(std::isnan(beyond)) << "wrote beyond the row";
        }
    }
}

class DeviceSelectionScore : public test::DeviceTest {};

TEST_F(DeviceSelectionScore, MatchesThePlainTwinForPromptsOfAnyLength) {
    std::uint32_t seed = 1;
    for (const std::int32_t prompt : {0, 1, 2, 3, 4, 5, 7, 8, 31, 33, 255, 257, 1023, 1025, 5003}) {
        check_scores({prompt, 16, 5, 4, 128, 5, 1.0F}, seed++);
    }
}

TEST_F(DeviceSelectionScore, MatchesThePlainTwinForAnyShape) {
    std::mt19937 random(7);
    const auto draw = [&](int low, int high) {
        return std::uniform_int_distribution<int>(low, high)(random);
    };
    for (int i = 0; i < 24; ++i) {
        constexpr std::int32_t kDims[] = {64, 96, 128, 256};
        check_scores({draw(1, 3000), draw(1, 40), draw(1, 16), draw(1, 16), kDims[i % 4],
                      draw(1, 9), i % 3 == 0 ? 3.0F : 1.0F},
                     static_cast<std::uint32_t>(100 + i));
    }
}

TEST_F(DeviceSelectionScore, MatchesThePlainTwinOverManyBlocks) {
    check_scores({150'001, 16, 1, 2, 64, 5, 1.0F}, 3);
    check_scores({80'003, 256, 2, 3, 128, 5, 1.0F}, 4);
}

TEST_F(DeviceSelectionScore, RefusesShapesItDoesNotSupport) {
    kernels::cuda::SelectionScoreArguments a;
    a.prompt = 10;
    a.score_stride = 10;
    a.head_dim = 80;
    EXPECT_EQ(kernels::cuda::selection_score(a, nullptr), cudaErrorInvalidValue);
    a.head_dim = 64;
    a.group = 17;
    EXPECT_EQ(kernels::cuda::selection_score(a, nullptr), cudaErrorInvalidValue);
}

// ---- top-k -----------------------------------------------------------------------------------

/// Every row against the one top-k of the project.
void check_top_k(const std::vector<std::vector<float>>& rows,
                 const std::vector<std::int32_t>& source, const std::vector<std::int32_t>& k) {
    const std::size_t count = rows.front().size();
    const std::size_t stride = count + 5;
    std::vector<float> packed(rows.size() * stride, 0.0F);
    for (std::size_t r = 0; r < rows.size(); ++r) {
        std::copy(rows[r].begin(), rows[r].end(),
                  packed.begin() + static_cast<std::ptrdiff_t>(r * stride));
    }
    const auto words = static_cast<std::size_t>(bitmap_words(static_cast<std::int64_t>(count)));
    const DeviceArray<float> scores(packed);
    const DeviceArray<std::int32_t> device_k(k);
    const DeviceArray<std::int32_t> device_source(source);
    const DeviceArray<std::uint32_t> bitmaps(k.size() * (words + 1));
    const auto num_rows = static_cast<std::int32_t>(k.size());
    const DeviceArray<std::uint8_t> workspace(
        kernels::cuda::top_k_workspace_bytes(num_rows, static_cast<std::int32_t>(count)));
    kernels::cuda::TopKArguments a;
    a.scores = scores.get();
    a.score_stride = static_cast<std::int64_t>(stride);
    a.source_rows = source.empty() ? nullptr : device_source.get();
    a.k = device_k.get();
    a.num_rows = num_rows;
    a.count = static_cast<std::int32_t>(count);
    a.bitmaps = bitmaps.get();
    a.bitmap_stride = static_cast<std::int64_t>(words + 1);
    a.workspace = workspace.get();
    HC_ASSERT_CUDA(kernels::cuda::top_k(a, nullptr));
    const Bitmap got = bitmaps.read();
    Positions expected;
    for (std::size_t r = 0; r < k.size(); ++r) {
        const auto& row = rows[source.empty() ? r : static_cast<std::size_t>(source[r])];
        policy::top_k(row, static_cast<std::size_t>(std::max(k[r], 0)), expected);
        const auto first = got.begin() + static_cast<std::ptrdiff_t>(r * (words + 1));
        EXPECT_EQ(Bitmap(first, first + static_cast<std::ptrdiff_t>(words)),
                  to_bitmap(expected, count))
            << "row " << r << " of " << count << " values, k " << k[r];
        EXPECT_EQ(*(first + static_cast<std::ptrdiff_t>(words)), ~0U) << "wrote beyond the row";
    }
}

enum class Values { kSoftmax, kFewDistinct, kEqual, kSpecial, kSigned };

std::vector<float> draw_values(std::size_t count, Values kind, std::mt19937& random) {
    std::normal_distribution<float> normal;
    constexpr float kInfinity = std::numeric_limits<float>::infinity();
    const float special[] = {0.0F,
                             -0.0F,
                             kInfinity,
                             -kInfinity,
                             std::numeric_limits<float>::denorm_min(),
                             -std::numeric_limits<float>::denorm_min(),
                             1e-40F,
                             -1e-40F,
                             2e-40F,
                             1.0F};
    std::vector<float> values(count);
    for (float& x : values) {
        switch (kind) {
            case Values::kSoftmax:
                x = std::exp(3 * normal(random) - 12);
                break;
            case Values::kFewDistinct:
                x = static_cast<float>(random() % 3);
                break;
            case Values::kEqual:
                x = 0.25F;
                break;
            case Values::kSpecial:
                x = special[random() % std::size(special)];
                break;
            case Values::kSigned:
                x = normal(random);
                break;
        }
    }
    return values;
}

class DeviceTopK : public test::DeviceTest {};

TEST_F(DeviceTopK, ChoosesThePolicysSetForAnyLengthAndK) {
    std::mt19937 random(11);
    for (const std::size_t count :
         {0UL, 1UL, 2UL, 31UL, 32UL, 33UL, 1000UL, 4095UL, 4096UL, 4097UL, 30001UL}) {
        const auto n = static_cast<std::int32_t>(count);
        for (const Values kind : {Values::kSoftmax, Values::kFewDistinct, Values::kEqual,
                                  Values::kSpecial, Values::kSigned}) {
            const std::vector<std::int32_t> k = {0, 1, n / 4, n / 2, n - 1, n, n + 7, -3};
            std::vector<std::vector<float>> rows;
            for (std::size_t i = 0; i < k.size(); ++i)
                rows.push_back(draw_values(count, kind, random));
            check_top_k(rows, {}, k);
        }
    }
}

TEST_F(DeviceTopK, RanksOneRowOfScoresForSeveralCapacities) {
    std::mt19937 random(12);
    const std::vector<std::vector<float>> rows = {
        draw_values(229'376, Values::kSoftmax, random),
        draw_values(229'376, Values::kFewDistinct, random)};
    check_top_k(rows, {1, 0, 1, 1, 0}, {100'000, 57'344, 1, 229'375, 114'688});
}

// ---- bitmaps ---------------------------------------------------------------------------------

Bitmap draw_bitmap(std::size_t words, int kind, std::mt19937& random) {
    Bitmap bitmap(words, 0);
    for (std::size_t i = 0; i < words; ++i) {
        switch (kind) {
            case 0:
                break;
            case 1:
                bitmap[i] = ~0U;
                break;
            case 2:
                bitmap[i] = static_cast<std::uint32_t>(random());
                break;
            case 3:
                bitmap[i] = random() % 4 == 0 ? 0U : ~0U;
                break;  // runs over many words
            default:
                bitmap[i] = random() % 8 == 0 ? 1U << (random() % 32) : 0U;
                break;
        }
    }
    return bitmap;
}

Positions positions_of(std::span<const std::uint32_t> bitmap) {
    Positions positions;
    for (std::size_t i = 0; i < bitmap.size() * 32; ++i) {
        if ((bitmap[i / 32] >> (i % 32) & 1) != 0) positions.push_back(static_cast<Position>(i));
    }
    return positions;
}

class DeviceBitmap : public test::DeviceTest {};

TEST_F(DeviceBitmap, CompactsToAscendingPositionsAndRuns) {
    std::mt19937 random(21);
    for (const std::size_t words : {0UL, 1UL, 2UL, 31UL, 1023UL, 1024UL, 1025UL, 7168UL}) {
        Bitmap all;
        for (int kind = 0; kind < 5; ++kind) {
            const Bitmap row = draw_bitmap(words, kind, random);
            all.insert(all.end(), row.begin(), row.end());
        }
        const std::size_t bits = words * 32;
        const DeviceArray<std::uint32_t> bitmaps(all);
        const DeviceArray<std::int32_t> positions(5 * bits);
        const DeviceArray<std::int32_t> num_positions(5);
        const DeviceArray<kernels::cuda::Run> runs(5 * bits);
        const DeviceArray<std::int32_t> num_runs(5);
        kernels::cuda::CompactionArguments a;
        a.bitmaps = bitmaps.get();
        a.num_rows = 5;
        a.words = static_cast<std::int32_t>(words);
        a.positions = positions.get();
        a.position_stride = static_cast<std::int64_t>(bits);
        a.num_positions = num_positions.get();
        a.runs = runs.get();
        a.run_stride = static_cast<std::int64_t>(bits);
        a.num_runs = num_runs.get();
        HC_ASSERT_CUDA(kernels::cuda::bitmap_compact(a, nullptr));
        const auto got = positions.read();
        const auto got_runs = runs.read();
        const auto counts = num_positions.read();
        const auto run_counts = num_runs.read();
        for (std::size_t r = 0; r < 5; ++r) {
            SCOPED_TRACE(::testing::Message() << words << " words, row " << r);
            const auto expected = positions_of(std::span(all).subspan(r * words, words));
            ASSERT_EQ(static_cast<std::size_t>(counts[r]), expected.size());
            std::size_t run = 0;
            for (std::size_t i = 0; i < expected.size(); ++i) {
                ASSERT_EQ(static_cast<std::size_t>(got[r * bits + i]), expected[i]);
                if (i > 0 && expected[i] == expected[i - 1] + 1) continue;
                std::size_t length = 1;
                while (i + length < expected.size() && expected[i + length] == expected[i] + length)
                    ++length;
                const kernels::cuda::Run& have = got_runs[r * bits + run++];
                ASSERT_EQ(static_cast<std::size_t>(have.start), expected[i]);
                ASSERT_EQ(static_cast<std::size_t>(have.length), length);
                ASSERT_EQ(static_cast<std::size_t>(have.first), i);
            }
            EXPECT_EQ(static_cast<std::size_t>(run_counts[r]), run);
        }
    }
}

TEST_F(DeviceBitmap, CountsOverlapAndTakesDifferencesAsThePolicyDoes) {
    std::mt19937 random(22);
    for (const std::size_t words : {1UL, 3UL, 600UL, 7168UL}) {
        Bitmap wanted;
        Bitmap resident;
        for (int r = 0; r < 6; ++r) {
            const Bitmap a = draw_bitmap(words, r % 5, random);
            const Bitmap b = draw_bitmap(words, (r + 2) % 5, random);
            wanted.insert(wanted.end(), a.begin(), a.end());
            resident.insert(resident.end(), b.begin(), b.end());
        }
        const auto stride = static_cast<std::int64_t>(words);
        const auto width = static_cast<std::int32_t>(words);
        const DeviceArray<std::uint32_t> a(wanted);
        const DeviceArray<std::uint32_t> b(resident);
        const DeviceArray<std::int32_t> common(6);
        const DeviceArray<std::int32_t> common_with_first(6);
        const DeviceArray<std::uint32_t> fetched(wanted.size());
        const DeviceArray<std::uint32_t> evicted(wanted.size());
        HC_ASSERT_CUDA(kernels::cuda::bitmap_overlap(a.get(), stride, b.get(), stride, 6, width,
                                                     common.get(), nullptr));
        HC_ASSERT_CUDA(kernels::cuda::bitmap_overlap(a.get(), stride, b.get(), 0, 6, width,
                                                     common_with_first.get(), nullptr));
        HC_ASSERT_CUDA(kernels::cuda::bitmap_delta(a.get(), b.get(), 6, width, fetched.get(),
                                                   evicted.get(), nullptr));
        for (std::size_t r = 0; r < 6; ++r) {
            const auto want = positions_of(std::span(wanted).subspan(r * words, words));
            const auto have = positions_of(std::span(resident).subspan(r * words, words));
            const auto first = positions_of(std::span(resident).subspan(0, words));
            const auto share = [&](std::int32_t n) {
                return want.empty() ? 0.0
                                    : static_cast<double>(n) / static_cast<double>(want.size());
            };
            EXPECT_EQ(share(common.read()[r]), policy::overlap(want, have));
            EXPECT_EQ(share(common_with_first.read()[r]), policy::overlap(want, first));
            Positions expected;
            policy::difference(want, have, expected);
            EXPECT_EQ(positions_of(
                          std::span<const std::uint32_t>(fetched.read()).subspan(r * words, words)),
                      expected);
            policy::difference(have, want, expected);
            EXPECT_EQ(positions_of(
                          std::span<const std::uint32_t>(evicted.read()).subspan(r * words, words)),
                      expected);
        }
    }
}

}  // namespace
}  // namespace hc
