#include "engine/model/model.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <chrono>
#include <cmath>
#include <fstream>
#include <set>

#include "gguf_cases.h"
#include "tests/support/paths.h"
#include "tests/support/tiny_model.h"

namespace hc::model {
namespace {

using test::GgufBuilder;
using test::tiny_model;
using test::TinyModelOptions;
using ::testing::Each;
using ::testing::HasSubstr;

TEST(LoadModel, ReadsShapeAndWeightsOfATinyLlama) {
    const test::TemporaryFolder folder;
    const Model model = load_model(test::write_tiny_model(folder.path()));
    EXPECT_EQ(model.name, "tiny");
    EXPECT_EQ(model.shape.architecture, "llama");
    EXPECT_EQ(model.shape.num_layers, 2);
    EXPECT_EQ(model.shape.num_qo_heads, 4);
    EXPECT_EQ(model.shape.num_kv_heads, 2);
    EXPECT_EQ(model.shape.head_dim, 16);
    EXPECT_EQ(model.shape.vocab, 320);
    EXPECT_EQ(model.shape.context, 512);
    EXPECT_FALSE(model.shape.qkv_bias);
    EXPECT_TRUE(model.shape.tied_embeddings);
    EXPECT_TRUE(model.weights.rope_interleaved);
    EXPECT_TRUE(model.weights.rope_factors.empty());
    ASSERT_EQ(model.weights.layers.size(), 2U);
    EXPECT_EQ(model.weights.lm_head.data, model.weights.embedding.data);
    const LayerWeights& layer = model.weights.layers[1];
    EXPECT_EQ(layer.k.rows, 32);
    EXPECT_EQ(layer.k.cols, 64);
    EXPECT_EQ(layer.down.rows, 64);
    EXPECT_EQ(layer.down.cols, 96);
    EXPECT_EQ(layer.attn_norm.size(), 64U);
    EXPECT_TRUE(layer.q_bias.empty());
    const std::int64_t layer_floats = 64 * (64 + 32 + 32 + 64 + 3 * 96) + 2 * 64;
    EXPECT_EQ(model.weight_bytes(), 4 * (320 * 64 + 2 * layer_floats + 64));
}

TEST(LoadModel, ReadsVectorsAsTheFileHoldsThem) {
    GgufBuilder builder = tiny_model();
    std::vector<float> norm(64);
    for (std::size_t i = 0; i < norm.size(); ++i) norm[i] = 0.5F + static_cast<float>(i);
    builder.remove_tensor("output_norm.weight");
    builder.add_tensor("output_norm.weight", {64}, norm);
    const std::string bytes = builder.build();
    EXPECT_EQ(model_from_gguf(as_bytes(bytes), "m").weights.final_norm, norm);
}

TEST(LoadModel, ReadsBiasesAndHalfRotationOfQwen2) {
    TinyModelOptions options;
    options.arch = "qwen2";
    options.tied = false;
    options.dtype = DType::kQ8_0;
    const std::string bytes = tiny_model(options).build();
    const Model model = model_from_gguf(as_bytes(bytes), "m");
    EXPECT_TRUE(model.shape.qkv_bias);
    EXPECT_FALSE(model.shape.tied_embeddings);
    EXPECT_FALSE(model.weights.rope_interleaved);
    EXPECT_NE(model.weights.lm_head.data, model.weights.embedding.data);
    EXPECT_EQ(model.weights.layers[0].q.type, DType::kQ8_0);
    EXPECT_EQ(model.weights.layers[0].q_bias.size(), 64U);
    EXPECT_EQ(model.weights.layers[0].k_bias.size(), 32U);
    EXPECT_EQ(model.weights.layers[0].v_bias.size(), 32U);
}

TEST(LoadModel, TakesTheHeadDimensionFromTheFileAndNotFromTheHiddenSize) {
    TinyModelOptions options;
    options.head_dim = 24;  // 4 heads of 24 are not 64
    const std::string bytes = tiny_model(options).build();
    EXPECT_EQ(model_from_gguf(as_bytes(bytes), "m").shape.head_dim, 24);
    GgufBuilder builder = tiny_model();
    builder.remove_value("llama.attention.key_length");
    builder.remove_value("llama.attention.value_length");
    const std::string plain = builder.build();
    EXPECT_EQ(model_from_gguf(as_bytes(plain), "m").shape.head_dim, 16);
}

TEST(LoadModel, ReadsRopeFactorsFromTheirTensor) {
    GgufBuilder builder = tiny_model();
    const std::vector<float> factors = {1, 1, 1, 1.5F, 2, 4, 8, 8};
    builder.add_tensor("rope_freqs.weight", {8}, factors);
    const std::string bytes = builder.build();
    const Model model = model_from_gguf(as_bytes(bytes), "m");
    EXPECT_EQ(model.weights.rope_factors, factors);
    EXPECT_EQ(model.shape.rope_scaling.factor, 1.0);
}

TEST(LoadModel, ReadsLlama3ScalingFromKeys) {
    GgufBuilder builder = tiny_model();
    builder.add_string("llama.rope.scaling.type", "llama3");
    builder.add_float32("llama.rope.scaling.factor", 32);
    builder.add_float32("llama.rope.scaling.low_freq_factor", 2);
    builder.add_float32("llama.rope.scaling.high_freq_factor", 5);
    builder.add_uint32("llama.rope.scaling.original_context_length", 512);
    const std::string bytes = builder.build();
    const Model model = model_from_gguf(as_bytes(bytes), "m");
    EXPECT_EQ(model.shape.rope_scaling, (RopeScaling{32, 2, 5, 512}));
    EXPECT_TRUE(model.weights.rope_factors.empty());
    // Divisors of the file come first: nothing may be scaled twice.
    builder.add_tensor("rope_freqs.weight", {8}, std::vector<float>(8, 3.0F));
    const std::string both = builder.build();
    const Model with_factors = model_from_gguf(as_bytes(both), "m");
    EXPECT_EQ(with_factors.shape.rope_scaling, RopeScaling{});
    EXPECT_THAT(with_factors.weights.rope_factors, Each(3.0F));
    builder.tensor("rope_freqs.weight").data.assign(32, '\0');
    EXPECT_THAT(load_error(builder.build()), HasSubstr("'rope_freqs.weight' holds 0"));
}

TEST(LoadModel, RefusesLlama3ScalingWhoseBandsCross) {
    GgufBuilder builder = tiny_model();
    builder.add_string("llama.rope.scaling.type", "llama3");
    builder.add_float32("llama.rope.scaling.low_freq_factor", 4);
    EXPECT_THAT(load_error(builder.build()),
                HasSubstr("high_freq_factor' is 4, expected more than"));
    builder = tiny_model();
    builder.add_string("llama.rope.scaling.type", "llama3");
    builder.add_float32("llama.rope.scaling.factor", 0);
    EXPECT_THAT(load_error(builder.build()), HasSubstr("is 0, expected a number above 0"));
}

TEST(LoadModel, AppliesLinearScalingToEveryFrequencyAndRefusesOtherKinds) {
    GgufBuilder builder = tiny_model();
    builder.add_string("llama.rope.scaling.type", "linear");
    builder.add_float32("llama.rope.scaling.factor", 2);
    const std::string bytes = builder.build();
    EXPECT_THAT(model_from_gguf(as_bytes(bytes), "m").weights.rope_factors, Each(2.0F));
    builder = tiny_model();
    builder.add_string("llama.rope.scaling.type", "yarn");
    EXPECT_THAT(load_error(builder.build()),
                HasSubstr("is 'yarn', expected none, linear or llama3"));
}

TEST(LoadModel, NamesWhatIsMissing) {
    for (const char* key :
         {"general.architecture", "llama.block_count", "llama.context_length",
          "llama.embedding_length", "llama.feed_forward_length", "llama.attention.head_count",
          "llama.attention.layer_norm_rms_epsilon", "tokenizer.ggml.model", "tokenizer.ggml.pre",
          "tokenizer.ggml.tokens", "tokenizer.ggml.merges"}) {
        GgufBuilder builder = tiny_model();
        builder.remove_value(key);
        EXPECT_EQ(load_error(builder.build()),
                  std::string("'some.gguf': metadata '") + key + "' is missing");
    }
    for (const char* name : {"token_embd.weight", "output_norm.weight", "blk.0.attn_q.weight",
                             "blk.1.ffn_down.weight", "blk.1.attn_norm.weight"}) {
        GgufBuilder builder = tiny_model();
        builder.remove_tensor(name);
        EXPECT_EQ(load_error(builder.build()),
                  std::string("'some.gguf': tensor '") + name + "' is missing");
    }
}

TEST(LoadModel, ChecksEveryTensorAgainstTheMetadata) {
    TinyModelOptions options;
    options.arch = "qwen2";
    options.tied = false;
    const std::vector<std::string> names = {"token_embd.weight", "output_norm.weight",
                                            "output.weight"};
    std::vector<std::string> all = names;
    for (const char* part :
         {"attn_norm.weight", "attn_q.weight", "attn_k.weight", "attn_v.weight",
          "attn_output.weight", "attn_q.bias", "attn_k.bias", "attn_v.bias", "ffn_norm.weight",
          "ffn_gate.weight", "ffn_up.weight", "ffn_down.weight"}) {
        all.push_back(std::string("blk.1.") + part);
    }
    for (const std::string& name : all) {
        GgufBuilder builder = tiny_model(options);
        GgufBuilder::Tensor& tensor = builder.tensor(name);
        tensor.dims[0] -= 1;  // still within the file
        EXPECT_THAT(load_error(builder.build()), HasSubstr("tensor '" + name + "' has shape ["));
    }
}

TEST(LoadModel, RefusesModelsThatItWouldComputeWrongly) {
    const auto with_value = [](const char* key, std::uint32_t value) {
        GgufBuilder builder = tiny_model();
        builder.remove_value(key);
        builder.add_uint32(key, value);
        return load_error(builder.build());
    };
    EXPECT_THAT(with_value("llama.expert_count", 8), HasSubstr("mixture of experts"));
    EXPECT_THAT(with_value("llama.rope.dimension_count", 8), HasSubstr("rope.dimension_count"));
    EXPECT_THAT(with_value("llama.attention.value_length", 8), HasSubstr("value_length' is 8"));
    EXPECT_THAT(with_value("llama.attention.key_length", 15), HasSubstr("even number"));
    EXPECT_THAT(with_value("llama.attention.head_count", 0), HasSubstr("is 0, expected 1 to"));
    EXPECT_THAT(with_value("llama.attention.head_count_kv", 3), HasSubstr("no multiple of 3"));
    EXPECT_THAT(with_value("llama.block_count", 0xFFFFFFFFU), HasSubstr("is 4294967295, expected"));
    EXPECT_THAT(with_value("llama.block_count", 3), HasSubstr("blk.2.attn_norm.weight"));
    EXPECT_THAT(with_value("llama.block_count", 1), HasSubstr("tensor 'blk.1."));
    GgufBuilder builder = tiny_model();
    builder.add_tensor("blk.0.attn_q_norm.weight", {16}, std::vector<float>(16, 1.0F));
    EXPECT_THAT(load_error(builder.build()), HasSubstr("'blk.0.attn_q_norm.weight' belongs to no"));
    builder = tiny_model();
    builder.remove_value("general.architecture");
    builder.add_string("general.architecture", "mamba");
    EXPECT_THAT(load_error(builder.build()), HasSubstr("'mamba', expected llama or qwen2"));
    builder = tiny_model();
    builder.remove_value("llama.attention.layer_norm_rms_epsilon");
    builder.add_float32("llama.attention.layer_norm_rms_epsilon", NAN);
    EXPECT_THAT(load_error(builder.build()), HasSubstr("not finite"));
}

TEST(LoadModel, RefusesBrokenTokenizers) {
    const auto with_string = [](const char* key, const char* value) {
        GgufBuilder builder = tiny_model();
        builder.remove_value(key);
        builder.add_string(key, value);
        return load_error(builder.build());
    };
    EXPECT_THAT(with_string("tokenizer.ggml.model", "llama"), HasSubstr("expected gpt2"));
    EXPECT_THAT(with_string("tokenizer.ggml.pre", "tekken"),
                HasSubstr("'tekken', expected smollm"));
    GgufBuilder builder = tiny_model();
    builder.remove_value("tokenizer.ggml.eos_token_id");
    builder.add_uint32("tokenizer.ggml.eos_token_id", 320);
    EXPECT_THAT(load_error(builder.build()), HasSubstr("is 320, the vocabulary has 320 tokens"));
    builder = tiny_model();
    builder.remove_value("tokenizer.ggml.merges");
    builder.add_strings("tokenizer.ggml.merges", {"a b"});
    EXPECT_THAT(load_error(builder.build()), HasSubstr("merge 0 of the tokenizer"));
    builder = tiny_model();
    builder.remove_value("tokenizer.ggml.tokens");
    builder.remove_value("tokenizer.ggml.token_type");
    builder.add_strings("tokenizer.ggml.tokens", {"a"});
    builder.remove_value("tokenizer.ggml.bos_token_id");
    builder.remove_value("tokenizer.ggml.eos_token_id");
    EXPECT_THAT(load_error(builder.build()), HasSubstr("the tokenizer has 1 tokens"));
    builder = tiny_model();
    builder.remove_value("tokenizer.ggml.token_type");
    builder.add_int32s("tokenizer.ggml.token_type", {1, 1});
    EXPECT_THAT(load_error(builder.build()), HasSubstr("token_type has 2 entries"));
}

TEST(LoadModel, HashesHeaderAndSizeButNotWeights) {
    const auto hash = [](const std::string& bytes) {
        return model_from_gguf(as_bytes(bytes), "m").hash;
    };
    std::string bytes = tiny_model().build();
    const std::string first = hash(bytes);
    EXPECT_EQ(first.size(), 16U);
    bytes.back() = static_cast<char>(bytes.back() ^ 1);
    EXPECT_EQ(hash(bytes), first);
    EXPECT_NE(hash(bytes + "x"), first);
    GgufBuilder renamed = tiny_model();
    renamed.add_string("general.version", "2");
    EXPECT_NE(hash(renamed.build()), first);
}

TEST(LoadModel, RefusesFilesThatAreNone) {
    const test::TemporaryFolder folder;
    EXPECT_THROW((void)load_model(folder.path() / "absent.gguf"), Error);
    EXPECT_THROW((void)load_model(folder.path()), Error);
    std::ofstream(folder.path() / "empty.gguf").flush();
    EXPECT_THROW((void)load_model(folder.path() / "empty.gguf"), Error);
}

TEST(LoadModel, TinyModelsOfDifferentOptionsAreDifferentFiles) {
    const test::TemporaryFolder folder;
    std::set<std::string> files;
    TinyModelOptions options;
    files.insert(test::write_tiny_model(folder.path(), options).string());
    options.seed = 2;
    files.insert(test::write_tiny_model(folder.path(), options).string());
    options.dtype = DType::kQ8_0;
    files.insert(test::write_tiny_model(folder.path(), options).string());
    EXPECT_EQ(files.size(), 3U);
}

TEST(LoadModel, ReadsTheDefaultModel) {
    const auto path = test::model_file();
    HC_REQUIRE_OR_SKIP(path, "the default model");
    const auto begin = std::chrono::steady_clock::now();
    const Model model = load_model(*path);
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin;
    RecordProperty("load_ms", std::to_string(seconds.count() * 1e3));
    if (path->filename() != "SmolLM2-135M-Instruct.Q4_1.gguf") {
        GTEST_SKIP() << "HCPROF_MODEL names another model";
    }
    EXPECT_EQ(model.shape.num_layers, 30);
    EXPECT_EQ(model.shape.hidden, 576);
    EXPECT_EQ(model.shape.num_qo_heads, 9);
    EXPECT_EQ(model.shape.num_kv_heads, 3);
    EXPECT_EQ(model.shape.head_dim, 64);
    EXPECT_EQ(model.shape.mlp, 1536);
    EXPECT_EQ(model.shape.vocab, 49152);
    EXPECT_EQ(model.shape.context, 8192);
    EXPECT_EQ(model.shape.rope_theta, 100000.0);
    EXPECT_TRUE(model.shape.tied_embeddings);
    EXPECT_EQ(model.weights.embedding.type, DType::kQ8_0);
    EXPECT_EQ(model.weights.layers[29].down.type, DType::kQ4_1);
    EXPECT_TRUE(model.tokenizer->ends_generation(2));   // <|im_end|>
    EXPECT_TRUE(model.tokenizer->ends_generation(0));   // <|endoftext|>
    EXPECT_FALSE(model.tokenizer->ends_generation(1));  // <|im_start|>
}

}  // namespace
}  // namespace hc::model
