// Tensors of a GGUF file -> Weights.
#include <fmt/format.h>
#include <limits>
#include <unordered_set>

#include "engine/model/gguf_model.h"
#include "engine/model/gguf_tensors.h"

namespace hc::model {
namespace {

/// Reads tensors by name and remembers which ones the model has used.
class TensorReader {
public:
    explicit TensorReader(const GgufFile& file) : file_(file) {}

    [[nodiscard]] bool has(std::string_view name) const {
        return file_.find_tensor(name) != nullptr;
    }
    [[nodiscard]] WeightView matrix(const std::string& name, std::int64_t rows, std::int64_t cols) {
        used_.insert(name);
        return read_matrix(file_, name, rows, cols);
    }
    [[nodiscard]] std::vector<float> vector(const std::string& name, std::int64_t size) {
        used_.insert(name);
        return read_vector(file_, name, size);
    }
    void mark_used(const std::string& name) { used_.insert(name); }

    /// Biases, norms or experts of a variant that we do not compute must not be passed over.
    void refuse_others(const ModelShape& shape) const {
        for (const GgufTensor& tensor : file_.tensors()) {
            if (!used_.contains(std::string(tensor.name))) {
                file_.fail(
                    fmt::format("tensor '{}' belongs to no {} model of {} layers that we "
                                "compute",
                                printable(tensor.name), shape.architecture, shape.num_layers));
            }
        }
    }

private:
    const GgufFile& file_;
    std::unordered_set<std::string> used_;
};

LayerWeights read_layer(TensorReader& tensors, std::int64_t index, const ModelShape& shape) {
    const auto name = [index](std::string_view part) {
        return fmt::format("blk.{}.{}", index, part);
    };
    const std::int64_t q_rows = shape.num_qo_heads * shape.head_dim;
    const std::int64_t kv_rows = shape.num_kv_heads * shape.head_dim;
    LayerWeights layer;
    layer.attn_norm = tensors.vector(name("attn_norm.weight"), shape.hidden);
    layer.q = tensors.matrix(name("attn_q.weight"), q_rows, shape.hidden);
    layer.k = tensors.matrix(name("attn_k.weight"), kv_rows, shape.hidden);
    layer.v = tensors.matrix(name("attn_v.weight"), kv_rows, shape.hidden);
    layer.o = tensors.matrix(name("attn_output.weight"), shape.hidden, q_rows);
    if (shape.qkv_bias) {
        layer.q_bias = tensors.vector(name("attn_q.bias"), q_rows);
        layer.k_bias = tensors.vector(name("attn_k.bias"), kv_rows);
        layer.v_bias = tensors.vector(name("attn_v.bias"), kv_rows);
    }
    layer.mlp_norm = tensors.vector(name("ffn_norm.weight"), shape.hidden);
    layer.gate = tensors.matrix(name("ffn_gate.weight"), shape.mlp, shape.hidden);
    layer.up = tensors.matrix(name("ffn_up.weight"), shape.mlp, shape.hidden);
    layer.down = tensors.matrix(name("ffn_down.weight"), shape.hidden, shape.mlp);
    return layer;
}

/// Rows of the embedding; its shape is checked like any other once they are known.
std::int64_t read_vocab(const GgufFile& file) {
    const GgufTensor* embedding = file.find_tensor("token_embd.weight");
    if (embedding == nullptr) file.fail("tensor 'token_embd.weight' is missing");
    if (embedding->dims.size() != 2) {
        file.fail(fmt::format("tensor 'token_embd.weight' has {} dimensions, expected 2",
                              embedding->dims.size()));
    }
    const std::int64_t vocab = embedding->dims[1];
    if (vocab > std::numeric_limits<TokenId>::max()) {
        file.fail(fmt::format("the vocabulary has {} tokens, at most {} are supported", vocab,
                              std::numeric_limits<TokenId>::max()));
    }
    return vocab;
}

}  // namespace

Weights read_weights(const GgufFile& file, ModelShape& shape) {
    TensorReader tensors(file);
    shape.vocab = read_vocab(file);
    shape.tied_embeddings = !tensors.has("output.weight");
    shape.qkv_bias = shape.architecture == "qwen2" || tensors.has("blk.0.attn_q.bias");
    Weights weights;
    weights.embedding = tensors.matrix("token_embd.weight", shape.vocab, shape.hidden);
    for (std::int64_t i = 0; i < shape.num_layers; ++i) {
        weights.layers.push_back(read_layer(tensors, i, shape));
    }
    weights.final_norm = tensors.vector("output_norm.weight", shape.hidden);
    weights.lm_head = shape.tied_embeddings
                          ? weights.embedding
                          : tensors.matrix("output.weight", shape.vocab, shape.hidden);
    // Converters write the rows of `llama` models in the order of the original Llama code.
    weights.rope_interleaved = shape.architecture == "llama";
    weights.rope_factors = read_rope(file, shape);
    tensors.mark_used("rope_freqs.weight");
    tensors.refuse_others(shape);
    return weights;
}

}  // namespace hc::model
