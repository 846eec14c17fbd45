#include "engine/model/hf_model.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <fstream>

#include "engine/core/half.h"
#include "gguf_cases.h"
#include "hf_cases.h"
#include "kernels/reference/ops.h"

namespace hc::model {
namespace {

using test::HfBuilder;
using test::tiny_hf_model;
using test::TinyHfOptions;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::vector<float> row_of(const WeightView& view, std::int64_t row) {
    std::vector<float> values(static_cast<std::size_t>(view.cols));
    kernels::reference::dequantize_row(view, row, values.data());
    return values;
}

float rounded(DType type, float value) {
    if (type == DType::kF16) return through_half(value);
    if (type == DType::kBF16) return bfloat16_to_float(float_to_bfloat16(value));
    return value;
}

std::vector<float> rounded(DType type, std::vector<float> values) {
    for (float& value : values) value = rounded(type, value);
    return values;
}

/// Row `row` of a folder's q or k is row `twin_row(...)` of the GGUF file's where that keeps the
/// two halves of a head interleaved.
std::int64_t twin_row(std::int64_t row, const Model& twin) {
    if (!twin.weights.rope_interleaved) return row;
    const std::int64_t d = twin.shape.head_dim;
    const std::int64_t within = row % d;
    return row - within + (within < d / 2 ? 2 * within : 2 * (within - d / 2) + 1);
}

void expect_equal(const WeightView& view, const WeightView& twin, DType type,
                  const Model* rotated = nullptr) {
    ASSERT_EQ(view.rows, twin.rows);
    ASSERT_EQ(view.cols, twin.cols);
    EXPECT_EQ(view.type, type);
    for (std::int64_t row = 0; row < view.rows; ++row) {
        const std::int64_t from = rotated != nullptr ? twin_row(row, *rotated) : row;
        ASSERT_EQ(row_of(view, row), rounded(type, row_of(twin, from))) << row;
    }
}

void expect_equal_layers(const LayerWeights& layer, const LayerWeights& twin, DType type,
                         const Model& whole) {
    expect_equal(layer.q, twin.q, type, &whole);
    expect_equal(layer.k, twin.k, type, &whole);
    expect_equal(layer.v, twin.v, type);
    expect_equal(layer.o, twin.o, type);
    expect_equal(layer.gate, twin.gate, type);
    expect_equal(layer.up, twin.up, type);
    expect_equal(layer.down, twin.down, type);
    EXPECT_EQ(layer.attn_norm, rounded(type, twin.attn_norm));
    EXPECT_EQ(layer.mlp_norm, rounded(type, twin.mlp_norm));
    EXPECT_EQ(layer.q_bias, rounded(type, twin.q_bias));
    EXPECT_EQ(layer.k_bias, rounded(type, twin.k_bias));
    EXPECT_EQ(layer.v_bias, rounded(type, twin.v_bias));
}

void expect_twins(const TinyHfOptions& options) {
    const test::TemporaryFolder folder;
    const Model model = load_model(tiny_hf_model(options).write(folder.path() / "twin"));
    const Model twin = load_model(test::write_tiny_model(folder.path(), options.model));
    ModelShape shape = twin.shape;
    EXPECT_NEAR(model.shape.rms_eps, shape.rms_eps, 1e-12);  // the GGUF file's is an fp32
    shape.rms_eps = model.shape.rms_eps;
    EXPECT_EQ(model.shape, shape);
    EXPECT_FALSE(model.weights.rope_interleaved);
    EXPECT_TRUE(model.weights.rope_factors.empty());
    expect_equal(model.weights.embedding, twin.weights.embedding, options.dtype);
    expect_equal(model.weights.lm_head, twin.weights.lm_head, options.dtype);
    EXPECT_EQ(model.weights.final_norm, rounded(options.dtype, twin.weights.final_norm));
    ASSERT_EQ(model.weights.layers.size(), twin.weights.layers.size());
    for (std::size_t i = 0; i < twin.weights.layers.size(); ++i) {
        expect_equal_layers(model.weights.layers[i], twin.weights.layers[i], options.dtype, twin);
    }
}

TEST(HfModel, HasTheWeightsOfItsGgufTwin) {
    for (const char* arch : {"llama", "qwen2"}) {
        for (const DType type : {DType::kF32, DType::kF16, DType::kBF16}) {
            for (const std::size_t shards : {1, 3}) {
                TinyHfOptions options;
                options.model.arch = arch;
                options.model.tied = shards == 1;
                options.model.head_dim = 24;  // 4 heads of 24 are not 64
                options.dtype = type;
                options.shards = shards;
                expect_twins(options);
            }
        }
    }
}

TEST(HfModel, IsNamedAfterItsFolder) {
    const test::TemporaryFolder folder;
    tiny_hf_model().write(folder.path() / "Tiny-1M");
    EXPECT_EQ(load_model(folder.path() / "Tiny-1M").name, "Tiny-1M");
    EXPECT_EQ(load_model(folder.path() / "Tiny-1M/").name, "Tiny-1M");
    EXPECT_EQ(load_model(folder.path() / "Tiny-1M/.").name, "Tiny-1M");
    EXPECT_FALSE(load_model(folder.path() / "Tiny-1M").shape_only);
}

TEST(HfModel, HashesConfigurationHeadersAndSizesButNotWeights) {
    const auto hash = [](const HfBuilder& builder) {
        const test::TemporaryFolder folder;
        return load_model(builder.write(folder.path() / "m")).hash;
    };
    HfBuilder builder = tiny_hf_model();
    const std::string first = hash(builder);
    EXPECT_EQ(first.size(), 16U);
    char& byte = builder.tensor("model.norm.weight").data[0];
    byte = static_cast<char>(byte ^ 1);
    EXPECT_EQ(hash(builder), first);
    builder.config["rope_theta"] = "20000.0";
    EXPECT_NE(hash(builder), first);
    builder = tiny_hf_model();
    builder.shards[0].metadata = R"({"format":"np"})";
    EXPECT_NE(hash(builder), first);
}

TEST(HfModel, KeepsItsMappingsAlive) {
    const test::TemporaryFolder folder;
    TinyHfOptions options;
    options.shards = 2;
    Model model = load_model(tiny_hf_model(options).write(folder.path() / "m"));
    EXPECT_EQ(model.mappings.size(), 2U);
    const std::vector<float> before = row_of(model.weights.layers[1].down, 5);
    const Model moved = std::move(model);
    std::filesystem::remove_all(folder.path() / "m");
    EXPECT_EQ(row_of(moved.weights.layers[1].down, 5), before);
}

TEST(HfModel, ChecksEveryTensorAgainstTheConfiguration) {
    TinyHfOptions options;
    options.model.arch = "qwen2";
    options.model.tied = false;
    const HfBuilder good = tiny_hf_model(options);
    for (const test::SafetensorsBuilder::Tensor& tensor : good.shards[0].tensors()) {
        HfBuilder builder = good;
        builder.shards[0].remove_tensor(tensor.name);
        EXPECT_THAT(folder_error(builder), HasSubstr("tensor '" + tensor.name + "' is missing"));
        builder = good;
        builder.tensor(tensor.name).dims.insert(builder.tensor(tensor.name).dims.begin(), 1);
        EXPECT_THAT(folder_error(builder),
                    HasSubstr("tensor '" + tensor.name + "' has shape [1, "));
    }
}

TEST(HfModel, RefusesTensorsThatTheArchitectureLacks) {
    const auto with = [](const char* name) {
        HfBuilder builder = tiny_hf_model();
        builder.shards[0].add_tensor(name, DType::kF32, {1}, {0});
        return folder_error(builder);
    };
    EXPECT_THAT(with("model.layers.0.self_attn.q_norm.weight"), HasSubstr("belongs to no llama"));
    EXPECT_THAT(with("model.layers.0.self_attn.o_proj.bias"), HasSubstr("belongs to no llama"));
    EXPECT_THAT(with("model.layers.2.mlp.up_proj.weight"), HasSubstr("of 2 layers"));
    EXPECT_EQ(with("model.layers.0.self_attn.rotary_emb.inv_freq"), "");
}

TEST(HfModel, TakesASecondMatrixOfATiedModelOnlyIfItIsTheEmbedding) {
    HfBuilder builder = tiny_hf_model();
    test::SafetensorsBuilder::Tensor head = builder.tensor("model.embed_tokens.weight");
    head.name = "lm_head.weight";
    builder.shards[0].add_tensor(head);
    EXPECT_EQ(folder_error(builder), "");
    char& byte = builder.tensor("lm_head.weight").data.back();
    byte = static_cast<char>(byte ^ 1);
    EXPECT_THAT(folder_error(builder), HasSubstr("differs from 'model.embed_tokens.weight'"));
}

TEST(HfModel, ReadsBiasesOfALlamaThatStatesThem) {
    TinyHfOptions options;
    options.model.arch = "qwen2";
    HfBuilder builder = tiny_hf_model(options);
    builder.config["architectures"] = R"(["LlamaForCausalLM"])";
    builder.config["model_type"] = R"("llama")";
    EXPECT_THAT(folder_error(builder), HasSubstr("belongs to no llama"));
    builder.config["attention_bias"] = "true";
    const test::TemporaryFolder folder;
    const Model model = load_model(builder.write(folder.path() / "m"));
    EXPECT_TRUE(model.shape.qkv_bias);
    EXPECT_EQ(model.weights.layers[0].k_bias.size(), 32U);
}

/// What config.json says with one key changed; an empty value removes the key.
struct Config {
    HfBuilder builder = tiny_hf_model();
    Config& set(const std::string& key, const std::string& value) {
        if (value.empty()) {
            builder.config.erase(key);
        } else {
            builder.config[key] = value;
        }
        return *this;
    }
    [[nodiscard]] HfConfig parse() const {
        return parse_hf_config(builder.config_json(), "config.json");
    }
    [[nodiscard]] std::string error() const {
        return input_error([this] { (void)parse(); });
    }
};

Config with(const std::string& key, const std::string& value) {
    return Config().set(key, value);
}

TEST(HfConfig, FillsInWhatTheLibraryFillsIn) {
    EXPECT_EQ(with("head_dim", "").parse().shape.head_dim, 16);
    EXPECT_EQ(with("head_dim", "null").parse().shape.head_dim, 16);
    EXPECT_EQ(with("num_key_value_heads", "").parse().shape.num_kv_heads, 4);
    EXPECT_EQ(with("rope_theta", "").parse().shape.rope_theta, 10000.0);
    EXPECT_FALSE(with("tie_word_embeddings", "").parse().shape.tied_embeddings);
    EXPECT_EQ(with("rope_theta", "500000").parse().shape.rope_theta, 5e5);
    EXPECT_EQ(with("sliding_window", "null").error(), "");
}

TEST(HfConfig, ReadsLlama3ScalingInBothSpellings) {
    const std::string scaling = R"("factor":8.0,"low_freq_factor":1,"high_freq_factor":4.0,)"
                                R"("original_max_position_embeddings":8192,"rope_type":"llama3")";
    const RopeScaling expected{8, 1, 4, 8192};
    EXPECT_EQ(with("rope_scaling", "{" + scaling + "}").parse().shape.rope_scaling, expected);
    Config newer = with("rope_parameters", "{" + scaling + ",\"rope_theta\":500000.0}");
    newer.set("rope_scaling", "").set("rope_theta", "");
    EXPECT_EQ(newer.parse().shape.rope_scaling, expected);
    EXPECT_EQ(newer.parse().shape.rope_theta, 5e5);
    newer.set("rope_scaling", "{" + scaling + "}");
    EXPECT_EQ(newer.error(), "");
    newer.set("rope_scaling", R"({"type":"default"})");
    EXPECT_THAT(newer.error(), HasSubstr("contradict each other"));
    newer.set("rope_scaling", "").set("rope_theta", "10000");
    EXPECT_THAT(newer.error(), HasSubstr("'rope_theta' is 10000, 'rope_parameters.rope_theta'"));
    EXPECT_EQ(with("rope_scaling", R"({"type":"default"})").parse().shape.rope_scaling,
              RopeScaling{});
}

TEST(HfConfig, RefusesScalingThatIsBrokenOrOfAnotherKind) {
    const auto scaled = [](const std::string& text) {
        return with("rope_scaling", "{" + text + "}").error();
    };
    EXPECT_THAT(scaled(R"("rope_type":"yarn")"),
                HasSubstr("is 'yarn', expected default or llama3"));
    EXPECT_THAT(scaled(R"("type":"linear","factor":2)"), HasSubstr("is 'linear'"));
    EXPECT_THAT(scaled(""), HasSubstr("'rope_scaling.rope_type' is missing"));
    EXPECT_THAT(scaled(R"("rope_type":"llama3","factor":0)"), HasSubstr("number above 0"));
    EXPECT_THAT(scaled(R"("rope_type":"llama3","factor":8,"low_freq_factor":4,)"
                       R"("high_freq_factor":4,"original_max_position_embeddings":8192)"),
                HasSubstr("expected more than the low factor 4"));
    EXPECT_THAT(scaled(R"("rope_type":"llama3","factor":8,"low_freq_factor":1,)"
                       R"("high_freq_factor":4)"),
                HasSubstr("original_max_position_embeddings' is missing"));
    EXPECT_THAT(with("rope_parameters", R"({"full_attention":{"rope_type":"default"}})").error(),
                HasSubstr("'rope_parameters.rope_type' is missing"));
    EXPECT_THAT(with("rope_scaling", "7").error(), HasSubstr("expected an object"));
}

TEST(HfConfig, RefusesModelsThatWeWouldComputeWrongly) {
    EXPECT_THAT(with("architectures", R"(["MistralForCausalLM"])").error(),
                HasSubstr("'MistralForCausalLM', expected LlamaForCausalLM or Qwen2ForCausalLM"));
    EXPECT_THAT(with("architectures", "[]").error(), HasSubstr("expected one name"));
    EXPECT_THAT(with("architectures", "").error(), HasSubstr("'architectures' is missing"));
    EXPECT_THAT(with("model_type", R"("qwen2")").error(), HasSubstr("'qwen2', expected llama"));
    EXPECT_THAT(with("sliding_window", "4096").error(), HasSubstr("sliding window"));
    EXPECT_THAT(with("use_sliding_window", "true").error(), HasSubstr("sliding window"));
    EXPECT_EQ(Config().set("use_sliding_window", "false").set("sliding_window", "4096").error(),
              "");
    EXPECT_THAT(with("layer_types", R"(["full_attention","sliding_attention"])").error(),
                HasSubstr("'sliding_attention'"));
    EXPECT_EQ(with("layer_types", R"(["full_attention","full_attention"])").error(), "");
    EXPECT_THAT(with("mlp_bias", "true").error(), HasSubstr("biases in the MLP"));
    EXPECT_THAT(with("quantization_config", R"({"bits":4})").error(), HasSubstr("quantised"));
    EXPECT_THAT(with("hidden_act", R"("gelu")").error(), HasSubstr("'gelu', expected silu"));
    EXPECT_THAT(with("partial_rotary_factor", "0.5").error(), HasSubstr("is 0.5, expected 1"));
}

TEST(HfConfig, RefusesNumbersOutOfRangeOrOfAnotherType) {
    for (const char* key : {"hidden_size", "intermediate_size", "num_hidden_layers",
                            "num_attention_heads", "vocab_size", "max_position_embeddings"}) {
        const std::string named = std::string("'") + key + "'";
        EXPECT_THAT(with(key, "").error(), HasSubstr(named + " is missing"));
        EXPECT_THAT(with(key, "0").error(), HasSubstr(named + " is 0, expected 1 to"));
        EXPECT_THAT(with(key, "-3").error(), HasSubstr(named + " is -3, expected 1 to"));
        EXPECT_THAT(with(key, "4611686018427387904").error(), HasSubstr("expected 1 to"));
        EXPECT_THAT(with(key, "18446744073709551615").error(), HasSubstr("exceeds 63 bits"));
        EXPECT_THAT(with(key, "1.5").error(), HasSubstr("expected an integer"));
        EXPECT_THAT(with(key, R"("8")").error(), HasSubstr("is of type string"));
    }
    EXPECT_THAT(with("num_key_value_heads", "3").error(), HasSubstr("no multiple of 3 KV heads"));
    EXPECT_THAT(with("head_dim", "15").error(), HasSubstr("expected an even number"));
    EXPECT_THAT(Config().set("head_dim", "").set("num_attention_heads", "6").error(),
                HasSubstr("no multiple of 6 heads"));
    EXPECT_THAT(with("rms_norm_eps", "0").error(), HasSubstr("above 0"));
    EXPECT_THAT(with("rope_theta", "-1").error(), HasSubstr("above 0"));
    EXPECT_THAT(with("attention_bias", "1").error(), HasSubstr("expected true or false"));
    EXPECT_THAT(with("eos_token_id", "-1").error(), HasSubstr("expected token ids"));
    EXPECT_THAT(with("bos_token_id", "[1,2]").error(), HasSubstr("expected one"));
}

TEST(HfConfig, TakesTokenIdsOfTheGenerationFirst) {
    HfBuilder builder = tiny_hf_model();
    builder.config["eos_token_id"] = "[256, 258]";
    builder.files["generation_config.json"] = R"({"eos_token_id":[257,258],"bos_token_id":5})";
    const test::TemporaryFolder folder;
    const HfConfig config = read_hf_config(builder.write(folder.path()));
    EXPECT_THAT(config.ends, ElementsAre(257, 258, 256));
    EXPECT_EQ(config.bos, 5);
}

TEST(HfModel, SaysWhatAFolderLacks) {
    const test::TemporaryFolder folder;
    const auto error = [&] { return input_error([&] { (void)load_model(folder.path()); }); };
    EXPECT_THAT(error(), HasSubstr("holds no config.json"));
    const HfBuilder builder = tiny_hf_model();
    builder.write(folder.path());
    EXPECT_EQ(error(), "");
    std::filesystem::remove(folder.path() / "tokenizer.json");
    EXPECT_THAT(error(), HasSubstr("holds no tokenizer.json"));
    std::filesystem::remove(folder.path() / "model.safetensors");
    EXPECT_THAT(error(), HasSubstr("holds no weights"));
    std::ofstream(folder.path() / "config.json") << "{\"hidden_size\":1,\"hidden_size\":2}";
    EXPECT_THAT(error(), HasSubstr("key 'hidden_size' stands twice"));
    std::ofstream(folder.path() / "config.json") << "GGUF";
    EXPECT_THAT(error(), HasSubstr("is not JSON"));
}

}  // namespace
}  // namespace hc::model
