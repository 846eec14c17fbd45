#include "kernels/cuda/decode_matmul.h"

#include <algorithm>
#include <cmath>
#include <memory>
#include <numeric>
#include <span>

#include "engine/core/dtype.h"
#include "kernels/cuda/advance_lengths.h"
#include "kernels/cuda/decode_attention.h"
#include "kernels/reference/ops.h"
#include "tests/device/device_buffer.h"

namespace hc::test {
namespace {

using kernels::cuda::Bf16;
using kernels::cuda::DecodeMatmulArguments;
using kernels::cuda::MatmulEpilogue;
using kernels::cuda::MatmulPrologue;
namespace reference = kernels::reference;

constexpr float kEps = 1e-5f;
constexpr std::int32_t kMaxTokens = 8;

std::size_t as_size(std::int64_t v) {
    return static_cast<std::size_t>(v);
}

std::vector<float> random_floats(std::size_t count, std::mt19937& random, float deviation) {
    std::normal_distribution<float> normal(0.0f, deviation);
    std::vector<float> out(count);
    for (auto& v : out) v = normal(random);
    return out;
}

// Weights that give sums of deviation 1 for input of deviation 1.
struct Weights {
    std::int64_t rows;
    std::int64_t cols;
    std::vector<Bf16> host;
    DeviceArray<Bf16> device;

    Weights(std::int64_t rows_in, std::int64_t cols_in, std::mt19937& random)
        : rows(rows_in),
          cols(cols_in),
          host(random_bf16(as_size(rows * cols), random,
                           1.0f / std::sqrt(static_cast<float>(cols)))),
          device(host) {}

    [[nodiscard]] std::vector<float> times(const std::vector<float>& x, const float* bias,
                                           std::int64_t n) const {
        const WeightView view{DType::kBF16, reinterpret_cast<const std::byte*>(host.data()), rows,
                              cols};
        std::vector<float> y(as_size(n * rows));
        reference::matmul(view, bias, x.data(), n, y.data());
        return y;
    }
    [[nodiscard]] DecodeMatmulArguments arguments(std::int32_t n, MatmulPrologue prologue,
                                                  MatmulEpilogue epilogue) const {
        DecodeMatmulArguments a;
        a.w = device.get();
        a.rows = rows;
        a.cols = cols;
        a.n = n;
        a.prologue = prologue;
        a.epilogue = epilogue;
        a.eps = kEps;
        return a;
    }
};

std::vector<float> normed(const std::vector<float>& x, const std::vector<Bf16>& weight,
                          std::int64_t n) {
    std::vector<float> out(x.size());
    const auto w = from_bf16(weight);
    reference::rms_norm(x.data(), w.data(), n, static_cast<std::int64_t>(w.size()), kEps,
                        out.data());
    return out;
}

void expect_near(std::span<const float> found, std::span<const float> expected, double absolute,
                 double relative, const std::string& what) {
    ASSERT_LE(expected.size(), found.size());
    for (std::size_t i = 0; i < expected.size(); ++i) {
        ASSERT_NEAR(found[i], expected[i], absolute + relative * std::abs(expected[i]))
            << what << ", element " << i;
    }
}

// What lies behind the result is as DeviceArray left it.
template <typename T>
void expect_untouched(const std::vector<T>& values, std::size_t from) {
    const T fresh = [] {
        T v;
        std::memset(&v, 0xff, sizeof v);
        return v;
    }();
    for (std::size_t i = from; i < values.size(); ++i) {
        ASSERT_EQ(std::memcmp(&values[i], &fresh, sizeof fresh), 0) << "element " << i;
    }
}

class DecodeMatmul : public DeviceTest {
protected:
    void SetUp() override {
        DeviceTest::SetUp();
        if (!IsSkipped()) HC_ASSERT_CUDA(cudaStreamCreate(&stream_));
    }
    void TearDown() override {
        if (stream_ != nullptr) HC_ASSERT_CUDA(cudaStreamDestroy(stream_));
    }
    cudaStream_t stream_ = nullptr;
};

TEST_F(DecodeMatmul, StoresAndAddsWhatTheTwinGivesForOneToEightTokens) {
    std::mt19937 random(1);
    struct Size {
        std::int64_t rows, cols;
    };
    for (const Size size :
         {Size{1, 32}, Size{17, 96}, Size{192, 576}, Size{576, 576}, Size{576, 1536},
          Size{2120, 4096}, Size{5000, 288}, Size{100, 8224}, Size{4096, 14336}}) {
        const std::string what = std::to_string(size.rows) + " x " + std::to_string(size.cols);
        const Weights w(size.rows, size.cols, random);
        const auto x = random_bf16(as_size(kMaxTokens * size.cols), random);
        const auto bias = random_bf16(as_size(size.rows), random);
        const auto start = random_floats(as_size(kMaxTokens * size.rows), random, 3.0f);
        const DeviceArray<Bf16> dx(x), db(bias);
        const auto plain = w.times(from_bf16(x), nullptr, kMaxTokens);
        for (std::int32_t n = 1; n <= kMaxTokens; ++n) {
            const std::size_t count = as_size(n * size.rows);
            const bool pdl = n % 2 == 0;
            const bool with_bias = n % 3 == 0;
            std::vector<float> expected(plain.begin(),
                                        plain.begin() + static_cast<std::ptrdiff_t>(count));
            for (std::size_t i = 0; with_bias && i < count; ++i) {
                expected[i] += from_bf16(bias[i % as_size(size.rows)]);
            }
            const DeviceArray<float> wide(start.size());
            const DeviceArray<Bf16> narrow(start.size());
            const DeviceArray<float> sums(start);
            auto a = w.arguments(n, MatmulPrologue::kNone, MatmulEpilogue::kStoreF32);
            a.x = dx.get();
            a.bias = with_bias ? db.get() : nullptr;
            a.out = narrow.get();
            a.out_f32 = wide.get();
            HC_ASSERT_CUDA(kernels::cuda::decode_matmul(a, pdl, stream_));
            a.epilogue = MatmulEpilogue::kStoreBf16;
            HC_ASSERT_CUDA(kernels::cuda::decode_matmul(a, pdl, stream_));
            a.epilogue = MatmulEpilogue::kAddF32;
            a.out_f32 = sums.get();
            HC_ASSERT_CUDA(kernels::cuda::decode_matmul(a, pdl, stream_));
            HC_ASSERT_CUDA(cudaStreamSynchronize(stream_));
            const std::string label = what + ", n " + std::to_string(n);
            expect_near(wide.read(), expected, 1e-4, 1e-5, label);
            expect_untouched(wide.read(), count);
            expect_near(from_bf16(narrow.read()), expected, 1e-3, 1.0 / 250, label);
            expect_untouched(narrow.read(), count);
            for (std::size_t i = 0; i < count; ++i) expected[i] += start[i];
            expected.insert(expected.end(), start.begin() + static_cast<std::ptrdiff_t>(count),
                            start.end());
            expect_near(sums.read(), expected, 1e-4, 1e-5, label + ", added");
            if (HasFatalFailure()) return;
        }
    }
}

TEST_F(DecodeMatmul, NormBeforeAndSiluAfterEqualTheTwins) {
    std::mt19937 random(2);
    struct Size {
        std::int64_t rows, cols;
    };
    for (const Size size :
         {Size{16, 32}, Size{48, 96}, Size{3072, 576}, Size{2 * 1000, 4096}, Size{160, 8192}}) {
        const Weights w(size.rows, size.cols, random);
        const auto x = random_floats(as_size(kMaxTokens * size.cols), random, 7.0f);
        const auto norm_weight = random_bf16(as_size(size.cols), random);
        const DeviceArray<float> dx(x);
        const DeviceArray<Bf16> dn(norm_weight);
        const auto plain = w.times(normed(x, norm_weight, kMaxTokens), nullptr, kMaxTokens);
        for (std::int32_t n = 1; n <= kMaxTokens; ++n) {
            const DeviceArray<float> wide(plain.size());
            const DeviceArray<Bf16> narrow(plain.size());
            auto a = w.arguments(n, MatmulPrologue::kRmsNorm, MatmulEpilogue::kStoreF32);
            a.x_f32 = dx.get();
            a.norm_weight = dn.get();
            a.out = narrow.get();
            a.out_f32 = wide.get();
            HC_ASSERT_CUDA(kernels::cuda::decode_matmul(a, n % 2 == 0, stream_));
            a.epilogue = MatmulEpilogue::kSiluMul;
            HC_ASSERT_CUDA(kernels::cuda::decode_matmul(a, n % 2 == 0, stream_));
            HC_ASSERT_CUDA(cudaStreamSynchronize(stream_));
            // x * weight is rounded to bf16, half a unit is 2^-9 of it; sums are of deviation 1.
            const std::string label = std::to_string(size.rows) + " x " +
                                      std::to_string(size.cols) + ", n " + std::to_string(n);
            const std::size_t count = as_size(n * size.rows);
            expect_near(wide.read(), std::span(plain).first(count), 0.015, 1e-3, label);
            expect_untouched(wide.read(), count);
            const std::size_t width = as_size(size.rows / 2);
            std::vector<float> expected(count / 2);
            for (std::size_t t = 0; t < as_size(n); ++t) {
                reference::silu_mul(&plain[2 * width * t], &plain[2 * width * t + width],
                                    static_cast<std::int64_t>(width), &expected[width * t]);
            }
            expect_near(from_bf16(narrow.read()), expected, 0.05, 0.02, label + ", silu");
            expect_untouched(narrow.read(), count / 2);
            if (HasFatalFailure()) return;
        }
    }
}

struct Heads {
    std::int32_t qo, kv, dim, page_size;
    std::int64_t hidden;
    [[nodiscard]] std::int64_t rows() const { return (qo + 2 * kv) * dim; }
};

std::vector<float> inverse_frequencies(std::int32_t dim) {
    std::vector<float> out(as_size(dim / 2));
    for (std::size_t i = 0; i < out.size(); ++i) {
        out[i] = std::pow(500000.0f, -static_cast<float>(i) / static_cast<float>(out.size()));
    }
    return out;
}

// Lists of pages in no order, one more token than lengths say fits.
struct Pages {
    std::vector<std::int32_t> lengths, indptr, indices;
    Pages(std::vector<std::int32_t> lengths_in, std::int32_t page_size, std::mt19937& random)
        : lengths(std::move(lengths_in)) {
        std::int32_t count = 0;
        for (const auto length : lengths) {
            indptr.push_back(count);
            count += length / page_size + 1;
        }
        indices.resize(as_size(count));
        std::iota(indices.begin(), indices.end(), 0);
        std::shuffle(indices.begin(), indices.end(), random);
    }
};

void check_rope_append(const Heads& h, std::int32_t n, bool with_bias, std::mt19937& random,
                       cudaStream_t stream) {
    const Weights w(h.rows(), h.hidden, random);
    const auto x = random_floats(as_size(n * h.hidden), random, 2.0f);
    const auto norm_weight = random_bf16(as_size(h.hidden), random);
    const auto bias = random_bf16(as_size(h.rows()), random);
    std::uniform_int_distribution<std::int32_t> any(0, 70);
    std::vector<std::int32_t> lengths(as_size(n * h.kv)), positions(as_size(n));
    for (auto& v : lengths) v = any(random);
    for (auto& v : positions) v = any(random) * any(random) * 43;
    const Pages p(lengths, h.page_size, random);
    const auto inv_freq = inverse_frequencies(h.dim);
    const auto dim = as_size(h.dim);
    const auto page = as_size(h.page_size);
    const DeviceArray<Bf16> pages(p.indices.size() * 2 * page * dim), dn(norm_weight), db(bias),
        q_out(as_size(n * h.qo) * dim);
    const DeviceArray<float> dx(x), df(inv_freq);
    const DeviceArray<std::int32_t> dl(lengths), dptr(p.indptr), dind(p.indices), dp(positions);
    auto a = w.arguments(n, MatmulPrologue::kRmsNorm, MatmulEpilogue::kRopeAppend);
    a.x_f32 = dx.get();
    a.norm_weight = dn.get();
    a.bias = with_bias ? db.get() : nullptr;
    a.out = q_out.get();
    a.positions = dp.get();
    a.inv_freq = df.get();
    a.num_qo_heads = h.qo;
    a.num_kv_heads = h.kv;
    a.cache = {pages.get(), dind.get(), dptr.get(), dl.get(), n * h.kv, h.page_size, h.dim, 1};
    HC_ASSERT_CUDA(kernels::cuda::decode_matmul(a, n % 2 == 1, stream));
    HC_ASSERT_CUDA(cudaStreamSynchronize(stream));
    const auto bias_values = from_bf16(bias);
    auto tokens = w.times(normed(x, norm_weight, n), with_bias ? bias_values.data() : nullptr, n);
    const auto found_q = from_bf16(q_out.read());
    auto found_pages = pages.read();
    EXPECT_EQ(dl.read(), lengths);
    const auto near = [](float found, float expected) {
        ASSERT_NEAR(found, expected, 0.02 + std::abs(expected) / 200);
    };
    for (std::size_t t = 0; t < as_size(n); ++t) {
        float* token = &tokens[t * as_size(h.rows())];
        reference::rope(token, h.qo + h.kv, h.dim, positions[t], inv_freq.data(), false);
        for (std::size_t i = 0; i < as_size(h.qo) * dim; ++i) {
            ASSERT_NO_FATAL_FAILURE(near(found_q[t * as_size(h.qo) * dim + i], token[i]));
        }
        for (std::size_t head = 0; head < as_size(h.kv); ++head) {
            const std::size_t pair = t * as_size(h.kv) + head;
            const auto slot = as_size(lengths[pair]);
            const auto index = as_size(p.indices[as_size(p.indptr[pair]) + slot / page]);
            const std::size_t key = (index * 2 * page + slot % page) * dim;
            for (std::size_t d = 0; d < dim; ++d) {
                const std::size_t k = (as_size(h.qo) + head) * dim + d;
                Bf16& key_bits = found_pages[key + d];
                Bf16& value_bits = found_pages[key + page * dim + d];
                ASSERT_NO_FATAL_FAILURE(near(from_bf16(key_bits), token[k]));
                ASSERT_NO_FATAL_FAILURE(
                    near(from_bf16(value_bits), token[k + as_size(h.kv) * dim]));
                key_bits = value_bits = Bf16{0xffff};
            }
        }
    }
    expect_untouched(found_pages, 0);
}

TEST_F(DecodeMatmul, RotatesQueriesAndPutsKeysAndValuesIntoTheNextSlot) {
    std::mt19937 random(3);
    for (const std::int32_t n : {1, 2, 3, 8}) {
        check_rope_append({9, 3, 64, 16, 576}, n, n == 2, random, stream_);
        check_rope_append({4, 2, 96, 32, 384}, n, true, random, stream_);
        check_rope_append({2, 1, 256, 64, 512}, n, false, random, stream_);
        if (HasFatalFailure()) return;
    }
    check_rope_append({32, 8, 128, 64, 4096}, 1, false, random, stream_);
    check_rope_append({32, 8, 128, 64, 4096}, 7, true, random, stream_);
}

// Two layers of a model, the second on the first one's residual stream.
class Layers {
public:
    Layers(const Heads& h, std::int64_t mlp, const std::vector<std::int32_t>& lengths,
           std::mt19937& random)
        : h_(h),
          n_(static_cast<std::int32_t>(lengths.size()) / h.kv),
          qkv_(h.rows(), h.hidden, random),
          o_(h.hidden, std::int64_t{h.qo} * h.dim, random),
          gate_up_(2 * mlp, h.hidden, random),
          down_(h.hidden, mlp, random),
          lists_(lengths, h.page_size, random),
          pages_(random_bf16(lists_.indices.size() * as_size(2 * h.page_size * h.dim), random)),
          lengths_(lists_.lengths),
          indptr_(lists_.indptr),
          indices_(lists_.indices),
          positions_(std::vector<std::int32_t>(as_size(n_), 77)),
          inv_freq_(inverse_frequencies(h.dim)),
          norm_(random_bf16(as_size(h.hidden), random)),
          start_(random_floats(as_size(n_ * h.hidden), random, 2.0f)),
          residual(as_size(n_ * h.hidden)),
          q_(as_size(n_ * h.qo * h.dim)),
          attended(as_size(n_ * h.qo * h.dim)),
          middle_(as_size(n_ * mlp)) {
        EXPECT_EQ(kernels::cuda::plan_decode_attention(n_ * h.kv, h.qo / h.kv, h.dim, plan_),
                  cudaSuccess);
        workspace_ = std::make_unique<DeviceArray<std::byte>>(plan_.workspace_bytes);
        workspace_->clear();
    }

    void enqueue(bool pdl, cudaStream_t stream) {
        HC_ASSERT_CUDA(cudaMemcpyAsync(residual.get(), start_.get(), bytes(),
                                       cudaMemcpyDeviceToDevice, stream));
        for (int layer = 0; layer < 2; ++layer) {
            auto qkv = qkv_.arguments(n_, MatmulPrologue::kRmsNorm, MatmulEpilogue::kRopeAppend);
            qkv.x_f32 = residual.get();
            qkv.norm_weight = norm_.get();
            qkv.out = q_.get();
            qkv.positions = positions_.get();
            qkv.inv_freq = inv_freq_.get();
            qkv.num_qo_heads = h_.qo;
            qkv.num_kv_heads = h_.kv;
            qkv.cache = cache();
            HC_ASSERT_CUDA(kernels::cuda::decode_matmul(qkv, pdl && layer > 0, stream));
            HC_ASSERT_CUDA(kernels::cuda::decode_attention(plan_, cache(), q_.get(), attended.get(),
                                                           workspace_->get(), stream, pdl));
            auto o = o_.arguments(n_, MatmulPrologue::kNone, MatmulEpilogue::kAddF32);
            o.x = attended.get();
            o.out_f32 = residual.get();
            HC_ASSERT_CUDA(kernels::cuda::decode_matmul(o, pdl, stream));
            auto up = gate_up_.arguments(n_, MatmulPrologue::kRmsNorm, MatmulEpilogue::kSiluMul);
            up.x_f32 = residual.get();
            up.norm_weight = norm_.get();
            up.out = middle_.get();
            HC_ASSERT_CUDA(kernels::cuda::decode_matmul(up, pdl, stream));
            auto down = down_.arguments(n_, MatmulPrologue::kNone, MatmulEpilogue::kAddF32);
            down.x = middle_.get();
            down.out_f32 = residual.get();
            HC_ASSERT_CUDA(kernels::cuda::decode_matmul(down, pdl, stream));
        }
    }

    // Residual stream and pages, as one list of bits.
    [[nodiscard]] std::vector<Bf16> result() const {
        const auto stream = residual.read();
        std::vector<Bf16> out(2 * stream.size());
        std::memcpy(out.data(), stream.data(), bytes());
        const auto pages = pages_.read();
        out.insert(out.end(), pages.begin(), pages.end());
        return out;
    }

private:
    [[nodiscard]] std::size_t bytes() const { return as_size(4 * n_ * h_.hidden); }
    [[nodiscard]] kernels::cuda::PagedKvCache cache() const {
        return {pages_.get(), indices_.get(), indptr_.get(), lengths_.get(),
                n_ * h_.kv,   h_.page_size,   h_.dim,        1};
    }

    Heads h_;
    std::int32_t n_;
    Weights qkv_, o_, gate_up_, down_;
    Pages lists_;
    DeviceArray<Bf16> pages_;
    DeviceArray<std::int32_t> lengths_, indptr_, indices_, positions_;
    DeviceArray<float> inv_freq_;
    DeviceArray<Bf16> norm_;
    DeviceArray<float> start_, residual;
    DeviceArray<Bf16> q_, attended, middle_;
    kernels::cuda::DecodeAttentionPlan plan_;
    std::unique_ptr<DeviceArray<std::byte>> workspace_;
};

void check_chain(Layers& layers, cudaStream_t stream) {
    ASSERT_NO_FATAL_FAILURE(layers.enqueue(false, stream));
    HC_ASSERT_CUDA(cudaStreamSynchronize(stream));
    const auto expected = layers.result();
    for (int repeat = 0; repeat < 30; ++repeat) {
        ASSERT_NO_FATAL_FAILURE(layers.enqueue(true, stream));
        if (repeat % 10 != 0) continue;  // others follow each other at once
        HC_ASSERT_CUDA(cudaStreamSynchronize(stream));
        ASSERT_EQ(layers.result(), expected) << "repeat " << repeat;
    }
    cudaGraph_t graph = nullptr;
    cudaGraphExec_t replay = nullptr;
    HC_ASSERT_CUDA(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
    ASSERT_NO_FATAL_FAILURE(layers.enqueue(true, stream));
    HC_ASSERT_CUDA(cudaStreamEndCapture(stream, &graph));
    HC_ASSERT_CUDA(cudaGraphInstantiate(&replay, graph, 0));
    for (int i = 0; i < 3; ++i) {
        HC_ASSERT_CUDA(cudaGraphLaunch(replay, stream));
        HC_ASSERT_CUDA(cudaStreamSynchronize(stream));
        ASSERT_EQ(layers.result(), expected) << "replay " << i;
    }
    HC_ASSERT_CUDA(cudaGraphExecDestroy(replay));
    HC_ASSERT_CUDA(cudaGraphDestroy(graph));
}

TEST_F(DecodeMatmul, AChainThatOverlapsGivesTheBitsOfOneThatDoesNot) {
    std::mt19937 random(4);
    Layers small({9, 3, 64, 16, 576}, 1536, {37, 5000, 16}, random);
    ASSERT_NO_FATAL_FAILURE(check_chain(small, stream_));
    Layers batch({8, 2, 128, 64, 1024}, 2816, {15, 16, 31, 9000, 64, 127, 0, 1}, random);
    ASSERT_NO_FATAL_FAILURE(check_chain(batch, stream_));
    Layers wide({32, 8, 128, 64, 4096}, 14336, std::vector<std::int32_t>(8, 4099), random);
    ASSERT_NO_FATAL_FAILURE(check_chain(wide, stream_));
}

TEST_F(DecodeMatmul, RefusesShapesItDoesNotHave) {
    std::mt19937 random(5);
    const Weights w(32, 64, random);
    const auto status = [&](auto change) {
        auto a = w.arguments(1, MatmulPrologue::kNone, MatmulEpilogue::kStoreBf16);
        change(a);
        return kernels::cuda::decode_matmul(a, false, stream_);
    };
    EXPECT_EQ(status([](auto& a) { a.n = 0; }), cudaSuccess);
    EXPECT_EQ(status([](auto& a) { a.n = 9; }), cudaErrorInvalidValue);
    EXPECT_EQ(status([](auto& a) { a.cols = 48; }), cudaErrorInvalidValue);
    EXPECT_EQ(status([](auto& a) { a.epilogue = MatmulEpilogue::kSiluMul; }),
              cudaErrorInvalidValue);
    EXPECT_EQ(status([](auto& a) { a.epilogue = MatmulEpilogue::kRopeAppend; }),
              cudaErrorInvalidValue);
    EXPECT_EQ(status([](auto& a) {
                  a.prologue = MatmulPrologue::kRmsNorm;
                  a.epilogue = MatmulEpilogue::kStoreF32;
                  a.n = 8;
                  a.cols = 16384;
              }),
              cudaErrorInvalidValue);
}

TEST_F(DecodeMatmul, AdvanceLengthsAddsOneToEveryLengthAndPosition) {
    std::vector<std::int32_t> lengths(1000), positions = {7, 0};
    std::iota(lengths.begin(), lengths.end(), 0);
    const DeviceArray<std::int32_t> l(lengths), p(positions);
    HC_ASSERT_CUDA(kernels::cuda::advance_lengths(l.get(), 999, p.get(), 2, false, stream_));
    HC_ASSERT_CUDA(kernels::cuda::advance_lengths(l.get(), 999, p.get(), 1, true, stream_));
    HC_ASSERT_CUDA(kernels::cuda::advance_lengths(l.get(), 0, p.get(), 0, true, stream_));
    HC_ASSERT_CUDA(cudaStreamSynchronize(stream_));
    for (std::size_t i = 0; i < 999; ++i) lengths[i] += 2;
    EXPECT_EQ(l.read(), lengths);
    EXPECT_EQ(p.read(), (std::vector<std::int32_t>{9, 1}));
    EXPECT_EQ(kernels::cuda::advance_lengths(l.get(), -1, p.get(), 2, false, stream_),
              cudaErrorInvalidValue);
}

}  // namespace
}  // namespace hc::test
