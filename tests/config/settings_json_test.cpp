#include "engine/config/settings_json.h"

#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "engine/config/head_file.h"
#include "engine/core/error.h"

namespace hc::config {
namespace {

using ::testing::HasSubstr;

template <typename Parse>
std::string refusal(Parse parse, const std::string& text) {
    try {
        (void)parse(text, "run");
    } catch (const Error& e) {
        EXPECT_EQ(e.code(), ExitCode::kInput);
        return e.what();
    }
    return "accepted";
}

/// Another value of the same type for every key, one at a time.
nlohmann::ordered_json changed(const nlohmann::ordered_json& value) {
    if (value.is_boolean()) return !value.get<bool>();
    if (value.is_number_integer()) return value.get<int>() + 2;
    if (value.is_number()) return value.get<double>() / 2 + 0.125;
    return value;
}

TEST(SettingsJson, EveryFieldSurvivesTheRoundTrip) {
    for (const policy::Mode mode : {policy::Mode::kReference, policy::Mode::kFixed}) {
        const auto start = nlohmann::ordered_json::parse(to_json(policy::settings_for(mode)));
        EXPECT_EQ(start.size(), 19U) << "fields of Settings";
        for (const auto& [key, value] : start.items()) {
            auto patched = start;
            patched[key] = changed(value);
            const policy::Settings back = settings_from_json(patched.dump(), "run");
            EXPECT_EQ(nlohmann::ordered_json::parse(to_json(back)), patched) << key;
        }
    }
}

TEST(SettingsJson, MissingKeysTakeTheModesPreset) {
    EXPECT_EQ(to_json(settings_from_json("{\"mode\": \"reference\"}", "run")),
              to_json(policy::settings_for(policy::Mode::kReference)));
    EXPECT_EQ(to_json(settings_from_json("{}", "run")), to_json(policy::Settings{}));
}

TEST(SettingsJson, RefusesUnknownKeysWrongTypesAndRanges) {
    const auto parse = [](const std::string& t, const std::string& n) {
        return settings_from_json(t, n);
    };
    EXPECT_THAT(refusal(parse, "{\"ratios\": 1}"), HasSubstr("unknown key \"ratios\""));
    EXPECT_THAT(refusal(parse, "{\"ratio\": \"1\"}"), HasSubstr("ratio is a string"));
    EXPECT_THAT(refusal(parse, "{\"ratio\": 1.5}"), HasSubstr("ratio is 1.5"));
    EXPECT_THAT(refusal(parse, "{\"window\": 1.5}"), HasSubstr("window"));
    EXPECT_THAT(refusal(parse, "{\"window\": 4294967297}"), HasSubstr("window is 4294967297"));
    EXPECT_THAT(refusal(parse, "{\"window\": 18446744073709551615}"), HasSubstr("window"));
    EXPECT_THAT(refusal(parse, "{\"retrieval\": 1}"), HasSubstr("retrieval is a number"));
    EXPECT_THAT(refusal(parse, "{\"mode\": \"quick\"}"), HasSubstr("mode is \"quick\""));
    EXPECT_THAT(refusal(parse, "[]"), HasSubstr("not a JSON object"));
    EXPECT_THAT(refusal(parse, "nonsense"), HasSubstr("not JSON"));
}

ModelShape shape() {
    ModelShape s;
    s.architecture = "qwen2";
    s.num_layers = 48;
    s.hidden = 5120;
    s.num_qo_heads = 40;
    s.num_kv_heads = 8;
    s.head_dim = 128;
    s.mlp = 13824;
    s.vocab = 152064;
    s.context = 131072;
    s.rms_eps = 1e-6;
    s.rope_theta = 1e6;
    s.rope_scaling = {8, 1, 4, 8192};
    s.qkv_bias = true;
    s.tied_embeddings = true;
    return s;
}

TEST(ShapeJson, SurvivesTheRoundTrip) {
    EXPECT_EQ(shape_from_json(to_json(shape()), "shape"), shape());
}

TEST(ShapeJson, RefusesSizesThatNoModelHas) {
    const auto parse = [](const std::string& t, const std::string& n) {
        return shape_from_json(t, n);
    };
    const auto with = [](const char* key, const nlohmann::ordered_json& value) {
        auto j = nlohmann::ordered_json::parse(to_json(shape()));
        j[key] = value;
        return j.dump();
    };
    EXPECT_THAT(refusal(parse, with("num_kv_heads", 0)), HasSubstr("num_kv_heads is 0"));
    EXPECT_THAT(refusal(parse, with("num_kv_heads", 7)), HasSubstr("do not divide"));
    EXPECT_THAT(refusal(parse, with("head_dim", 1 << 30)), HasSubstr("head_dim"));
    EXPECT_THAT(refusal(parse, with("colour", 1)), HasSubstr("unknown key \"colour\""));
    EXPECT_THAT(refusal(parse, "{}"), HasSubstr("no key 'num_layers'"));
}

TEST(RunParametersJson, SurvivesTheRoundTrip) {
    RunParameters p;
    p.settings = policy::settings_for(policy::Mode::kReference);
    p.settings.ratio = 0.4;
    p.profile =
        parse_head_file(R"({"classification_matrix": [[3, 4]], "allocation_matrix": [[-1, 1]],
                                    "leader_member_relations": [{"0": [1]}]})",
                        "heads");
    p.profile->stability = {0.25, 1.0 / 3};
    p.precision = "fp32";
    p.threads = 2;
    p.page_size = 64;
    p.element_bytes = 2;
    p.drift_keep = 0.5;
    p.drift_every = 5;
    p.oracle = true;
    const RunParameters back = run_parameters_from_json(to_json(p), "run");
    EXPECT_EQ(to_json(back), to_json(p));
    EXPECT_EQ(back.profile->stars, p.profile->stars);
    EXPECT_EQ(back.profile->stability, p.profile->stability);
    EXPECT_EQ(back.drift_every, 5);
    EXPECT_TRUE(back.oracle);
    const RunParameters plain = run_parameters_from_json(to_json(RunParameters{}), "run");
    EXPECT_FALSE(plain.profile || plain.drift_keep || plain.drift_every || plain.oracle);
}

TEST(RunParametersJson, RefusesWhatASimulatorCouldNotUse) {
    const auto parse = [](const std::string& t, const std::string& n) {
        return run_parameters_from_json(t, n);
    };
    EXPECT_THAT(refusal(parse, "{\"page_size\": 0}"), HasSubstr("page_size is 0"));
    EXPECT_THAT(refusal(parse, "{\"drift_keep\": 2}"), HasSubstr("drift_keep is 2"));
    EXPECT_THAT(refusal(parse, "{\"settings\": {\"speed\": 1}}"),
                HasSubstr("'run settings' has the unknown key"));
    EXPECT_THAT(refusal(parse, "{\"profile\": {}}"), HasSubstr("'run profile' has no key"));
    EXPECT_THAT(refusal(parse, "{\"extra\": {}}"), HasSubstr("unknown key \"extra\""));
}

}  // namespace
}  // namespace hc::config
