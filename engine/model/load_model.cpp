#include <fmt/format.h>
#include <xxhash.h>

#include "engine/core/error.h"
#include "engine/model/gguf_model.h"
#include "engine/model/hf_model.h"
#include "engine/model/shape_model.h"

namespace hc::model {
namespace {

std::string hash_header(std::span<const std::byte> header, std::size_t file_size) {
    const XXH64_hash_t of_header = XXH3_64bits(header.data(), header.size());
    const std::uint64_t parts[] = {of_header, file_size};
    return fmt::format("{:016x}", XXH3_64bits(parts, sizeof parts));
}

std::unique_ptr<Tokenizer> make_tokenizer(const GgufFile& file, std::int64_t vocab) {
    TokenizerData data = read_tokenizer(file);
    if (static_cast<std::int64_t>(data.tokens.size()) != vocab) {
        file.fail(fmt::format("the tokenizer has {} tokens, the embedding {} rows",
                              data.tokens.size(), vocab));
    }
    try {
        return std::make_unique<Tokenizer>(std::move(data));
    } catch (const Error& error) {
        file.fail(error.what());  // the tokenizer does not know the file
    }
}

/// Bytes of a shape's parameters in bfloat16, which is what a backend makes of them.
std::int64_t shape_bytes(const ModelShape& shape) {
    const std::int64_t q_rows = shape.num_qo_heads * shape.head_dim;
    const std::int64_t kv_rows = shape.num_kv_heads * shape.head_dim;
    const std::int64_t attention =
        2 * (q_rows + kv_rows) * shape.hidden + (shape.qkv_bias ? q_rows + 2 * kv_rows : 0);
    const std::int64_t layer = attention + 3 * shape.mlp * shape.hidden + 2 * shape.hidden;
    const std::int64_t embeddings = (shape.tied_embeddings ? 1 : 2) * shape.vocab * shape.hidden;
    return 2 * (embeddings + shape.num_layers * layer + shape.hidden);
}

}  // namespace

Model model_from_gguf(std::span<const std::byte> bytes, const std::string& path) {
    const GgufFile file(bytes, path);
    Model model;
    model.path = path;
    model.shape = read_shape(file);
    model.weights = read_weights(file, model.shape);
    model.tokenizer = make_tokenizer(file, model.shape.vocab);
    model.name = file.find_string("general.name").value_or("");
    if (model.name.empty()) model.name = std::filesystem::path(path).stem().string();
    model.hash = hash_header(file.header(), bytes.size());
    return model;
}

Model load_model(const std::filesystem::path& path) {
    if (const std::string name = path.string(); name.starts_with(kShapePrefix)) {
        return shape_model(std::string_view(name).substr(kShapePrefix.size()));
    }
    std::error_code error;
    if (std::filesystem::is_directory(path, error)) return load_hf_model(path);
    auto mapping = std::make_shared<const MappedFile>(path);
    Model model = model_from_gguf(mapping->bytes(), path.string());
    model.mappings.push_back(std::move(mapping));
    return model;
}

std::int64_t Model::weight_bytes() const {
    if (shape_only) return shape_bytes(shape);
    std::size_t bytes = weights.embedding.size_bytes();
    if (!shape.tied_embeddings) bytes += weights.lm_head.size_bytes();
    const auto floats = [](const std::vector<float>& values) {
        return values.size() * sizeof(float);
    };
    bytes += floats(weights.final_norm) + floats(weights.rope_factors);
    for (const LayerWeights& layer : weights.layers) {
        for (const WeightView* view :
             {&layer.q, &layer.k, &layer.v, &layer.o, &layer.gate, &layer.up, &layer.down}) {
            bytes += view->size_bytes();
        }
        for (const std::vector<float>* values :
             {&layer.attn_norm, &layer.mlp_norm, &layer.q_bias, &layer.k_bias, &layer.v_bias}) {
            bytes += floats(*values);
        }
    }
    return static_cast<std::int64_t>(bytes);
}

}  // namespace hc::model
