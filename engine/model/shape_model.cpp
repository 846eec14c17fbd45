#include "engine/model/shape_model.h"

#include <fmt/format.h>
#include <xxhash.h>

#include "engine/core/error.h"
#include "engine/model/gguf_file.h"

namespace hc::model {
namespace {

constexpr std::int64_t kContext = std::int64_t{1} << 20;

/// Sizes of Llama 3.1 8B's config.json.
ModelShape llama_8b() {
    ModelShape shape;
    shape.architecture = "llama";
    shape.num_layers = 32;
    shape.hidden = 4096;
    shape.num_qo_heads = 32;
    shape.num_kv_heads = 8;
    shape.head_dim = 128;
    shape.mlp = 14336;
    shape.vocab = 128256;
    shape.context = kContext;
    shape.rms_eps = 1e-5;
    shape.rope_theta = 5e5;
    shape.rope_scaling = {8.0, 1.0, 4.0, 8192};
    return shape;
}

ModelShape qwen_14b() {
    ModelShape shape;
    shape.architecture = "qwen2";
    shape.num_layers = 48;
    shape.hidden = 5120;
    shape.num_qo_heads = 40;
    shape.num_kv_heads = 8;
    shape.head_dim = 128;
    shape.mlp = 13824;
    shape.vocab = 152064;
    shape.context = kContext;
    shape.rms_eps = 1e-6;    // assumed: not seen in its config.json
    shape.rope_theta = 1e6;  // assumed likewise
    shape.qkv_bias = true;
    return shape;
}

/// Sizes of SmolLM2-135M's config.json.
ModelShape smollm2_135m() {
    ModelShape shape;
    shape.architecture = "llama";
    shape.num_layers = 30;
    shape.hidden = 576;
    shape.num_qo_heads = 9;
    shape.num_kv_heads = 3;
    shape.head_dim = 64;
    shape.mlp = 1536;
    shape.vocab = 49152;
    shape.context = kContext;
    shape.rms_eps = 1e-5;
    shape.rope_theta = 1e5;
    shape.tied_embeddings = true;
    return shape;
}

struct KnownShape {
    std::string_view name;
    ModelShape (*shape)();
};

constexpr KnownShape kShapes[] = {
    {"llama-3.1-8b", llama_8b},
    {"deepseek-r1-distill-llama-8b", llama_8b},  // assumed equal to its base model's
    {"qwen2.5-14b", qwen_14b},
    {"smollm2-135m", smollm2_135m},
};

}  // namespace

Model shape_model(std::string_view name) {
    std::string names;
    for (const KnownShape& known : kShapes) {
        if (known.name == name) {
            Model model;
            model.name = fmt::format("{}{}", kShapePrefix, name);
            model.path = model.name;
            model.hash = fmt::format("{:016x}", XXH3_64bits(model.name.data(), model.name.size()));
            model.shape = known.shape();
            model.shape_only = true;
            return model;
        }
        names += fmt::format("{}{}", names.empty() ? "" : ", ", known.name);
    }
    throw_usage(fmt::format("model '{}{}' is no known shape, expected one of {}", kShapePrefix,
                            printable(name), names));
}

}  // namespace hc::model
