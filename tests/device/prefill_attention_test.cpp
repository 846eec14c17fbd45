#include "kernels/cuda/prefill_attention.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "kernels/reference/ops.h"
#include "tests/device/device_buffer.h"

namespace hc::test {
namespace {

using kernels::cuda::Bf16;
using kernels::cuda::PrefillAttentionArguments;

struct Form {
    std::int32_t head_dim;
    std::int32_t group;
    std::int32_t page_size;
};

// The spread of the scores; `growth` makes each key longer than the one before it, so that the
// largest score moves all the time.
struct Scores {
    float sharpness = 1.0f;
    float growth = 0.0f;
};

// A chunk of n tokens after past[head] earlier ones. Pages lie in no order; every slot that holds
// no token is a NaN, and so is what lies between the queries of one token and the next.
struct Chunk {
    Form form;
    std::int32_t n;
    std::vector<std::int32_t> lengths;
    std::vector<std::int32_t> indices;
    std::vector<std::int32_t> indptr;
    std::vector<Bf16> pages;
    std::vector<Bf16> q;
    std::size_t width;
    std::size_t q_stride;
    std::size_t out_stride;

    Chunk(const Form& form_in, std::int32_t n_in, const std::vector<std::int32_t>& past,
          std::mt19937& random, const Scores& scores = {})
        : form(form_in), n(n_in) {
        std::int32_t count = 0;
        for (const auto earlier : past) {
            lengths.push_back(earlier + n);
            indptr.push_back(count);
            count += (earlier + n + form.page_size - 1) / form.page_size;
        }
        indices.resize(static_cast<std::size_t>(count));
        std::iota(indices.begin(), indices.end(), 0);
        std::shuffle(indices.begin(), indices.end(), random);
        pages.assign(static_cast<std::size_t>(count) * page_elements(), Bf16{0x7fff});
        std::normal_distribution<float> normal;
        for (std::size_t p = 0; p < lengths.size(); ++p) {
            for (std::int32_t t = 0; t < lengths[p]; ++t) {
                const float factor = 1.0f + scores.growth * static_cast<float>(t);
                for (std::size_t d = 0; d < dim(); ++d) {
                    pages[at(p, t, false) + d] = to_bf16(factor * normal(random));
                    pages[at(p, t, true) + d] = to_bf16(normal(random));
                }
            }
        }
        width = lengths.size() * static_cast<std::size_t>(form.group) * dim();
        q_stride = width + 2 * lengths.size() * dim();  // as keys and values beside the queries
        out_stride = width + 8 * static_cast<std::size_t>(n % 2);
        q.assign(static_cast<std::size_t>(n) * q_stride, Bf16{0x7fff});
        for (std::size_t i = 0; i < static_cast<std::size_t>(n); ++i) {
            const std::vector<Bf16> row = random_bf16(width, random, scores.sharpness);
            std::copy(row.begin(), row.end(), &q[i * q_stride]);
        }
    }

    [[nodiscard]] std::size_t dim() const { return static_cast<std::size_t>(form.head_dim); }
    [[nodiscard]] std::size_t page_elements() const {
        return 2 * static_cast<std::size_t>(form.page_size) * dim();
    }
    [[nodiscard]] std::size_t at(std::size_t pair, std::int32_t token, bool value) const {
        const auto page = indices[static_cast<std::size_t>(indptr[pair] + token / form.page_size)];
        const std::int32_t row = token % form.page_size + (value ? form.page_size : 0);
        return static_cast<std::size_t>(page) * page_elements() +
               static_cast<std::size_t>(row) * dim();
    }

    /// The twin's result for one query, [num_qo_heads, head_dim]. `values` are the pages in fp32.
    [[nodiscard]] std::vector<float> expected(std::int32_t query,
                                              const std::vector<float>& values) const {
        const auto first =
            q.begin() + static_cast<std::ptrdiff_t>(static_cast<std::size_t>(query) * q_stride);
        const std::vector<float> queries =
            from_bf16(std::vector<Bf16>(first, first + static_cast<std::ptrdiff_t>(width)));
        std::vector<float> out(width);
        const std::size_t heads = static_cast<std::size_t>(form.group) * dim();
        for (std::size_t p = 0; p < lengths.size(); ++p) {
            std::vector<const std::byte*> list;
            for (std::int32_t t = 0; t < lengths[p]; t += form.page_size) {
                list.push_back(reinterpret_cast<const std::byte*>(&values[at(p, t, false)]));
            }
            const kernels::PagedKv kv{list.data(), lengths[p] - n + query + 1, form.page_size,
                                      form.head_dim, kernels::KvType::kF32};
            kernels::reference::prefill_attention(kv, &queries[p * heads], 1, form.group,
                                                  static_cast<std::int64_t>(width),
                                                  &out[p * heads]);
        }
        return out;
    }
};

// The result, [n, out_stride]; what no result was written to stays 0xffff.
std::vector<Bf16> run(const Chunk& c) {
    const DeviceArray<Bf16> pages(c.pages);
    const DeviceArray<Bf16> q(c.q);
    const DeviceArray<std::int32_t> lengths(c.lengths);
    const DeviceArray<std::int32_t> indices(c.indices);
    const DeviceArray<std::int32_t> indptr(c.indptr);
    const DeviceArray<Bf16> out(static_cast<std::size_t>(c.n) * c.out_stride);
    const auto heads = static_cast<std::int32_t>(c.lengths.size());
    PrefillAttentionArguments arguments;
    arguments.cache = {pages.get(), indices.get(),    indptr.get(),   lengths.get(),
                       heads,       c.form.page_size, c.form.head_dim};
    arguments.q = q.get();
    arguments.q_stride = static_cast<std::int64_t>(c.q_stride);
    arguments.out = out.get();
    arguments.out_stride = static_cast<std::int64_t>(c.out_stride);
    arguments.n = c.n;
    arguments.num_qo_heads = heads * c.form.group;
    EXPECT_EQ(kernels::cuda::prefill_attention(arguments, nullptr), cudaSuccess);
    EXPECT_EQ(cudaDeviceSynchronize(), cudaSuccess);
    return out.read();
}

// Compares the first and the last queries and some between with the twin; of the others, that they
// are there.
void check(const Chunk& c, std::mt19937& random) {
    const std::vector<Bf16> found = run(c);
    const auto about = [&] {
        return testing::Message() << " n " << c.n << " length " << c.lengths[0] << " head_dim "
                                  << c.form.head_dim << " group " << c.form.group << " page "
                                  << c.form.page_size;
    };
    for (std::size_t i = 0; i < found.size(); ++i) {
        const bool is_result = i % c.out_stride < c.width;
        ASSERT_EQ(std::isfinite(from_bf16(found[i])), is_result) << "element " << i << about();
    }
    std::vector<std::int32_t> queries = {0, c.n - 1};
    std::uniform_int_distribution<std::int32_t> any(0, c.n - 1);
    for (int i = 0; i < 5; ++i) queries.push_back(any(random));
    std::sort(queries.begin(), queries.end());
    queries.erase(std::unique(queries.begin(), queries.end()), queries.end());
    const std::vector<float> values = from_bf16(c.pages);
    for (const auto query : queries) {
        const std::vector<float> expected = c.expected(query, values);
        // Weights and the result are rounded to bf16, 2^-9 each way, relative to a weighted mean
        // of values of deviation 1.
        for (std::size_t i = 0; i < c.width; ++i) {
            ASSERT_NEAR(from_bf16(found[static_cast<std::size_t>(query) * c.out_stride + i]),
                        expected[i], 0.006 + 0.01 * std::abs(expected[i]))
                << "query " << query << " element " << i << about();
        }
    }
}

constexpr std::int32_t kHeadDims[] = {64, 96, 128, 256};
constexpr std::int32_t kGroups[] = {1, 3, 4, 5, 8, 16};
constexpr std::int32_t kPageSizes[] = {16, 48, 64, 256};

class PrefillAttention : public DeviceTest {};

TEST_F(PrefillAttention, EqualsTheTwinForEveryHeadDimGroupAndPageSize) {
    std::mt19937 random(1);
    std::uniform_int_distribution<std::int32_t> tokens(1, 70);
    std::uniform_int_distribution<std::int32_t> earlier(0, 150);
    for (const auto head_dim : kHeadDims) {
        for (const auto group : kGroups) {
            for (const auto page_size : kPageSizes) {
                const std::int32_t n = tokens(random);
                check(Chunk({head_dim, group, page_size}, n, {earlier(random)}, random), random);
            }
        }
    }
}

TEST_F(PrefillAttention, EqualsTheTwinForEveryChunkAndPast) {
    std::mt19937 random(2);
    std::size_t turn = 0;
    for (const auto n : {1, 2, 15, 16, 17, 64, 65, 127, 128, 129, 200}) {
        for (const auto earlier : {0, 1, 62, 63, 100, 1000}) {
            // Three groups and four dimensions: all pairs of them come.
            const Form form{kHeadDims[turn % 4], kGroups[turn % 3 * 2], kPageSizes[turn / 4 % 4]};
            ++turn;
            check(Chunk(form, n, {earlier}, random), random);
        }
    }
}

TEST_F(PrefillAttention, TakesHeadsOfDifferentLengths) {
    std::mt19937 random(3);
    check(Chunk({128, 4, 64}, 100, {0, 1000, 37, 64}, random), random);
    check(Chunk({64, 3, 16}, 33, {500, 0, 3}, random), random);
    check(Chunk({96, 1, 48}, 129, {1, 700}, random), random);
    check(Chunk({256, 2, 256}, 65, {300, 0}, random), random);
}

TEST_F(PrefillAttention, StaysExactWhenOneTokenTakesAllWeightAndWhenTheLargestScoreMoves) {
    std::mt19937 random(4);
    check(Chunk({128, 4, 64}, 130, {333}, random, {20.0f, 0.0f}), random);
    check(Chunk({128, 4, 64}, 130, {700}, random, {1.0f, 0.02f}), random);
    check(Chunk({64, 1, 32}, 200, {700}, random, {2.0f, 0.05f}), random);
    check(Chunk({256, 8, 16}, 20, {700}, random, {2.0f, 0.05f}), random);
}

TEST_F(PrefillAttention, EqualInputGivesEqualBits) {
    std::mt19937 random(5);
    const Chunk c({128, 5, 64}, 300, {1000, 20}, random);
    const std::vector<Bf16> first = run(c);
    for (int i = 0; i < 3; ++i) ASSERT_EQ(run(c), first);
}

TEST_F(PrefillAttention, RefusesShapesItDoesNotHaveAndDoesNothingForAnEmptyChunk) {
    const DeviceArray<Bf16> memory(4096);
    const DeviceArray<std::int32_t> numbers(16);
    PrefillAttentionArguments good;
    good.cache = {memory.get(), numbers.get(), numbers.get(), numbers.get(), 2, 16, 128};
    good.q = memory.get();
    good.q_stride = 1024;
    good.out = memory.get();
    good.out_stride = 1024;
    good.num_qo_heads = 8;
    EXPECT_EQ(kernels::cuda::prefill_attention(good, nullptr), cudaSuccess);
    const auto refuses = [&](auto change) {
        PrefillAttentionArguments bad = good;
        change(bad);
        return kernels::cuda::prefill_attention(bad, nullptr) == cudaErrorInvalidValue;
    };
    using Arguments = PrefillAttentionArguments;
    EXPECT_TRUE(refuses([](Arguments& a) { a.n = -1; }));
    EXPECT_TRUE(refuses([](Arguments& a) { a.cache.head_dim = 80; }));
    EXPECT_TRUE(refuses([](Arguments& a) { a.cache.page_size = 24; }));
    EXPECT_TRUE(refuses([](Arguments& a) { a.cache.page_size = 0; }));
    EXPECT_TRUE(refuses([](Arguments& a) { a.cache.num_pairs = 0; }));
    EXPECT_TRUE(refuses([](Arguments& a) { a.num_qo_heads = 7; }));
    EXPECT_TRUE(refuses([](Arguments& a) { a.num_qo_heads = 0; }));
    EXPECT_TRUE(refuses([](Arguments& a) {
        a.num_qo_heads = 34;
        a.q_stride = a.out_stride = 34 * 128;
    }));
    EXPECT_TRUE(refuses([](Arguments& a) { a.q_stride = 1016; }));
    EXPECT_TRUE(refuses([](Arguments& a) { a.q_stride = 1028; }));
    EXPECT_TRUE(refuses([](Arguments& a) { a.out_stride = 1028; }));
    EXPECT_TRUE(refuses([](Arguments& a) { ++a.q; }));
    EXPECT_TRUE(refuses([](Arguments& a) { ++a.out; }));
}

}  // namespace
}  // namespace hc::test
