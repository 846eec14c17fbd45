#include "engine/config/attention_capture.h"

#include <cstring>
#include <fstream>
#include <string>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/config/npy.h"
#include "engine/core/error.h"
#include "engine/core/half.h"
#include "tests/support/paths.h"

namespace hc::config {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::string npy(const std::string& header, std::size_t data_bytes, int version = 1) {
    std::string file = "\x93NUMPY";
    file += static_cast<char>(version);
    file += '\0';
    for (int i = 0; i < (version == 1 ? 2 : 4); ++i) {
        file += static_cast<char>((header.size() >> (8 * i)) & 0xff);
    }
    return file + header + std::string(data_bytes, '\0');
}

std::string header_of(const std::string& shape) {
    return "{'descr': '<f2', 'fortran_order': False, 'shape': " + shape + ", }  \n";
}

NpyHeader parse(const std::string& file) {
    return parse_npy_header(std::as_bytes(std::span(file.data(), file.size())), "a.npy");
}

std::string refusal(const std::string& file) {
    try {
        (void)parse(file);
    } catch (const Error& e) {
        EXPECT_EQ(e.code(), ExitCode::kInput);
        EXPECT_THAT(e.what(), HasSubstr("'a.npy'"));
        return e.what();
    }
    return "accepted";
}

TEST(Npy, ReadsBothVersionsAndAnyKeyOrder) {
    EXPECT_THAT(parse(npy(header_of("(2, 3)"), 12)).shape, ElementsAre(2, 3));
    EXPECT_THAT(parse(npy(header_of("(5,)"), 10, 2)).shape, ElementsAre(5));
    EXPECT_EQ(parse(npy(header_of("()"), 2)).count, 1U);
    EXPECT_THAT(parse(npy("{\"shape\":(4,),'fortran_order':False,'descr':'<f2'}", 8)).shape,
                ElementsAre(4));
}

TEST(Npy, RefusesWhatIsNoWholeHalfArray) {
    const std::vector<std::pair<std::string, std::string>> cases = {
        {"", "no .npy file"},
        {"\x93NUMPX\x01\x00\x02\x00{}", "no .npy file"},
        {npy(header_of("(2, 3)"), 12, 3), "version 3.0"},
        {npy(header_of("(2, 3)"), 11), "has 11 bytes of data, expected 12"},
        {npy(header_of("(2, 3)"), 14), "has 14 bytes of data, expected 12"},
        {npy(header_of("(0, 3)"), 0), "empty dimension"},
        {npy(header_of("(-2, 3)"), 12), "no number"},
        {npy(header_of("(2 3)"), 12), "expected ')'"},
        {npy(header_of("(99999999999999999999999,)"), 12), "too large"},
        {npy(header_of("(281474976710656, 281474976710656)"), 12), "than can be addressed"},
        {npy(header_of("(" + std::string(400, '1') + ")"), 12), "too large"},
        {npy(header_of("(1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1)"), 2),
         "too many"},
        {npy("{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }", 8), "element type"},
        {npy("{'descr': '>f2', 'fortran_order': False, 'shape': (2,), }", 4), "element type"},
        {npy("{'descr': '<f2', 'fortran_order': True, 'shape': (2,), }", 4), "not C order"},
        {npy("{'descr': '<f2', 'shape': (2,), }", 4), "without one of the keys"},
        {npy("{'descr': '<f2', 'descr': '<f2', 'shape': (2,), }", 4), "repeated"},
        {npy("{'descr': '<f2', 'fortran_order': False, 'shape': (2,), } x", 4), "after"},
        {npy("{'descr", 4), "open string"},
        {npy("", 4), "expected '{'"},
    };
    for (const auto& [file, expected] : cases) EXPECT_THAT(refusal(file), HasSubstr(expected));
    std::string longer = npy(header_of("(2,)"), 0);
    longer[8] = '\xff';  // the header length points past the end
    longer[9] = '\xff';
    EXPECT_THAT(refusal(longer), HasSubstr("ends within its header"));
}

TEST(Npy, SurvivesEveryTruncationAndByteChange) {
    const std::string file = npy(header_of("(2, 3)"), 12);
    for (std::size_t i = 0; i < file.size(); ++i) {
        EXPECT_NE(refusal(file.substr(0, i)), "accepted");
        for (int c = 0; c < 256; ++c) {
            std::string changed = file;
            changed[i] = static_cast<char>(c);
            (void)refusal(changed);  // accepted or refused as Error: nothing else
        }
    }
}

const std::string kConfig = R"({"num_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 1,
  "batch": 1, "topk": 2, "max_length": 8, "stable_threshold": 0.5, "sim_threshold": 0.5,
  "decode_step": 8, "kv_len": [8, 9], "note": "hand made"})";

std::string replaced(std::string text, const std::string& from, const std::string& to) {
    const std::size_t at = text.find(from);
    EXPECT_NE(at, std::string::npos) << from;
    return text.replace(at, from.size(), to);
}

class Capture : public ::testing::Test {
protected:
    /// Rows of 9 keys, one value of weight 1 per row.
    void write(const std::string& config, const std::string& shape,
               const std::vector<std::size_t>& peaks) {
        std::ofstream(folder_.path() / "config.json") << config;
        std::string file = npy(header_of(shape), peaks.size() * 9 * 2);
        const std::size_t start = file.size() - peaks.size() * 9 * 2;
        for (std::size_t row = 0; row < peaks.size(); ++row)
            set(file, start + (row * 9 + peaks[row]) * 2, value_);
        std::ofstream(folder_.path() / "attn.npy", std::ios::binary) << file;
    }
    static void set(std::string& file, std::size_t at, float value) {
        const std::uint16_t half = float_to_half(value);
        std::memcpy(file.data() + at, &half, 2);
    }
    std::string refusal() {
        try {
            (void)calibrate_from_capture(folder_.path());
        } catch (const Error& e) {
            return e.what();
        }
        return "accepted";
    }
    test::TemporaryFolder folder_;
    float value_ = 1.0F;
};

TEST_F(Capture, IsCalibratedLikeRowsThatArriveOneByOne) {
    write(kConfig, "(1, 2, 1, 2, 9)", {0, 0, 5, 5});
    const policy::Calibration found = calibrate_from_capture(folder_.path());
    EXPECT_EQ(found.spatial_step, 8);
    EXPECT_THAT(found.layers[0].prefill_sets[0][0], ElementsAre(0, 1));
    EXPECT_THAT(found.layers[0].stability, ElementsAre(0.0));  // 0,1 against 3,4
    EXPECT_EQ(found.profile.role({0, 0}), HeadRole::kVolatile);
}

TEST_F(Capture, RefusesAnArrayThatDoesNotFitItsConfig) {
    write(kConfig, "(1, 2, 2, 1, 9)", {0, 0, 5, 5});
    EXPECT_THAT(refusal(), HasSubstr("has shape [1, 2, 2, 1, 9], expected [1, 2, 1, 2, 9]"));
    write(kConfig, "(4, 9)", {0, 0, 5, 5});
    EXPECT_THAT(refusal(), HasSubstr("has shape [4, 9]"));
    write(replaced(kConfig, "[8, 9]", "[8, 10]"), "(1, 2, 1, 2, 9)", {0, 0, 5, 5});
    EXPECT_THAT(refusal(), HasSubstr("expected [1, 2, 1, 2, 10]"));
}

TEST_F(Capture, RefusesValuesThatAreNoProbabilities) {
    for (const float value : {-0.5F, 2.0F, std::numeric_limits<float>::quiet_NaN(),
                              std::numeric_limits<float>::infinity()}) {
        value_ = value;
        write(kConfig, "(1, 2, 1, 2, 9)", {0, 0, 5, 5});
        EXPECT_THAT(refusal(), HasSubstr("no probability"));
    }
}

TEST_F(Capture, RefusesAFolderWithoutItsFiles) {
    EXPECT_THAT(refusal(), HasSubstr("config.json"));
    std::ofstream(folder_.path() / "config.json") << kConfig;
    EXPECT_THAT(refusal(), HasSubstr("attn.npy"));
}

TEST(CaptureConfig, RefusesWhatIsMissingOrOutOfRangeByName) {
    const std::vector<std::pair<std::string, std::string>> cases = {
        {replaced(kConfig, "num_layers", "layers"), "no key 'num_layers'"},
        {replaced(kConfig, "\"num_layers\": 1", "\"num_layers\": 0"), "num_layers is 0"},
        {replaced(kConfig, "\"topk\": 2", "\"topk\": -1"), "topk is -1"},
        {replaced(kConfig, "\"topk\": 2", "\"topk\": 1.5"), "topk is a number with a fraction"},
        {replaced(kConfig, "\"num_key_value_heads\": 1", "\"num_key_value_heads\": 3"),
         "do not divide"},
        {replaced(kConfig, "[8, 9]", "[]"), "kv_len is not a list"},
        {replaced(kConfig, "[8, 9]", "[9, 9]"), "kv_len[1] is 9"},
        {replaced(kConfig, "[8, 9]", "[8, \"9\"]"), "kv_len[1] is a string"},
        {replaced(kConfig, "\"sim_threshold\": 0.5", "\"sim_threshold\": 5"), "sim_threshold is 5"},
        {"null", "not a JSON object"},
    };
    for (const auto& [text, expected] : cases) {
        try {
            (void)parse_capture_config(text, "config.json");
            ADD_FAILURE() << "accepted: " << text;
        } catch (const Error& e) {
            EXPECT_EQ(e.code(), ExitCode::kInput);
            EXPECT_THAT(e.what(), HasSubstr(expected));
        }
    }
    EXPECT_EQ(parse_capture_config(kConfig, "config.json").settings.stability_floor, 0.0);
}

}  // namespace
}  // namespace hc::config
