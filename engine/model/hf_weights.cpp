// Tensors of a Hugging Face folder -> Weights.
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <cstring>
#include <unordered_set>

#include "engine/model/gguf_file.h"
#include "engine/model/hf_model.h"
#include "kernels/reference/ops.h"

namespace hc::model {
namespace {

constexpr const char* kEmbedding = "model.embed_tokens.weight";
constexpr const char* kHead = "lm_head.weight";

/// Reads tensors by name and remembers which ones the model has used.
class TensorReader {
public:
    explicit TensorReader(const SafetensorsFolder& tensors) : tensors_(tensors) {}

    [[nodiscard]] bool has(std::string_view name) const { return tensors_.find(name) != nullptr; }
    [[nodiscard]] WeightView matrix(const std::string& name, std::int64_t rows, std::int64_t cols) {
        const SafeTensor& tensor = need(name, {rows, cols});
        return {tensor.type, tensor.bytes.data(), rows, cols};
    }
    [[nodiscard]] std::vector<float> vector(const std::string& name, std::int64_t size) {
        const SafeTensor& tensor = need(name, {size});
        std::vector<float> values(static_cast<std::size_t>(size));
        const WeightView row{tensor.type, tensor.bytes.data(), 1, size};
        kernels::reference::dequantize_row(row, 0, values.data());
        return values;
    }

    /// Biases, norms or experts of a variant that we do not compute must not be passed over.
    void refuse_others(const ModelShape& shape) const {
        for (const auto& [name, entry] : tensors_.tensors()) {
            // Checkpoints of older libraries keep the rotary frequencies, which follow from the
            // configuration.
            if (used_.contains(name) || name.ends_with(".rotary_emb.inv_freq")) continue;
            entry.file->fail(
                fmt::format("tensor '{}' belongs to no {} model of {} layers that we compute",
                            printable(name), shape.architecture, shape.num_layers));
        }
    }

private:
    const SafeTensor& need(const std::string& name, const std::vector<std::int64_t>& dims) {
        used_.insert(name);
        const SafetensorsFolder::Entry* entry = tensors_.find(name);
        if (entry == nullptr) tensors_.fail(fmt::format("tensor '{}' is missing", name));
        if (entry->tensor->dims != dims) {
            entry->file->fail(fmt::format("tensor '{}' has shape [{}], config.json asks for [{}]",
                                          name, fmt::join(entry->tensor->dims, ", "),
                                          fmt::join(dims, ", ")));
        }
        return *entry->tensor;
    }

    const SafetensorsFolder& tensors_;
    std::unordered_set<std::string> used_;
};

LayerWeights read_layer(TensorReader& tensors, std::int64_t index, const ModelShape& shape) {
    const auto name = [index](std::string_view part) {
        return fmt::format("model.layers.{}.{}", index, part);
    };
    const std::int64_t q_rows = shape.num_qo_heads * shape.head_dim;
    const std::int64_t kv_rows = shape.num_kv_heads * shape.head_dim;
    LayerWeights layer;
    layer.attn_norm = tensors.vector(name("input_layernorm.weight"), shape.hidden);
    layer.q = tensors.matrix(name("self_attn.q_proj.weight"), q_rows, shape.hidden);
    layer.k = tensors.matrix(name("self_attn.k_proj.weight"), kv_rows, shape.hidden);
    layer.v = tensors.matrix(name("self_attn.v_proj.weight"), kv_rows, shape.hidden);
    layer.o = tensors.matrix(name("self_attn.o_proj.weight"), shape.hidden, q_rows);
    if (shape.qkv_bias) {
        layer.q_bias = tensors.vector(name("self_attn.q_proj.bias"), q_rows);
        layer.k_bias = tensors.vector(name("self_attn.k_proj.bias"), kv_rows);
        layer.v_bias = tensors.vector(name("self_attn.v_proj.bias"), kv_rows);
    }
    layer.mlp_norm = tensors.vector(name("post_attention_layernorm.weight"), shape.hidden);
    layer.gate = tensors.matrix(name("mlp.gate_proj.weight"), shape.mlp, shape.hidden);
    layer.up = tensors.matrix(name("mlp.up_proj.weight"), shape.mlp, shape.hidden);
    layer.down = tensors.matrix(name("mlp.down_proj.weight"), shape.hidden, shape.mlp);
    return layer;
}

/// A tied model needs no second matrix. Where the file has one all the same, it must be the
/// embedding: libraries differ in which of two they take.
WeightView read_head(TensorReader& tensors, const SafetensorsFolder& folder,
                     const WeightView& embedding, const ModelShape& shape) {
    if (shape.tied_embeddings && !tensors.has(kHead)) return embedding;
    const WeightView head = tensors.matrix(kHead, shape.vocab, shape.hidden);
    if (!shape.tied_embeddings) return head;
    if (head.type != embedding.type ||
        std::memcmp(head.data, embedding.data, embedding.size_bytes()) != 0) {
        folder.fail(
            fmt::format("tensor '{}' differs from '{}', expected the same values, since "
                        "config.json ties them",
                        kHead, kEmbedding));
    }
    return embedding;
}

}  // namespace

Weights read_hf_weights(const SafetensorsFolder& folder, const ModelShape& shape) {
    TensorReader tensors(folder);
    Weights weights;
    weights.embedding = tensors.matrix(kEmbedding, shape.vocab, shape.hidden);
    for (std::int64_t i = 0; i < shape.num_layers; ++i) {
        weights.layers.push_back(read_layer(tensors, i, shape));
    }
    weights.final_norm = tensors.vector("model.norm.weight", shape.hidden);
    weights.lm_head = read_head(tensors, folder, weights.embedding, shape);
    weights.rope_interleaved = false;
    tensors.refuse_others(shape);
    return weights;
}

}  // namespace hc::model
