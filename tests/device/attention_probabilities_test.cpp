#include "kernels/cuda/attention_probabilities.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "kernels/cuda/top_k.h"
#include "kernels/reference/ops.h"
#include "tests/device/device_buffer.h"

namespace hc::test {
namespace {

using kernels::cuda::Bf16;

// A cache whose pages lie in no order, every slot that holds no token a NaN. `lengths` are what the
// device sees; pairs hold `extra` tokens more.
struct Case {
    std::int32_t head_dim;
    std::int32_t group;
    std::int32_t page_size;
    std::int32_t extra;
    std::vector<std::int32_t> lengths;
    std::vector<std::int32_t> indptr;
    std::vector<std::int32_t> indices;
    std::vector<Bf16> pages;
    std::vector<Bf16> q;
    std::size_t stride = 0;  // of a row of probabilities

    Case(std::int32_t head_dim_in, std::int32_t group_in, std::int32_t page_size_in,
         std::int32_t extra_in, std::vector<std::int32_t> lengths_in, std::mt19937& random)
        : head_dim(head_dim_in),
          group(group_in),
          page_size(page_size_in),
          extra(extra_in),
          lengths(std::move(lengths_in)) {
        std::int32_t count = 0;
        for (std::size_t p = 0; p < lengths.size(); ++p) {
            indptr.push_back(count);
            count += (tokens(p) + page_size - 1) / page_size;
            stride = std::max(stride, static_cast<std::size_t>(tokens(p)));
        }
        stride += 5;
        indices.resize(static_cast<std::size_t>(count) + 1, 0);
        std::iota(indices.begin(), indices.end() - 1, 0);
        std::shuffle(indices.begin(), indices.end() - 1, random);
        const auto page_values =
            2 * static_cast<std::size_t>(page_size) * static_cast<std::size_t>(head_dim);
        pages.assign(static_cast<std::size_t>(std::max(count, 1)) * page_values, Bf16{0x7fff});
        std::normal_distribution<float> normal;
        for (std::size_t p = 0; p < lengths.size(); ++p) {
            for (std::int32_t t = 0; t < tokens(p); ++t) {
                for (std::size_t d = 0; d < static_cast<std::size_t>(head_dim); ++d) {
                    pages[at(p, t, false) + d] = to_bf16(normal(random));
                    pages[at(p, t, true) + d] = to_bf16(normal(random));
                }
            }
        }
        q = random_bf16(lengths.size() * static_cast<std::size_t>(group * head_dim), random);
    }

    [[nodiscard]] std::int32_t tokens(std::size_t pair) const { return lengths[pair] + extra; }
    [[nodiscard]] std::size_t num_rows() const {
        return lengths.size() * static_cast<std::size_t>(group);
    }
    [[nodiscard]] std::size_t at(std::size_t pair, std::int32_t token, bool value) const {
        const auto page = indices[static_cast<std::size_t>(indptr[pair] + token / page_size)];
        const std::int32_t row = 2 * page * page_size + token % page_size + (value ? page_size : 0);
        return static_cast<std::size_t>(row) * static_cast<std::size_t>(head_dim);
    }

    // Rows of the twin; NaN past the end of each.
    [[nodiscard]] std::vector<float> expected_rows() const {
        const std::vector<float> queries = from_bf16(q);
        const std::vector<float> values = from_bf16(pages);
        std::vector<float> rows(num_rows() * stride, std::nanf(""));
        const auto width = static_cast<std::size_t>(group * head_dim);
        std::vector<float> out(width);
        for (std::size_t p = 0; p < lengths.size(); ++p) {
            std::vector<const std::byte*> list;
            for (std::int32_t t = 0; t < tokens(p); t += page_size) {
                list.push_back(reinterpret_cast<const std::byte*>(&values[at(p, t, false)]));
            }
            const kernels::PagedKv kv{list.data(), tokens(p), page_size, head_dim,
                                      kernels::KvType::kF32};
            const auto held = static_cast<std::size_t>(tokens(p));
            std::vector<float> probs(static_cast<std::size_t>(group) * held);
            kernels::reference::decode_attention(kv, &queries[p * width], group, out.data(),
                                                 probs.data());
            for (std::size_t g = 0; g < static_cast<std::size_t>(group); ++g) {
                std::copy_n(probs.begin() + static_cast<std::ptrdiff_t>(g * held), held,
                            rows.begin() + static_cast<std::ptrdiff_t>(
                                               (p * static_cast<std::size_t>(group) + g) * stride));
            }
        }
        return rows;
    }
};

// The case on the device, with the rows that attention_probabilities gives.
struct OnDevice {
    DeviceArray<Bf16> pages, q;
    DeviceArray<std::int32_t> lengths, indices, indptr;
    DeviceArray<float> rows;
    kernels::cuda::PagedKvCache cache;

    explicit OnDevice(const Case& c)
        : pages(c.pages),
          q(c.q),
          lengths(c.lengths),
          indices(c.indices),
          indptr(c.indptr),
          rows(c.num_rows() * c.stride),
          cache{pages.get(),
                indices.get(),
                indptr.get(),
                lengths.get(),
                static_cast<std::int32_t>(c.lengths.size()),
                c.page_size,
                c.head_dim} {
        const DeviceArray<std::byte> workspace(
            kernels::cuda::attention_probabilities_workspace_bytes(cache.num_pairs, c.group));
        EXPECT_EQ(
            kernels::cuda::attention_probabilities(
                cache, q.get(), c.group, c.extra, rows.get(), static_cast<std::int64_t>(c.stride),
                reinterpret_cast<float*>(workspace.get()), nullptr),
            cudaSuccess);
        EXPECT_EQ(cudaDeviceSynchronize(), cudaSuccess);
    }
};

void check_rows(const Case& c) {
    SCOPED_TRACE(testing::Message() << "D " << c.head_dim << " group " << c.group << " page "
                                    << c.page_size << " extra " << c.extra);
    const auto found = OnDevice(c).rows.read();
    const auto expected = c.expected_rows();
    for (std::size_t i = 0; i < found.size(); ++i) {
        if (std::isnan(expected[i])) {
            ASSERT_TRUE(std::isnan(found[i])) << "past the end, element " << i;
        } else {
            // fp32 dot products of up to 256 terms move a logit by about 1e-5.
            ASSERT_NEAR(found[i], expected[i], 1e-7 + 1e-4 * expected[i]) << "element " << i;
        }
    }
}

// Slots of `prompt` chosen at random, the others all; pairs left out keep what was there.
void check_values(const Case& c, std::int32_t prompt, double share, std::mt19937& random) {
    SCOPED_TRACE(testing::Message() << "D " << c.head_dim << " group " << c.group << " page "
                                    << c.page_size << " prompt " << prompt << " share " << share);
    const OnDevice device(c);
    const auto rows = device.rows.read();
    const auto words = static_cast<std::size_t>(kernels::cuda::bitmap_words(prompt)) + 1;
    std::vector<std::uint32_t> bitmaps(c.lengths.size() * words);
    std::bernoulli_distribution chosen(share);
    for (std::size_t p = 0; p < c.lengths.size(); ++p) {
        for (std::int32_t i = 0; i < prompt; ++i) {
            const auto slot = static_cast<std::size_t>(i);
            if (chosen(random)) bitmaps[p * words + slot / 32] |= 1U << (slot % 32);
        }
    }
    std::vector<std::uint8_t> take(c.lengths.size(), 1);
    take[take.size() / 2] = 0;
    const DeviceArray<std::uint32_t> device_bitmaps(bitmaps);
    const DeviceArray<std::uint8_t> device_take(take);
    const DeviceArray<Bf16> out(c.q.size());
    const auto before = out.read();
    HC_ASSERT_CUDA(kernels::cuda::weighted_values(
        device.cache, c.extra, device.rows.get(), static_cast<std::int64_t>(c.stride), c.group,
        device_bitmaps.get(), static_cast<std::int32_t>(words), prompt, device_take.get(),
        out.get(), nullptr));
    const auto found = out.read();
    const auto dim = static_cast<std::size_t>(c.head_dim);
    for (std::size_t r = 0; r < c.num_rows(); ++r) {
        const std::size_t p = r / static_cast<std::size_t>(c.group);
        std::vector<double> sum(dim, 0.0);
        double weights = 0;
        for (std::int32_t t = 0; t < c.tokens(p); ++t) {
            const auto slot = static_cast<std::size_t>(t);
            const bool part =
                t >= prompt || (bitmaps[p * words + slot / 32] >> (slot % 32) & 1U) != 0;
            if (!part) continue;
            const double weight = static_cast<double>(rows[r * c.stride + slot]);
            weights += weight;
            for (std::size_t d = 0; d < dim; ++d) {
                sum[d] += weight * static_cast<double>(from_bf16(c.pages[c.at(p, t, true) + d]));
            }
        }
        for (std::size_t d = 0; d < dim; ++d) {
            const std::size_t i = r * dim + d;
            if (take[p] == 0) {
                ASSERT_EQ(found[i], before[i]);
                continue;
            }
            const double expected = weights > 0 ? sum[d] / weights : 0.0;
            ASSERT_NEAR(static_cast<double>(from_bf16(found[i])), expected,
                        1e-4 + std::abs(expected) / 250)
                << "pair " << p << " element " << i;
        }
    }
}

class DeviceAttentionProbabilities : public DeviceTest {};

TEST_F(DeviceAttentionProbabilities, EqualTheTwinForEveryHeadDimAndGroup) {
    std::mt19937 random(81);
    std::uniform_int_distribution<std::int32_t> length(0, 700);
    std::int32_t group = 0;
    for (const std::int32_t head_dim : {8, 16, 40, 64, 96, 128, 136, 256}) {
        for (int round = 0; round < 2; ++round) {
            group = group % 16 + 1;
            const std::int32_t page_size = 16 << (group % 4);
            check_rows(Case(head_dim, group, page_size, round,
                            {length(random), 0, 1, page_size, page_size + 1, length(random)},
                            random));
        }
    }
}

TEST_F(DeviceAttentionProbabilities, MergeTheDenominatorsOfLongRows) {
    std::mt19937 random(82);
    check_rows(Case(64, 3, 16, 1, {20001, 3, 0, 16384, 257}, random));
}

TEST_F(DeviceAttentionProbabilities, WeightValuesByTheSlotsThatTakePart) {
    std::mt19937 random(83);
    std::int32_t group = 0;
    for (const std::int32_t head_dim : {8, 64, 96, 128, 256}) {
        for (const double share : {0.0, 0.1, 0.5, 1.0}) {
            group = group % 16 + 1;
            check_values(Case(head_dim, group, 16, 1, {800, 0, 300, 299, 31, 65}, random), 300,
                         share, random);
        }
    }
    check_values(Case(128, 4, 32, 0, {0, 40, 3000}, random), 0, 1.0, random);
    check_values(Case(128, 4, 32, 0, {2048, 40, 64}, random), 2048, 0.0, random);
}

TEST_F(DeviceAttentionProbabilities, SumOverTheGroupAsAPlainLoop) {
    std::mt19937 random(84);
    std::uniform_real_distribution<float> uniform;
    for (const std::size_t group : {1u, 3u, 16u}) {
        for (const std::size_t prompt : {1u, 255u, 1000u}) {
            constexpr std::size_t kPairs = 3;
            const std::size_t row_stride = prompt + 7;
            const std::size_t sum_stride = prompt + 2;
            std::vector<float> rows(kPairs * group * row_stride);
            for (auto& v : rows) v = uniform(random);
            const DeviceArray<float> in(rows);
            const DeviceArray<float> sums(kPairs * sum_stride);
            HC_ASSERT_CUDA(kernels::cuda::group_sum(
                in.get(), static_cast<std::int64_t>(row_stride), kPairs,
                static_cast<std::int32_t>(group), static_cast<std::int32_t>(prompt), sums.get(),
                static_cast<std::int64_t>(sum_stride), nullptr));
            const auto found = sums.read();
            for (std::size_t p = 0; p < kPairs; ++p) {
                for (std::size_t t = 0; t < sum_stride; ++t) {
                    float expected = 0;
                    for (std::size_t g = 0; g < group; ++g) {
                        expected += rows[(p * group + g) * row_stride + t];
                    }
                    if (t < prompt) {
                        ASSERT_EQ(found[p * sum_stride + t], expected);
                    } else {
                        ASSERT_TRUE(std::isnan(found[p * sum_stride + t]));
                    }
                }
            }
        }
    }
}

TEST_F(DeviceAttentionProbabilities, RefuseShapesTheyDoNotHave) {
    kernels::cuda::PagedKvCache cache;
    cache.num_pairs = 1;
    const auto run = [&](std::int32_t head_dim, std::int32_t group) {
        cache.head_dim = head_dim;
        return kernels::cuda::attention_probabilities(cache, nullptr, group, 0, nullptr, 16,
                                                      nullptr, nullptr);
    };
    EXPECT_EQ(run(12, 1), cudaErrorInvalidValue);
    EXPECT_EQ(run(264, 1), cudaErrorInvalidValue);
    EXPECT_EQ(run(64, 0), cudaErrorInvalidValue);
    EXPECT_EQ(run(64, 17), cudaErrorInvalidValue);
    EXPECT_EQ(kernels::cuda::weighted_values(cache, 0, nullptr, 16, 4, nullptr, 1, 33, nullptr,
                                             nullptr, nullptr),
              cudaErrorInvalidValue);
    EXPECT_EQ(kernels::cuda::group_sum(nullptr, 10, 1, 4, 11, nullptr, 11, nullptr),
              cudaErrorInvalidValue);
}

}  // namespace
}  // namespace hc::test
