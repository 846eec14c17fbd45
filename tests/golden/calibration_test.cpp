#include "engine/policy/calibration.h"

#include <string>

#include <gtest/gtest.h>

#include "engine/config/attention_capture.h"
#include "engine/config/head_file.h"
#include "golden_cases.h"
#include "tests/support/paths.h"

namespace hc {
namespace {

constexpr double kTolerance = 1e-12;

void expect_close(const std::vector<double>& found, const test::Json& expected,
                  const std::string& what) {
    ASSERT_EQ(found.size(), expected.size()) << what;
    for (std::size_t i = 0; i < found.size(); ++i) {
        EXPECT_NEAR(found[i], expected[i].get<double>(), kTolerance) << what << " " << i;
    }
}

void expect_layer(const policy::LayerCalibration& layer, const test::Json& expected) {
    expect_close(layer.stability, expected.at("stability"), "stability");
    const auto num_heads = layer.stability.size();
    ASSERT_EQ(expected.at("overlap_history").size(), num_heads);
    ASSERT_EQ(expected.at("similarity").size(), num_heads);
    for (std::size_t head = 0; head < num_heads; ++head) {
        expect_close(layer.overlap_history[head], expected["overlap_history"][head], "overlaps");
        expect_close(layer.similarity[head], expected["similarity"][head], "similarity");
    }
    EXPECT_EQ(test::Json(layer.adjacency), expected.at("adjacency"));
    EXPECT_EQ(test::Json(layer.prefill_sets.at(0).at(0)), expected.at("prefill_topk_head0_batch0"));
}

TEST(GoldenCalibration, EveryCaseGivesTheAuthorsRolesRatiosAndStars) {
    const auto golden = test::golden_dir();
    HC_REQUIRE_OR_SKIP(golden, "../shared/golden");
    const auto cases = test::golden_cases(*golden, "kv_len");
    if (cases.empty()) GTEST_SKIP() << "no calibration case in " << *golden;
    for (const auto& folder : cases) {
        SCOPED_TRACE(folder.filename().string());
        const test::Json expected = test::read_json(folder / "expected.json");
        const policy::Calibration found = config::calibrate_from_capture(folder);
        EXPECT_EQ(found.spatial_step, expected.at("spatial_step").get<std::int64_t>());
        ASSERT_EQ(found.layers.size(), expected.at("layers").size());
        for (std::size_t layer = 0; layer < found.layers.size(); ++layer) {
            SCOPED_TRACE("layer " + std::to_string(layer));
            expect_layer(found.layers[layer], expected["layers"][layer]);
        }
        const test::Json& clusters = expected.at("clusters");
        const test::Json file = test::Json::parse(config::head_file_json(found.profile, "golden"));
        EXPECT_EQ(file.at("classification_matrix"), clusters.at("classification_matrix"));
        EXPECT_EQ(file.at("meta").at("counts"), clusters.at("meta").at("counts"));
        EXPECT_EQ(file.at("meta").at("type_map"), clusters.at("meta").at("type_map"));
        // As text: the order of the stars counts, and JSON objects compare without it.
        EXPECT_EQ(file.at("leader_member_relations").dump(),
                  clusters.at("leader_member_relations").dump());
        std::vector<double> ratios;
        for (const auto& row : clusters.at("allocation_matrix")) {
            for (const auto& value : row) ratios.push_back(value.get<double>());
        }
        expect_close(found.profile.ratios, test::Json(ratios), "ratio");
    }
}

}  // namespace
}  // namespace hc
