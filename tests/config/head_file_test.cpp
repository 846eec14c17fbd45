#include "engine/config/head_file.h"

#include <fstream>
#include <string>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/core/error.h"
#include "tests/support/paths.h"

namespace hc::config {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

/// Two layers of four heads; the stars of layer 0 are not in ascending order.
const std::string kFile = R"({
  "meta": {"type_map": {"anchor": 1, "volatile": 2, "pivot": 3, "satellite": 4},
           "counts": {"anchor": 77}},
  "classification_matrix": [[3, 4, 4, 3], [1, 2, 1, 2]],
  "allocation_matrix": [[-1.0, 0.5, 1.25, -1.0], [1.5, -1.0, 0.75, -1.0]],
  "leader_member_relations": [{"3": [2], "0": [1]}, {}]
})";

std::string replaced(std::string text, const std::string& from, const std::string& to) {
    const std::size_t at = text.find(from);
    EXPECT_NE(at, std::string::npos) << from;
    return text.replace(at, from.size(), to);
}

std::string refusal(const std::string& text) {
    try {
        (void)parse_head_file(text, "heads.json");
    } catch (const Error& e) {
        EXPECT_EQ(e.code(), ExitCode::kInput);
        EXPECT_THAT(e.what(), HasSubstr("'heads.json'"));
        EXPECT_EQ(std::string(e.what()).find('\n'), std::string::npos);
        return e.what();
    }
    return "accepted";
}

bool same(const HeadProfile& a, const HeadProfile& b) {
    return a.num_layers == b.num_layers && a.num_kv_heads == b.num_kv_heads && a.roles == b.roles &&
           a.ratios == b.ratios && a.stability == b.stability && a.stars == b.stars &&
           a.stable_threshold == b.stable_threshold && a.sim_threshold == b.sim_threshold &&
           a.topk == b.topk && a.calibration_step == b.calibration_step;
}

TEST(HeadFile, ReadsRolesRatiosAndStarsInTheirOrder) {
    const HeadProfile profile = parse_head_file(kFile, "heads.json");
    EXPECT_EQ(profile.num_layers, 2);
    EXPECT_EQ(profile.num_kv_heads, 4);
    EXPECT_EQ(profile.role({0, 1}), HeadRole::kSatellite);
    EXPECT_EQ(profile.role({1, 1}), HeadRole::kVolatile);
    EXPECT_EQ(profile.count(HeadRole::kAnchor), 2) << "counted, not taken from the file";
    EXPECT_EQ(profile.ratios[2], 1.25);
    EXPECT_THAT(profile.stars[0], ElementsAre(Star{3, {2}}, Star{0, {1}}));
    EXPECT_TRUE(profile.stars[1].empty());
    EXPECT_TRUE(profile.stability.empty());
}

TEST(HeadFile, ReadsTheOldRoleNamesAndTheirNumbers) {
    const std::string old = replaced(
        replaced(
            kFile, R"("anchor": 1, "volatile": 2, "pivot": 3, "satellite": 4)",
            R"("Stable_Unique": 1, "Decaying_Unique": 2, "Similar_Leader": 4, "Similar_Member": 3)"),
        "[3, 4, 4, 3]", "[4, 3, 3, 4]");
    EXPECT_TRUE(same(parse_head_file(old, "old"), parse_head_file(kFile, "new")));
    const std::string named = replaced(
        kFile, "[1, 2, 1, 2]", R"(["anchor", "Decaying_Unique", "Stable_Unique", "volatile"])");
    EXPECT_TRUE(same(parse_head_file(named, "named"), parse_head_file(kFile, "new")));
}

TEST(HeadFile, NeedsNoMeta) {
    const std::size_t start = kFile.find("\"meta\"");
    const std::size_t end = kFile.find("\"classification_matrix\"");
    const std::string bare = kFile.substr(0, start) + kFile.substr(end);
    EXPECT_TRUE(same(parse_head_file(bare, "bare"), parse_head_file(kFile, "full")));
}

TEST(HeadFile, RefusesBrokenFilesNamingThePlace) {
    const std::vector<std::pair<std::string, std::string>> cases = {
        {"", "is not JSON"},
        {"{", "is not JSON"},
        {"[]", "not a JSON object"},
        {replaced(kFile, "classification_matrix", "classes"), "no key 'classification_matrix'"},
        {replaced(kFile, "allocation_matrix", "x"), "no key 'allocation_matrix'"},
        {replaced(kFile, "leader_member_relations", "x"), "no key 'leader_member_relations'"},
        {replaced(kFile, "[1, 2, 1, 2]", "[1, 2, 1]"),
         "classification_matrix[1] has 3 entries, expected 4"},
        {replaced(kFile, "[1, 2, 1, 2]", "7"), "classification_matrix[1]"},
        {replaced(kFile, "[[3, 4, 4, 3], [1, 2, 1, 2]]", "[]"), "classification_matrix"},
        {replaced(kFile, "[[3, 4, 4, 3], [1, 2, 1, 2]]", "[[]]"), "classification_matrix[0]"},
        {replaced(kFile, "[1, 2, 1, 2]", "[1, 2, 0, 2]"), "classification_matrix[1][2] is class 0"},
        {replaced(kFile, "[1, 2, 1, 2]", "[1, 2, 5, 2]"), "class 5"},
        {replaced(kFile, "[1, 2, 1, 2]", "[1, 2, 1.5, 2]"), "classification_matrix[1][2]"},
        {replaced(kFile, "[1, 2, 1, 2]", "[1, 2, -1, 2]"), "classification_matrix[1][2]"},
        {replaced(kFile, "[1, 2, 1, 2]", "[1, 2, 99999999999999999999, 2]"),
         "classification_matrix[1][2]"},
        {replaced(kFile, "[1, 2, 1, 2]", "[1, 2, \"leader\", 2]"), "leader"},
        {replaced(kFile, "1.5, -1.0, 0.75, -1.0", "1.5, -1.0"),
         "allocation_matrix[1] has 2 entries"},
        {replaced(kFile, "0.75", "null"), "allocation_matrix[1][2] is a null, expected a number"},
        {replaced(kFile, "0.75", "0"), "allocation_matrix[1][2] is 0"},
        {replaced(kFile, "0.75", "-1.0"), "allocation_matrix[1][2] is -1"},
        {replaced(kFile, "0.75", "1e999"), "is not JSON"},
        {replaced(kFile, "0.75", "1e200"), "allocation_matrix[1][2]"},
        {replaced(kFile, "{}]", "{}, {}]"), "leader_member_relations has 3 layers, expected 2"},
        {replaced(kFile, "{}]", "[]]"), "leader_member_relations[1] is not an object"},
        {replaced(kFile, "{}]", "{\"0\": []}]"), "star of head 0, which is no pivot but anchor"},
        {replaced(kFile, "\"0\": [1]", "\"4\": [1]"), "has the key \"4\""},
        {replaced(kFile, "\"0\": [1]", "\"-1\": [1]"), "has the key \"-1\""},
        {replaced(kFile, "\"0\": [1]", "\"00\": [1]"), "has the key \"00\""},
        {replaced(kFile, "\"0\": [1]", "\"a\": [1]"), "has the key \"a\""},
        {replaced(kFile, "\"0\": [1]", "\"0\": 1"), "is not a list"},
        {replaced(kFile, "\"0\": [1]", "\"0\": [3]"), "head 3, which is no satellite but pivot"},
        {replaced(kFile, "\"0\": [1]", "\"0\": [4]"), "is 4, expected an integer from 0 to 3"},
        {replaced(kFile, "\"0\": [1]", "\"0\": [2]"), "names satellite 2 twice"},
        {replaced(kFile, "\"volatile\": 2", "\"volatile\": 1"), "class 1 to two roles"},
        {replaced(kFile, "{\"anchor\": 77}", "{}, \"stability\": [[1]]"), "meta.stability"},
        {replaced(kFile, "{\"anchor\": 77}", "{}, \"stable_threshold\": 2"),
         "meta.stable_threshold is 2"},
    };
    EXPECT_EQ(refusal(kFile), "accepted");
    for (const auto& [text, expected] : cases)
        EXPECT_THAT(refusal(text), HasSubstr(expected)) << text;
}

TEST(HeadFile, SurvivesEveryTruncationAndByteChange) {
    for (std::size_t i = 0; i < kFile.size() - 1; ++i) {
        EXPECT_NE(refusal(kFile.substr(0, i)), "accepted");
        for (const char c : {'\0', '"', '[', '}', '9', '-', '\xff'}) {
            std::string changed = kFile;
            changed[i] = c;
            (void)refusal(changed);  // accepted or refused as Error: nothing else
        }
    }
}

TEST(HeadFile, RefusesDeepNestingWhereverItIs) {
    const std::string deep(200000, '[');
    EXPECT_THAT(refusal(deep), HasSubstr("deep"));
    const std::string closed = deep + std::string(deep.size(), ']');
    EXPECT_THAT(refusal("{\"classification_matrix\": " + closed + "}"), HasSubstr("deep"));
    EXPECT_THAT(refusal(replaced(kFile, "{\"anchor\": 77}", closed)), HasSubstr("deep"));
    const std::string text = replaced(kFile, "{\"anchor\": 77}", "\"\\\"" + deep + "\"");
    EXPECT_EQ(refusal(text), "accepted") << "brackets inside a string nest nothing";
}

TEST(HeadFile, OwnFilesComeBackWhole) {
    HeadProfile profile = parse_head_file(kFile, "heads.json");
    profile.stability = {0.1, 0.2, 1.0 / 3, 0.4, 0.5, 0.6, 0.7, 1};
    profile.ratios[1] = 0.1 + 0.2;
    profile.stable_threshold = 0.45;
    profile.sim_threshold = 0.35;
    profile.topk = 419;
    profile.calibration_step = 2048;
    EXPECT_TRUE(same(parse_head_file(head_file_json(profile, "a/Model"), "again"), profile));
    const test::TemporaryFolder folder;
    const auto path = folder.path() / head_file_name(profile, "a/My Model-1");
    EXPECT_EQ(path.filename().string(),
              "Head_Analysis_my-model-1_topk419_th0.45_sim0.35_step2048.json");
    write_head_file(path, profile, "a/My Model-1");
    EXPECT_TRUE(same(read_head_file(path), profile));
}

TEST(HeadFile, NameGivesWhatTheAuthorsFilesDoNotHold) {
    const test::TemporaryFolder folder;
    const auto path = folder.path() / "Head_Analysis_m_topk512_th0.4_sim1.0_step3000.json";
    std::ofstream(path) << kFile;
    const HeadProfile profile = read_head_file(path);
    EXPECT_EQ(profile.topk, 512);
    EXPECT_EQ(profile.stable_threshold, 0.4);
    EXPECT_EQ(profile.sim_threshold, 1.0);
    EXPECT_EQ(profile.calibration_step, 3000);
}

TEST(HeadFile, AuthorsFilesRoundTrip) {
    const auto folder = test::heads_dir();
    HC_REQUIRE_OR_SKIP(folder, "../shared/data/heads");
    int files = 0;
    for (const auto& entry : std::filesystem::directory_iterator(*folder)) {
        const HeadProfile profile = read_head_file(entry.path());
        EXPECT_TRUE(same(parse_head_file(head_file_json(profile, "m"), "again"), profile));
        std::string name = entry.path().filename().string();
        name = name.substr(14, name.find("_topk") - 14);
        EXPECT_EQ(head_file_name(profile, name), entry.path().filename().string());
        ++files;
    }
    EXPECT_GT(files, 0);
}

}  // namespace
}  // namespace hc::config
