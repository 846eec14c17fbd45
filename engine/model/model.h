/// A model as read from disk: shape, vocabulary, weights still as the file stores them.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "engine/core/dtype.h"
#include "engine/core/mapped_file.h"
#include "engine/core/model_shape.h"
#include "engine/model/tokenizer.h"

namespace hc::model {

/// Weights of one decoder layer. Matrices are [out, in]; biases are empty where the
/// architecture has none. Views point into the model's mapping.
struct LayerWeights {
    std::vector<float> attn_norm;  ///< [hidden]
    WeightView q, k, v,
        o;  ///< [num_qo_heads*head_dim, hidden], ..., [hidden, num_qo_heads*head_dim]
    std::vector<float> q_bias, k_bias, v_bias;
    std::vector<float> mlp_norm;  ///< [hidden]
    WeightView gate, up, down;    ///< [mlp, hidden], [mlp, hidden], [hidden, mlp]
};

struct Weights {
    WeightView embedding;  ///< [vocab, hidden]
    std::vector<LayerWeights> layers;
    std::vector<float> final_norm;  ///< [hidden]
    WeightView lm_head;             ///< [vocab, hidden]; the embedding where tied
    /// True when the rows of q and k are in the interleaved order that GGUF `llama` files use
    /// (RoPE rotates neighbours 2i, 2i+1); false: RoPE rotates halves (i, i + head_dim/2).
    bool rope_interleaved = false;
    /// Per-frequency divisors that the file lists, [head_dim/2]; empty: none. Where they are given
    /// ModelShape::rope_scaling is left at none, so that nobody scales twice.
    std::vector<float> rope_factors;
};

struct Model {
    std::string name;  ///< general.name, else the file's stem; a folder's name; shape:NAME
    std::string path;
    /// xxh3, hex, of all that is read but the weights, and of the files' sizes: names a model in
    /// traces.
    std::string hash;
    ModelShape shape;
    bool shape_only = false;  ///< no weights: a backend makes seeded random ones
    Weights weights;
    std::unique_ptr<Tokenizer> tokenizer;  ///< null where shape_only
    std::vector<std::shared_ptr<const MappedFile>> mappings;  ///< shared: views in Weights borrow

    /// As stored; of a shape without weights as bfloat16.
    [[nodiscard]] std::int64_t weight_bytes() const;
};

/// Opens a GGUF file (v2, v3), a Hugging Face folder (config.json, safetensors, tokenizer.json) or
/// a shape without weights ("shape:NAME", shape_model.h). Throws Error(kInput) naming the file and
/// what is wrong with it: magic, version, counts, an unknown tensor type, tensors out of bounds,
/// missing metadata, a variant that we would compute wrongly; Error(kUsage) on an unknown shape.
[[nodiscard]] Model load_model(const std::filesystem::path& path);

/// Where the model for everyday use lies: `explicit_path`, else $HCPROF_MODEL, else the default
/// model in the cache folder ($XDG_CACHE_HOME or ~/.cache, then hcprof/). A "shape:NAME" is passed
/// through as it is. Throws Error(kUnavailable) that says how to get it.
[[nodiscard]] std::filesystem::path find_model(
    const std::optional<std::filesystem::path>& explicit_path);

}  // namespace hc::model
