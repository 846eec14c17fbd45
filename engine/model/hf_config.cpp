#include "engine/model/hf_config.h"

#include <fmt/format.h>
#include <algorithm>
#include <limits>

#include "engine/core/error.h"
#include "engine/model/gguf_file.h"
#include "engine/model/hf_json.h"
#include "engine/model/hf_rope.h"

namespace hc::model {
namespace {

// Far above any model, and small enough that products of three of them fit 64 bits.
constexpr std::int64_t kLargestExtent = std::int64_t{1} << 20;
constexpr std::int64_t kMostLayers = 1024;
constexpr std::int64_t kMostHeads = 1024;
constexpr std::int64_t kLongestContext = std::int64_t{1} << 30;
constexpr std::int64_t kLargestVocab = std::numeric_limits<std::int32_t>::max();

struct Architecture {
    std::string_view class_name;  ///< as `architectures` lists it
    std::string_view name;        ///< as `model_type` and ModelShape call it
};
constexpr Architecture kArchitectures[] = {{"LlamaForCausalLM", "llama"},
                                           {"Qwen2ForCausalLM", "qwen2"}};

std::string read_architecture(const JsonObject& config) {
    const Json& listed = config.need("architectures");
    if (!listed.is_array() || listed.size() != 1 || !listed[0].is_string()) {
        config.fail(fmt::format("key 'architectures' is {}, expected one name", shown(listed)));
    }
    for (const Architecture& known : kArchitectures) {
        if (listed[0].get_ref<const std::string&>() != known.class_name) continue;
        const std::string type = config.find_string("model_type").value_or(std::string(known.name));
        if (type != known.name) {
            config.fail(
                fmt::format("key 'model_type' is '{}', expected {}, since the model is a {}",
                            printable(type), known.name, known.class_name));
        }
        return std::string(known.name);
    }
    config.fail(
        fmt::format("holds a model of architecture '{}', expected LlamaForCausalLM or "
                    "Qwen2ForCausalLM",
                    shown(listed[0])));
}

std::int64_t checked_extent(const JsonObject& config, std::string_view key, std::int64_t value,
                            std::int64_t largest) {
    if (value < 1 || value > largest) {
        config.fail(
            fmt::format("key {} is {}, expected 1 to {}", config.describe(key), value, largest));
    }
    return value;
}

std::int64_t extent(const JsonObject& config, std::string_view key,
                    std::int64_t largest = kLargestExtent) {
    return checked_extent(config, key, config.need_int(key), largest);
}

std::int64_t extent_or(const JsonObject& config, std::string_view key, std::int64_t otherwise,
                       std::int64_t largest) {
    return checked_extent(config, key, config.find_int(key).value_or(otherwise), largest);
}

void read_heads(const JsonObject& config, ModelShape& shape) {
    shape.num_qo_heads = extent(config, "num_attention_heads", kMostHeads);
    shape.num_kv_heads = extent_or(config, "num_key_value_heads", shape.num_qo_heads, kMostHeads);
    if (shape.num_qo_heads % shape.num_kv_heads != 0) {
        config.fail(fmt::format("{} query heads are no multiple of {} KV heads", shape.num_qo_heads,
                                shape.num_kv_heads));
    }
    if (config.find("head_dim") == nullptr && shape.hidden % shape.num_qo_heads != 0) {
        config.fail(
            fmt::format("the hidden size {} is no multiple of {} heads, and no head dimension is "
                        "stated",
                        shape.hidden, shape.num_qo_heads));
    }
    shape.head_dim =
        extent_or(config, "head_dim", shape.hidden / shape.num_qo_heads, kLargestExtent);
    if (shape.head_dim % 2 != 0) {
        config.fail(
            fmt::format("the head dimension is {}, expected an even number", shape.head_dim));
    }
}

/// Whatever changes the computation and is none of what we compute.
void refuse_variants(const JsonObject& config, const std::string& architecture) {
    // Llama has no windows of its own, so a width there means some other model. Qwen2 states a
    // width always and says apart from it whether it is used.
    const bool slides =
        config.find_bool("use_sliding_window")
            .value_or(architecture == "llama" && config.find("sliding_window") != nullptr);
    if (slides) config.fail("uses a sliding window, which is not supported");
    if (const Json* layers = config.find("layer_types")) {
        for (const Json& type : *layers) {
            if (type == "full_attention") continue;
            config.fail(
                fmt::format("key 'layer_types' holds '{}', expected full_attention", shown(type)));
        }
    }
    if (config.find_bool("mlp_bias").value_or(false)) {
        config.fail("has biases in the MLP, which are not supported");
    }
    if (config.find("quantization_config") != nullptr) {
        config.fail("holds quantised weights (quantization_config), expected BF16, F16 or F32");
    }
    if (const std::string act = config.find_string("hidden_act").value_or("silu"); act != "silu") {
        config.fail(fmt::format("key 'hidden_act' is '{}', expected silu", printable(act)));
    }
    if (const double part = config.find_number("partial_rotary_factor").value_or(1.0);
        part != 1.0) {
        config.fail(fmt::format("key 'partial_rotary_factor' is {}, expected 1", part));
    }
}

/// One id or a list of them, appended to `ids` where they are new.
void read_ids(const JsonObject& config, std::string_view key, std::vector<std::int64_t>& ids) {
    const Json* value = config.find(key);
    if (value == nullptr) return;
    const auto add = [&](const Json& id) {
        if (!id.is_number_integer() || id.get<std::int64_t>() < 0 ||
            id.get<std::int64_t>() >= kLargestVocab) {
            config.fail(fmt::format("key {} holds {}, expected token ids", config.describe(key),
                                    shown(id)));
        }
        const auto number = id.get<std::int64_t>();
        if (std::find(ids.begin(), ids.end(), number) == ids.end()) ids.push_back(number);
    };
    if (value->is_array()) {
        for (const Json& id : *value) add(id);
    } else {
        add(*value);
    }
}

void read_special_ids(const JsonObject& object, HfConfig& config) {
    read_ids(object, "eos_token_id", config.ends);
    std::vector<std::int64_t> begins;
    read_ids(object, "bos_token_id", begins);
    if (begins.size() > 1) object.fail("key 'bos_token_id' holds several ids, expected one");
    if (!config.bos && !begins.empty()) config.bos = begins[0];
}

HfConfig parse_config(const JsonObject& object) {
    HfConfig config;
    ModelShape& shape = config.shape;
    shape.architecture = read_architecture(object);
    refuse_variants(object, shape.architecture);
    shape.num_layers = extent(object, "num_hidden_layers", kMostLayers);
    shape.hidden = extent(object, "hidden_size");
    shape.mlp = extent(object, "intermediate_size");
    shape.vocab = extent(object, "vocab_size", kLargestVocab);
    shape.context = extent(object, "max_position_embeddings", kLongestContext);
    read_heads(object, shape);
    shape.rms_eps = object.need_number("rms_norm_eps");
    if (!(shape.rms_eps > 0)) {
        object.fail(
            fmt::format("key 'rms_norm_eps' is {}, expected a number above 0", shape.rms_eps));
    }
    read_hf_rope(object, shape);
    shape.tied_embeddings = object.find_bool("tie_word_embeddings").value_or(false);
    // Qwen2's code has these biases whatever its configuration says.
    shape.qkv_bias =
        shape.architecture == "qwen2" || object.find_bool("attention_bias").value_or(false);
    return config;
}

}  // namespace

HfConfig parse_hf_config(std::string_view text, const std::string& path) {
    const Json json = parse_json_document(text, path);
    const JsonObject object(json, path);
    HfConfig config = parse_config(object);
    read_special_ids(object, config);
    return config;
}

HfConfig read_hf_config(const std::filesystem::path& folder) {
    const std::optional<JsonFile> file = find_json_file(folder / "config.json", kLargestConfig);
    if (!file) {
        throw_input(
            fmt::format("'{}': holds no config.json, expected a GGUF file or a Hugging "
                        "Face folder",
                        folder.string()));
    }
    HfConfig config = parse_config(file->object());
    const auto generation = find_json_file(folder / "generation_config.json", kLargestConfig);
    if (generation) read_special_ids(generation->object(), config);
    read_special_ids(file->object(), config);
    return config;
}

}  // namespace hc::model
