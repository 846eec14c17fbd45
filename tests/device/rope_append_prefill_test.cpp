#include "kernels/cuda/rope_append_prefill.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "kernels/reference/ops.h"
#include "tests/device/device_buffer.h"

namespace hc::test {
namespace {

using kernels::cuda::Bf16;

struct Chunk {
    std::int32_t head_dim;
    std::int32_t num_qo_heads;
    std::int32_t num_kv_heads;
    std::int32_t n;
    std::int32_t page_size;
    std::int64_t first_position;
    std::vector<std::int32_t> lengths;  // with the chunk
};

void expect_near(const std::vector<float>& expected, const Bf16* found) {
    for (std::size_t d = 0; d < expected.size(); ++d) {
        ASSERT_NEAR(from_bf16(found[d]), expected[d], 2e-3 + std::abs(expected[d]) / 250)
            << "element " << d;
    }
}

// Rotated queries, then rotated keys and plain values in their slots, and nothing else changed.
void check(const Chunk& c, std::mt19937& random) {
    SCOPED_TRACE(testing::Message() << "D " << c.head_dim << " n " << c.n << " page " << c.page_size
                                    << " from " << c.first_position);
    const auto dim = static_cast<std::size_t>(c.head_dim);
    const auto qo = static_cast<std::size_t>(c.num_qo_heads);
    const auto kv = static_cast<std::size_t>(c.num_kv_heads);
    const auto page_size = static_cast<std::size_t>(c.page_size);
    const auto n = static_cast<std::size_t>(c.n);
    const std::size_t stride = (qo + 2 * kv) * dim + 8;
    std::vector<float> inv_freq(dim / 2);
    for (std::size_t i = 0; i < inv_freq.size(); ++i) {
        inv_freq[i] =
            std::pow(500000.0f, -static_cast<float>(i) / static_cast<float>(inv_freq.size()));
    }
    std::vector<std::int32_t> indptr;
    std::int32_t count = 0;
    for (const auto length : c.lengths) {
        indptr.push_back(count);
        count += (length + c.page_size - 1) / c.page_size;
    }
    std::vector<std::int32_t> indices(static_cast<std::size_t>(count));
    std::iota(indices.begin(), indices.end(), 0);
    std::shuffle(indices.begin(), indices.end(), random);
    const auto qkv = random_bf16(n * stride, random);

    const DeviceArray<Bf16> pages(indices.size() * 2 * page_size * dim);
    const auto before = pages.read();
    const DeviceArray<Bf16> in(qkv), q_out(n * qo * dim);
    const DeviceArray<std::int32_t> l(c.lengths), ptr(indptr), ind(indices);
    const DeviceArray<float> f(inv_freq);
    const kernels::cuda::PagedKvCache cache{pages.get(),    ind.get(),   ptr.get(), l.get(),
                                            c.num_kv_heads, c.page_size, c.head_dim};
    HC_ASSERT_CUDA(kernels::cuda::rope_append_prefill(
        in.get(), static_cast<std::int64_t>(stride), c.first_position, f.get(), c.n, c.num_qo_heads,
        c.num_kv_heads, cache, q_out.get(), nullptr));
    EXPECT_EQ(l.read(), c.lengths);
    const auto found_q = q_out.read();
    auto found = pages.read();
    for (std::size_t i = 0; i < n; ++i) {
        for (std::size_t h = 0; h < qo + kv; ++h) {
            const auto at = qkv.begin() + static_cast<std::ptrdiff_t>(i * stride + h * dim);
            std::vector<float> head =
                from_bf16(std::vector<Bf16>(at, at + static_cast<std::ptrdiff_t>(dim)));
            kernels::reference::rope(head.data(), 1, c.head_dim,
                                     c.first_position + static_cast<std::int64_t>(i),
                                     inv_freq.data(), false);
            if (h < qo) {
                expect_near(head, &found_q[(i * qo + h) * dim]);
                continue;
            }
            const std::size_t pair = h - qo;
            const std::size_t slot = static_cast<std::size_t>(c.lengths[pair]) - n + i;
            const auto page = static_cast<std::size_t>(
                indices[static_cast<std::size_t>(indptr[pair]) + slot / page_size]);
            const std::size_t key = (page * 2 * page_size + slot % page_size) * dim;
            const std::size_t value = key + page_size * dim;
            expect_near(head, &found[key]);
            for (std::size_t d = 0; d < dim; ++d) {
                ASSERT_EQ(found[value + d], qkv[i * stride + (qo + kv + pair) * dim + d]);
                found[key + d] = before[key + d];
                found[value + d] = before[value + d];
            }
        }
    }
    EXPECT_EQ(found, before);
}

class DeviceRopeAppendPrefill : public DeviceTest {};

TEST_F(DeviceRopeAppendPrefill, RotatesAChunkAndPutsItAtTheEndOfEveryPair) {
    std::mt19937 random(71);
    for (const std::int32_t dim : {64, 96, 128, 256}) {
        check({dim, 6, 2, 37, 16, 0, {37, 37}}, random);
        check({dim, 6, 2, 1, 16, 63, {64, 65}}, random);
        check({dim, 9, 3, 50, 32, 1000, {1050, 50, 99}}, random);
        check({dim, 4, 4, 20, 48, 200123, {20, 49, 48, 500}}, random);
    }
    check({16, 1, 1, 3, 16, 5, {8}}, random);
    check({128, 32, 8, 130, 64, 4096, {130, 131, 200, 333, 4226, 192, 193, 130}}, random);
}

TEST_F(DeviceRopeAppendPrefill, RefusesShapesItDoesNotHave) {
    kernels::cuda::PagedKvCache cache;
    cache.num_pairs = 2;
    cache.head_dim = 64;
    const auto run = [&](std::int64_t stride, std::int32_t n, std::int32_t num_kv_heads) {
        return kernels::cuda::rope_append_prefill(nullptr, stride, 0, nullptr, n, 4, num_kv_heads,
                                                  cache, nullptr, nullptr);
    };
    EXPECT_EQ(run(512, 0, 2), cudaSuccess);
    EXPECT_EQ(run(511, 1, 2), cudaErrorInvalidValue);
    EXPECT_EQ(run(504, 1, 2), cudaErrorInvalidValue);
    EXPECT_EQ(run(512, 1, 1), cudaErrorInvalidValue);
    cache.head_dim = 72;
    EXPECT_EQ(run(1024, 1, 2), cudaErrorInvalidValue);
}

}  // namespace
}  // namespace hc::test
