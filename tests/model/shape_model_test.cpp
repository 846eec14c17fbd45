#include "engine/model/shape_model.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/core/error.h"

namespace hc::model {
namespace {

using ::testing::HasSubstr;

TEST(ShapeModel, HasTheParametersOfItsOriginalInBfloat16) {
    // Total sizes as the originals' safetensors indices state them.
    EXPECT_EQ(shape_model("llama-3.1-8b").weight_bytes(), 16060522496);
    EXPECT_EQ(shape_model("deepseek-r1-distill-llama-8b").weight_bytes(), 16060522496);
    EXPECT_EQ(shape_model("qwen2.5-14b").weight_bytes(), 29540067328);
    EXPECT_EQ(shape_model("smollm2-135m").weight_bytes(), 2 * 134515008);
}

TEST(ShapeModel, HasAShapeAndNothingElse) {
    const Model model = shape_model("llama-3.1-8b");
    EXPECT_TRUE(model.shape_only);
    EXPECT_EQ(model.name, "shape:llama-3.1-8b");
    EXPECT_EQ(model.tokenizer, nullptr);
    EXPECT_TRUE(model.weights.layers.empty());
    EXPECT_EQ(model.weights.embedding.data, nullptr);
    EXPECT_TRUE(model.mappings.empty());
    EXPECT_EQ(model.shape.num_kv_heads_total(), 256);
    EXPECT_EQ(model.shape.rope_scaling, (RopeScaling{8, 1, 4, 8192}));
    EXPECT_GE(model.shape.context, 1 << 20);
    EXPECT_TRUE(shape_model("qwen2.5-14b").shape.qkv_bias);
    EXPECT_TRUE(shape_model("smollm2-135m").shape.tied_embeddings);
}

TEST(ShapeModel, IsLoadedByItsPrefixedNameAndHashedByIt) {
    const Model model = load_model("shape:qwen2.5-14b");
    EXPECT_EQ(model.shape, shape_model("qwen2.5-14b").shape);
    EXPECT_EQ(model.hash.size(), 16U);
    EXPECT_EQ(model.hash, shape_model("qwen2.5-14b").hash);
    EXPECT_NE(model.hash, shape_model("smollm2-135m").hash);
    EXPECT_EQ(shape_model("llama-3.1-8b").shape, shape_model("deepseek-r1-distill-llama-8b").shape);
    EXPECT_NE(shape_model("llama-3.1-8b").hash, shape_model("deepseek-r1-distill-llama-8b").hash);
}

TEST(ShapeModel, PassesThroughTheSearchForAModel) {
    EXPECT_EQ(find_model("shape:smollm2-135m"), "shape:smollm2-135m");
    EXPECT_EQ(find_model("shape:no-such"), "shape:no-such");
}

TEST(ShapeModel, ListsTheKnownNamesWhenThereIsNoneSuch) {
    for (const char* name : {"shape:gpt-5", "shape:", "shape:Llama-3.1-8B", "shape:a\nb"}) {
        try {
            (void)load_model(name);
            ADD_FAILURE() << name;
        } catch (const Error& error) {
            EXPECT_EQ(error.code(), ExitCode::kUsage);
            EXPECT_THAT(error.what(),
                        HasSubstr("expected one of llama-3.1-8b, deepseek-r1-distill-llama-8b, "
                                  "qwen2.5-14b, smollm2-135m"));
            EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos);
        }
    }
}

}  // namespace
}  // namespace hc::model
