#include "engine/cuda/device_weights.h"

#include <algorithm>
#include <cmath>
#include <span>

#include "engine/core/error.h"
#include "engine/core/half.h"
#include "engine/policy/device_memory.h"
#include "kernels/cuda/dequantize.h"
#include "kernels/cuda/random_fill.h"

namespace hc::cuda {
namespace {

using kernels::cuda::Bf16;

constexpr std::int64_t kPieceBytes = std::int64_t{64} << 20;  // of a file, on its way

std::int64_t largest_matrix(const model::Weights& weights) {
    std::size_t largest = std::max(weights.embedding.size_bytes(), weights.lm_head.size_bytes());
    for (const model::LayerWeights& l : weights.layers) {
        for (const WeightView* view : {&l.q, &l.k, &l.v, &l.o, &l.gate, &l.up, &l.down}) {
            largest = std::max(largest, view->size_bytes());
        }
    }
    return static_cast<std::int64_t>(largest);
}

/// Hands out parts of one allocation, aligned as policy::device_weight_bytes counts them.
class Builder {
public:
    Builder(const model::Model& model, const DeviceBuffer& storage, MemoryLedger& ledger,
            cudaStream_t stream, std::uint64_t seed)
        : model_(model),
          shape_(model.shape),
          base_(storage.as<std::byte>()),
          size_(storage.size_bytes()),
          stream_(stream),
          seed_(seed) {
        if (!model.shape_only) {
            piece_bytes_ = std::min(kPieceBytes, largest_matrix(model.weights));
            piece_ = DeviceBuffer(ledger, "weights on their way", piece_bytes_);
        }
    }

    Bf16* take(std::int64_t elements) {
        auto* part = reinterpret_cast<Bf16*>(base_ + used_);
        used_ += policy::aligned_bytes(2 * elements);
        HC_CHECK(used_ <= size_);
        return part;
    }

    /// Rows of a file's matrix to `out`.
    void put(const WeightView& view, Bf16* out, const kernels::cuda::HalfSplit& split = {}) {
        // Whole heads at a time where rows change places.
        const std::int64_t unit = split.head_dim > 0 ? split.head_dim : 1;
        const auto row_bytes = static_cast<std::int64_t>(view.row_bytes());
        const std::int64_t rows_a_piece =
            std::max<std::int64_t>(1, piece_bytes_ / (row_bytes * unit)) * unit;
        if (rows_a_piece * row_bytes > piece_bytes_) {
            throw_refused("a weight matrix has rows too long for the device");
        }
        for (std::int64_t row = 0; row < view.rows; row += rows_a_piece) {
            const std::int64_t rows = std::min(rows_a_piece, view.rows - row);
            // From pageable memory: returns when the source has been read.
            check(cudaMemcpyAsync(piece_.as<void>(), view.data + row * row_bytes,
                                  static_cast<std::size_t>(rows * row_bytes),
                                  cudaMemcpyHostToDevice, stream_),
                  "uploading weights");
            kernels::cuda::HalfSplit part = split;
            if (split.head_dim > 0) part.num_heads = static_cast<std::int32_t>(rows / unit);
            check(kernels::cuda::dequantize(view.type, piece_.as<void>(), rows, view.cols,
                                            out + row * view.cols, stream_, part),
                  "dequantize");
        }
    }

    void put(std::span<const float> values, Bf16* out) {
        std::vector<Bf16> rounded;
        rounded.reserve(values.size());
        for (const float v : values) rounded.push_back(float_to_bfloat16(v));
        check(cudaMemcpyAsync(out, rounded.data(), 2 * rounded.size(), cudaMemcpyHostToDevice,
                              stream_),
              "uploading weights");
        check(cudaStreamSynchronize(stream_), "uploading weights");
    }

    Bf16* vector(const std::vector<float>& values, std::int64_t size) {
        Bf16* out = take(size);
        if (model_.shape_only) {
            put(std::vector<float>(static_cast<std::size_t>(size), 1.0F), out);
        } else {
            put(values, out);
        }
        return out;
    }

    /// Random rows; `fan_in` sets the deviation.
    void random(Bf16* out, std::int64_t rows, std::int64_t cols) {
        const auto deviation = static_cast<float>(1.0 / std::sqrt(static_cast<double>(cols)));
        check(kernels::cuda::random_fill(out, rows * cols, seed_++ * 0x9e3779b97f4a7c15U, deviation,
                                         stream_),
              "random_fill");
    }

    DeviceLayer layer(std::size_t index) {
        static const model::LayerWeights none;
        const model::LayerWeights& l = model_.shape_only ? none : model_.weights.layers[index];
        DeviceLayer d{};
        d.attn_norm = vector(l.attn_norm, shape_.hidden);
        d.qkv = qkv(l);
        d.qkv_bias = qkv_bias(l);
        d.o = matrix(l.o, shape_.hidden, q_rows());
        d.mlp_norm = vector(l.mlp_norm, shape_.hidden);
        d.gate_up = gate_up(l);
        d.down = matrix(l.down, shape_.hidden, shape_.mlp);
        return d;
    }

    Bf16* matrix(const WeightView& view, std::int64_t rows, std::int64_t cols) {
        Bf16* out = take(rows * cols);
        if (model_.shape_only) {
            random(out, rows, cols);
        } else {
            put(view, out);
        }
        return out;
    }

private:
    [[nodiscard]] std::int64_t q_rows() const { return shape_.num_qo_heads * shape_.head_dim; }
    [[nodiscard]] std::int64_t kv_rows() const { return shape_.num_kv_heads * shape_.head_dim; }

    Bf16* qkv(const model::LayerWeights& l) {
        const std::int64_t rows = q_rows() + 2 * kv_rows();
        Bf16* out = take(rows * shape_.hidden);
        if (model_.shape_only) {
            random(out, rows, shape_.hidden);
            return out;
        }
        kernels::cuda::HalfSplit split;
        if (model_.weights.rope_interleaved) {
            split.head_dim = static_cast<std::int32_t>(shape_.head_dim);
        }
        put(l.q, out, split);
        put(l.k, out + q_rows() * shape_.hidden, split);
        put(l.v, out + (q_rows() + kv_rows()) * shape_.hidden);
        return out;
    }

    /// In halves order like the rows that it is added to.
    Bf16* qkv_bias(const model::LayerWeights& l) {
        if (!shape_.qkv_bias) return nullptr;
        const std::int64_t size = q_rows() + 2 * kv_rows();
        Bf16* out = take(size);
        std::vector<float> joined(static_cast<std::size_t>(size), 0.0F);
        if (!model_.shape_only) {
            joined.clear();
            for (const std::vector<float>* part : {&l.q_bias, &l.k_bias, &l.v_bias}) {
                const bool rotated = part != &l.v_bias && model_.weights.rope_interleaved;
                append_bias(*part, rotated, joined);
            }
        }
        put(joined, out);
        return out;
    }

    void append_bias(const std::vector<float>& bias, bool rotated, std::vector<float>& out) const {
        const auto dim = static_cast<std::size_t>(shape_.head_dim);
        for (std::size_t i = 0; i < bias.size(); ++i) {
            const std::size_t head = i / dim * dim;
            const std::size_t within = i % dim;
            const std::size_t from = within < dim / 2 ? 2 * within : 2 * (within - dim / 2) + 1;
            out.push_back(rotated ? bias[head + from] : bias[i]);
        }
    }

    Bf16* gate_up(const model::LayerWeights& l) {
        Bf16* out = take(2 * shape_.mlp * shape_.hidden);
        if (model_.shape_only) {
            random(out, 2 * shape_.mlp, shape_.hidden);
            return out;
        }
        put(l.gate, out);
        put(l.up, out + shape_.mlp * shape_.hidden);
        return out;
    }

    const model::Model& model_;
    const ModelShape& shape_;
    std::byte* base_;
    std::int64_t size_;
    std::int64_t used_ = 0;
    cudaStream_t stream_;
    std::uint64_t seed_;
    std::int64_t piece_bytes_ = 0;
    DeviceBuffer piece_;
};

}  // namespace

DeviceWeights::DeviceWeights(const model::Model& model, MemoryLedger& ledger, cudaStream_t stream,
                             std::uint64_t seed)
    : storage_(ledger, "weights", policy::device_weight_bytes(model.shape)) {
    Builder builder(model, storage_, ledger, stream, seed);
    const ModelShape& shape = model.shape;
    embedding = builder.matrix(model.weights.embedding, shape.vocab, shape.hidden);
    for (std::size_t i = 0; i < static_cast<std::size_t>(shape.num_layers); ++i) {
        layers.push_back(builder.layer(i));
    }
    final_norm = builder.vector(model.weights.final_norm, shape.hidden);
    lm_head = shape.tied_embeddings
                  ? embedding
                  : builder.matrix(model.weights.lm_head, shape.vocab, shape.hidden);
    check(cudaStreamSynchronize(stream), "uploading weights");
}

}  // namespace hc::cuda
