#include "kernels/cuda/decode_attention.h"

#include <algorithm>
#include <cmath>
#include <memory>
#include <numeric>

#include "kernels/cuda/decode_matmul.h"
#include "kernels/reference/ops.h"
#include "tests/device/device_buffer.h"

namespace hc::test {
namespace {

using kernels::cuda::Bf16;

// A cache whose pages lie in no order, every slot that holds no token a NaN.
struct Case {
    std::int32_t head_dim;
    std::int32_t group;
    std::int32_t page_size;
    std::vector<std::int32_t> lengths;
    std::vector<std::int32_t> indices;
    std::vector<std::int32_t> indptr;
    std::vector<Bf16> pages;
    std::vector<Bf16> q;

    Case(std::int32_t head_dim_in, std::int32_t group_in, std::int32_t page_size_in,
         std::vector<std::int32_t> lengths_in, std::mt19937& random, float sharpness = 1.0f)
        : head_dim(head_dim_in),
          group(group_in),
          page_size(page_size_in),
          lengths(std::move(lengths_in)) {
        std::int32_t count = 0;
        for (const auto length : lengths) {
            indptr.push_back(count);
            count += (length + page_size - 1) / page_size;
        }
        indices.resize(static_cast<std::size_t>(count) + 1, 0);
        std::iota(indices.begin(), indices.end() - 1, 0);
        std::shuffle(indices.begin(), indices.end() - 1, random);
        pages.assign(static_cast<std::size_t>(std::max(count, 1)) * page_bytes(), Bf16{0x7fff});
        std::normal_distribution<float> normal;
        for (std::size_t p = 0; p < lengths.size(); ++p) {
            for (std::int32_t t = 0; t < lengths[p]; ++t) {
                for (std::int32_t d = 0; d < head_dim; ++d) {
                    pages[at(p, t, false) + static_cast<std::size_t>(d)] = to_bf16(normal(random));
                    pages[at(p, t, true) + static_cast<std::size_t>(d)] = to_bf16(normal(random));
                }
            }
        }
        q = random_bf16(lengths.size() * static_cast<std::size_t>(group * head_dim), random,
                        sharpness);
    }

    [[nodiscard]] std::size_t page_bytes() const {
        return 2 * static_cast<std::size_t>(page_size) * static_cast<std::size_t>(head_dim);
    }
    [[nodiscard]] std::size_t at(std::size_t pair, std::int32_t token, bool value) const {
        const auto page = indices[static_cast<std::size_t>(indptr[pair] + token / page_size)];
        const std::int32_t row = token % page_size + (value ? page_size : 0);
        return static_cast<std::size_t>(page) * page_bytes() +
               static_cast<std::size_t>(row) * static_cast<std::size_t>(head_dim);
    }

    [[nodiscard]] std::vector<float> expected() const {
        const std::vector<float> queries = from_bf16(q);
        std::vector<float> values = from_bf16(pages);
        std::vector<float> out(q.size());
        const auto stride = static_cast<std::size_t>(group * head_dim);
        for (std::size_t p = 0; p < lengths.size(); ++p) {
            std::vector<const std::byte*> list;
            for (std::int32_t t = 0; t < lengths[p]; t += page_size) {
                list.push_back(reinterpret_cast<const std::byte*>(&values[at(p, t, false)]));
            }
            const kernels::PagedKv kv{list.data(), lengths[p], page_size, head_dim,
                                      kernels::KvType::kF32};
            kernels::reference::decode_attention(kv, &queries[p * stride], group, &out[p * stride],
                                                 nullptr);
        }
        return out;
    }
};

// Runs twice: the workspace must be as it was, and the bits equal.
void check(const Case& c) {
    const auto pairs = static_cast<std::int32_t>(c.lengths.size());
    kernels::cuda::DecodeAttentionPlan plan;
    HC_ASSERT_CUDA(kernels::cuda::plan_decode_attention(pairs, c.group, c.head_dim, plan));
    DeviceArray<std::byte> workspace(plan.workspace_bytes);
    workspace.clear();
    const DeviceArray<Bf16> pages(c.pages);
    const DeviceArray<Bf16> q(c.q);
    const DeviceArray<std::int32_t> lengths(c.lengths);
    const DeviceArray<std::int32_t> indices(c.indices);
    const DeviceArray<std::int32_t> indptr(c.indptr);
    const kernels::cuda::PagedKvCache cache{pages.get(), indices.get(), indptr.get(), lengths.get(),
                                            pairs,       c.page_size,   c.head_dim};
    const DeviceArray<Bf16> first(c.q.size());
    const DeviceArray<Bf16> second(c.q.size());
    for (const auto* out : {&first, &second}) {
        HC_ASSERT_CUDA(kernels::cuda::decode_attention(plan, cache, q.get(), out->get(),
                                                       workspace.get(), nullptr));
        HC_ASSERT_CUDA(cudaDeviceSynchronize());
    }
    ASSERT_EQ(first.read(), second.read());
    const std::vector<float> found = from_bf16(first.read());
    const std::vector<float> expected = c.expected();
    // Weights and the result are rounded to bf16, 2^-9 each way, relative to a weighted mean of
    // values of deviation 1.
    for (std::size_t i = 0; i < found.size(); ++i) {
        ASSERT_NEAR(found[i], expected[i], 0.006 + 0.01 * std::abs(expected[i]))
            << "element " << i << " head_dim " << c.head_dim << " group " << c.group << " page "
            << c.page_size << " pairs " << pairs;
    }
}

class DecodeAttention : public DeviceTest {};

TEST_F(DecodeAttention, EqualsTheTwinForEveryHeadDimAndGroup) {
    std::mt19937 random(1);
    std::uniform_int_distribution<std::int32_t> length(0, 700);
    for (const std::int32_t head_dim : {64, 96, 128, 256}) {
        for (std::int32_t group = 1; group <= 16; ++group) {
            const std::int32_t page_size = 16 << (group % 4);
            check(Case(head_dim, group, page_size,
                       {length(random), 0, 1, page_size, page_size + 1, length(random)}, random));
        }
    }
}

TEST_F(DecodeAttention, LengthZeroGivesZerosAlsoWhenAllAreEmpty) {
    std::mt19937 random(2);
    check(Case(128, 4, 32, {0, 0, 0}, random));
    check(Case(64, 3, 16, {0}, random));
}

TEST_F(DecodeAttention, MergesAcrossTheDeviceWhenOnePairIsLongAndOthersShort) {
    std::mt19937 random(3);
    check(Case(128, 4, 64, {40001, 5, 0, 130, 17, 64, 3000, 1}, random));
    check(Case(64, 3, 16, {1, 20000}, random));
    check(Case(256, 16, 48, {9999, 16, 33}, random));
    check(Case(96, 12, 16, {7, 12345}, random));
}

TEST_F(DecodeAttention, TakesManyPairs) {
    std::mt19937 random(4);
    std::uniform_int_distribution<std::int32_t> length(0, 40);
    std::vector<std::int32_t> lengths(2048);
    for (auto& v : lengths) v = length(random);
    check(Case(64, 2, 16, lengths, random));
}

TEST_F(DecodeAttention, StaysExactWhenOneTokenTakesAllWeight) {
    std::mt19937 random(5);
    check(Case(128, 8, 32, {2000, 333}, random, 20.0f));
}

TEST_F(DecodeAttention, CountsTokensBehindTheLengthThatAreAppended) {
    std::mt19937 random(6);
    for (const std::int32_t appended : {1, 17}) {
        const Case c(128, 4, 32, {2000, appended, appended + 16, 333, 33, 9000, 48}, random);
        auto shorter = c.lengths;
        for (auto& v : shorter) v -= appended;
        const auto pairs = static_cast<std::int32_t>(c.lengths.size());
        kernels::cuda::DecodeAttentionPlan plan;
        HC_ASSERT_CUDA(kernels::cuda::plan_decode_attention(pairs, c.group, c.head_dim, plan));
        DeviceArray<std::byte> workspace(plan.workspace_bytes);
        workspace.clear();
        const DeviceArray<Bf16> pages(c.pages), q(c.q), plain(c.q.size()), out(c.q.size());
        const DeviceArray<std::int32_t> lengths(c.lengths), less(shorter), indices(c.indices),
            indptr(c.indptr);
        kernels::cuda::PagedKvCache cache{pages.get(), indices.get(), indptr.get(), lengths.get(),
                                          pairs,       c.page_size,   c.head_dim};
        HC_ASSERT_CUDA(kernels::cuda::decode_attention(plan, cache, q.get(), plain.get(),
                                                       workspace.get(), nullptr));
        cache.lengths = less.get();
        cache.appended = appended;
        HC_ASSERT_CUDA(kernels::cuda::decode_attention(plan, cache, q.get(), out.get(),
                                                       workspace.get(), nullptr, true));
        HC_ASSERT_CUDA(cudaDeviceSynchronize());
        EXPECT_EQ(out.read(), plain.read());
        EXPECT_EQ(less.read(), shorter);
    }
}

// Overlap must not let attention read the last tokens, or the queries, of the step before: two
// inputs take turns, and one stale element changes the bits.
TEST_F(DecodeAttention, WaitsForTheLastTokenAndTheQueriesWhenItOverlapsTheirKernel) {
    std::mt19937 random(7);
    constexpr std::int32_t kKv = 8, kGroup = 4, kDim = 128, kHidden = 256, kRepeats = 60;
    constexpr std::int64_t kRows = (kKv * kGroup + 2 * kKv) * kDim;
    const Case c(kDim, kGroup, 16, {2000, 1, 16, 17, 3333, 31, 9000, 40000}, random);
    auto shorter = c.lengths;
    for (auto& v : shorter) --v;
    kernels::cuda::DecodeAttentionPlan plan;
    HC_ASSERT_CUDA(kernels::cuda::plan_decode_attention(kKv, kGroup, kDim, plan));
    DeviceArray<std::byte> workspace(plan.workspace_bytes);
    workspace.clear();
    const DeviceArray<Bf16> pages(c.pages), q(c.q.size()), norm(random_bf16(kHidden, random)),
        w(random_bf16(kRows * kHidden, random, 0.1f));
    const DeviceArray<std::int32_t> lengths(shorter), indices(c.indices), indptr(c.indptr),
        positions(std::vector<std::int32_t>{1234});
    const DeviceArray<float> inv_freq(std::vector<float>(kDim / 2, 0.01f));
    const DeviceArray<float> inputs[] = {
        DeviceArray<float>(from_bf16(random_bf16(kHidden, random))),
        DeviceArray<float>(from_bf16(random_bf16(kHidden, random)))};
    kernels::cuda::DecodeMatmulArguments a;
    a.w = w.get();
    a.rows = kRows;
    a.cols = kHidden;
    a.n = 1;
    a.prologue = kernels::cuda::MatmulPrologue::kRmsNorm;
    a.epilogue = kernels::cuda::MatmulEpilogue::kRopeAppend;
    a.norm_weight = norm.get();
    a.eps = 1e-5f;
    a.out = q.get();
    a.positions = positions.get();
    a.inv_freq = inv_freq.get();
    a.num_qo_heads = kKv * kGroup;
    a.num_kv_heads = kKv;
    a.cache = {pages.get(), indices.get(), indptr.get(), lengths.get(), kKv, 16, kDim, 1};
    std::vector<std::unique_ptr<DeviceArray<Bf16>>> outs;
    for (int i = 0; i < kRepeats; ++i) {
        outs.push_back(std::make_unique<DeviceArray<Bf16>>(c.q.size()));
    }
    const auto step = [&](int i, bool pdl) {
        a.x_f32 = inputs[i % 2].get();
        HC_ASSERT_CUDA(kernels::cuda::decode_matmul(a, pdl, nullptr));
        HC_ASSERT_CUDA(kernels::cuda::decode_attention(plan, a.cache, q.get(),
                                                       outs[static_cast<std::size_t>(i)]->get(),
                                                       workspace.get(), nullptr, pdl));
    };
    std::vector<std::vector<Bf16>> expected;
    for (int i = 0; i < 2; ++i) {
        ASSERT_NO_FATAL_FAILURE(step(i, false));
        expected.push_back(outs[static_cast<std::size_t>(i)]->read());
    }
    ASSERT_NE(expected[0], expected[1]);
    for (int i = 0; i < kRepeats; ++i) ASSERT_NO_FATAL_FAILURE(step(i, true));
    HC_ASSERT_CUDA(cudaDeviceSynchronize());
    for (int i = 0; i < kRepeats; ++i) {
        ASSERT_EQ(outs[static_cast<std::size_t>(i)]->read(), expected[i % 2]) << "repeat " << i;
    }
}

TEST_F(DecodeAttention, RefusesShapesItDoesNotHave) {
    kernels::cuda::DecodeAttentionPlan plan;
    EXPECT_EQ(kernels::cuda::plan_decode_attention(8, 4, 80, plan), cudaErrorInvalidValue);
    EXPECT_EQ(kernels::cuda::plan_decode_attention(8, 17, 128, plan), cudaErrorInvalidValue);
    EXPECT_EQ(kernels::cuda::plan_decode_attention(0, 4, 128, plan), cudaErrorInvalidValue);
}

}  // namespace
}  // namespace hc::test
