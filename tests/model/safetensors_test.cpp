#include "engine/model/safetensors_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <cstring>
#include <fstream>
#include <random>

#include "engine/model/safetensors_folder.h"
#include "gguf_cases.h"
#include "hf_cases.h"

namespace hc::model {
namespace {

using test::SafetensorsBuilder;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::string file_error(const std::string& bytes) {
    return input_error([&] { (void)SafetensorsFile(as_bytes(bytes), "m.safetensors"); });
}

std::string header_error(std::string_view header, std::string_view data = {}) {
    return file_error(SafetensorsBuilder::with_header(header, data));
}

SafetensorsBuilder two_tensors() {
    SafetensorsBuilder builder;
    builder.add_tensor("a", DType::kF32, {2, 3}, {1, 2, 3, 4, 5, 6});
    builder.add_tensor("b", DType::kBF16, {3}, {1, -2, 0.5F});
    return builder;
}

TEST(SafetensorsFile, ReadsNamesTypesShapesAndValues) {
    const std::string bytes = two_tensors().build();
    const SafetensorsFile file(as_bytes(bytes), "m.safetensors");
    ASSERT_EQ(file.tensors().size(), 2U);
    const SafeTensor* a = file.find_tensor("a");
    ASSERT_NE(a, nullptr);
    EXPECT_EQ(a->type, DType::kF32);
    EXPECT_THAT(a->dims, ElementsAre(2, 3));
    float last = 0;
    std::memcpy(&last, a->bytes.data() + 20, sizeof last);
    EXPECT_EQ(last, 6.0F);
    EXPECT_EQ(file.find_tensor("b")->type, DType::kBF16);
    EXPECT_EQ(file.find_tensor("b")->bytes.size(), 6U);
    EXPECT_EQ(file.find_tensor("c"), nullptr);
    EXPECT_EQ(file.header().size() + 24 + 6, bytes.size());
}

TEST(SafetensorsFile, ReadsAScalarAndAFileWithoutTensors) {
    EXPECT_EQ(header_error(R"({"s":{"dtype":"F32","shape":[],"data_offsets":[0,4]}})", "1234"), "");
    EXPECT_EQ(header_error("{}"), "");
}

TEST(SafetensorsFile, RefusesEveryTruncation) {
    const std::string good = two_tensors().build();
    ASSERT_EQ(file_error(good), "");
    for (std::size_t size = 0; size < good.size(); ++size) {
        EXPECT_NE(file_error(good.substr(0, size)), "") << size;
    }
    EXPECT_THAT(file_error(good + "x"), HasSubstr("holds 31 bytes of data, its tensors fill 30"));
}

TEST(SafetensorsFile, RefusesWrongHeaderLengths) {
    const std::string good = two_tensors().build();
    for (const std::uint64_t length :
         {std::uint64_t{0}, std::uint64_t{1}, std::uint64_t{good.size()}, std::uint64_t{1} << 20,
          std::uint64_t{1} << 40, ~std::uint64_t{0}, ~std::uint64_t{7}}) {
        std::string bytes = good;
        std::memcpy(bytes.data(), &length, sizeof length);
        EXPECT_NE(file_error(bytes), "") << length;
    }
    for (std::int64_t shift = -40; shift <= 40; ++shift) {
        SafetensorsBuilder builder = two_tensors();
        builder.length_shift = shift;
        EXPECT_EQ(file_error(builder.build()).empty(), shift == 0) << shift;
    }
}

TEST(SafetensorsFile, RefusesOffsetsThatLieOverlapOrLeaveHoles) {
    const auto shifted = [](const char* name, std::int64_t begin, std::int64_t end) {
        SafetensorsBuilder builder = two_tensors();
        builder.tensor(name).begin_shift = begin;
        builder.tensor(name).end_shift = end;
        return file_error(builder.build());
    };
    EXPECT_THAT(shifted("b", 1, 0), HasSubstr("'b.data_offsets' spans 5 bytes, the shape asks"));
    EXPECT_THAT(shifted("b", 2, 2), HasSubstr("the file holds 30 bytes of data (truncated?)"));
    EXPECT_THAT(shifted("b", -2, -2), HasSubstr("overlaps another"));
    EXPECT_THAT(shifted("a", -1, -1), HasSubstr("holds -1, expected integers from 0"));
    EXPECT_THAT(shifted("b", 7, 0), HasSubstr("is [31, 30]"));
    SafetensorsBuilder builder = two_tensors();
    builder.remove_tensor("a");
    builder.tensor("b").data += "xy";
    builder.tensor("b").begin_shift = 2;
    EXPECT_THAT(file_error(builder.build()), HasSubstr("leaves a hole"));
}

TEST(SafetensorsFile, RefusesShapesThatDoNotFitTheirBytes) {
    const auto with_dims = [](std::vector<std::int64_t> dims) {
        SafetensorsBuilder builder = two_tensors();
        builder.tensor("a").dims = std::move(dims);
        return file_error(builder.build());
    };
    EXPECT_EQ(with_dims({3, 2}), "");
    EXPECT_EQ(with_dims({1, 6, 1}), "");
    EXPECT_THAT(with_dims({2, 2}), HasSubstr("the shape asks for 16"));
    EXPECT_THAT(with_dims({0, 3}), HasSubstr("'a.shape' holds 0"));
    EXPECT_THAT(with_dims({-2, -3}), HasSubstr("'a.shape' holds -2"));
    EXPECT_THAT(with_dims({std::int64_t{1} << 62, 6}), HasSubstr("more than 64 bits"));
    EXPECT_THAT(with_dims(std::vector<std::int64_t>(9, 1)), HasSubstr("at most 8 integers"));
}

TEST(SafetensorsFile, RefusesHeadersThatAreNoDirectory) {
    EXPECT_THAT(header_error("[]"), HasSubstr("the document is of type array"));
    EXPECT_THAT(header_error("{"), HasSubstr("is not JSON"));
    EXPECT_THAT(header_error("{}{}"), HasSubstr("is not JSON"));
    EXPECT_THAT(header_error(R"({"a":1})"), HasSubstr("'a' is of type number, expected an object"));
    EXPECT_THAT(header_error(R"({"a":{}})"), HasSubstr("key 'a.dtype' is missing"));
    EXPECT_THAT(
        header_error(R"({"a":{"dtype":"I64","shape":[1],"data_offsets":[0,8]}})", "12345678"),
        HasSubstr("'a.dtype' is 'I64', expected BF16, F16 or F32"));
    EXPECT_THAT(header_error(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0]}})", "1234"),
                HasSubstr("'a.data_offsets' is [0], expected two integers"));
    EXPECT_THAT(header_error(R"({"a":{"dtype":"F32","shape":[1.5],"data_offsets":[0,4]}})", "1234"),
                HasSubstr("'a.shape' holds 1.5"));
    EXPECT_THAT(
        header_error(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,18446744073709551615]}})",
                     "1234"),
        HasSubstr("holds 18446744073709551615"));
    EXPECT_THAT(header_error(R"({"a":{"dtype":"F16","shape":[1],"data_offsets":[0,2]},)"
                             R"("a":{"dtype":"F16","shape":[1],"data_offsets":[2,4]}})",
                             "1234"),
                HasSubstr("key 'a' stands twice"));
    EXPECT_THAT(header_error(std::string(100000, '[')), HasSubstr("nests brackets"));
    EXPECT_THAT(header_error("{\"\xFF\xFE\n\":1}"), HasSubstr("is not JSON"));
    EXPECT_THAT(header_error("{\"a\":1e999}"), HasSubstr("number out of range"));
}

TEST(SafetensorsFile, DamagedHeadersLoadOrAreRefused) {
    const std::string good = two_tensors().build();
    const std::size_t header = SafetensorsFile(as_bytes(good), "m").header().size();
    int refused = 0;
    for (std::size_t at = 0; at < header; ++at) {
        for (int bit = 0; bit < 8; ++bit) {
            std::string bytes = good;
            bytes[at] = static_cast<char>(bytes[at] ^ (1 << bit));
            if (!file_error(bytes).empty()) ++refused;
        }
    }
    EXPECT_GT(refused, 500);
    std::mt19937_64 random(5);
    for (int round = 0; round < 3000; ++round) {
        std::string bytes = good;
        for (int i = 0; i < 3; ++i) {
            const std::size_t at = random() % header;
            const std::size_t size = 1 + random() % 8;
            if (random() % 2 == 0) {
                bytes[at] = static_cast<char>(random());
            } else if (random() % 2 == 0) {
                bytes.erase(at, size);
            } else {
                bytes.insert(at, bytes.substr(random() % header, size));
            }
        }
        (void)file_error(bytes);
    }
}

class SafetensorsShards : public ::testing::Test {
protected:
    SafetensorsShards() {
        builder_.shards.resize(2);
        builder_.shards[0].add_tensor("a", DType::kF32, {1}, {1});
        builder_.shards[1].add_tensor("b", DType::kF16, {2}, {2, 3});
        builder_.write(folder_.path());
    }
    /// The error with another index in the folder.
    std::string with_index(const std::string& text) const {
        std::ofstream(folder_.path() / "model.safetensors.index.json") << text;
        return open();
    }
    std::string with_map(const std::string& map) const {
        return with_index("{\"weight_map\":{" + map + "}}");
    }
    std::string open() const {
        return input_error([&] { (void)SafetensorsFolder(folder_.path()); });
    }

    test::HfBuilder builder_;
    test::TemporaryFolder folder_;
};

TEST_F(SafetensorsShards, AreReadThroughTheIndex) {
    const SafetensorsFolder folder(folder_.path());
    EXPECT_EQ(folder.files().size(), 2U);
    EXPECT_EQ(folder.mappings().size(), 2U);
    ASSERT_NE(folder.find("b"), nullptr);
    EXPECT_EQ(folder.find("b")->tensor->type, DType::kF16);
    EXPECT_THAT(folder.find("b")->file->path(), HasSubstr("model-2-of-2.safetensors"));
    EXPECT_EQ(folder.find("c"), nullptr);
}

TEST_F(SafetensorsShards, MayNotLeadOutOfTheFolder) {
    const std::string good = R"("a":"model-1-of-2.safetensors","b":)";
    for (const char* name : {"../model-2-of-2.safetensors", "/etc/x.safetensors",
                             "sub/x.safetensors", "..", "..\\\\x.safetensors", ".safetensors",
                             ".hidden.safetensors", "", "x.bin", "x\\u0000.safetensors"}) {
        EXPECT_THAT(with_map(good + "\"" + name + "\""),
                    HasSubstr("expected a .safetensors file of the folder"))
            << name;
    }
    EXPECT_THAT(with_map(good + "7"), HasSubstr("'weight_map.b' is of type number"));
}

TEST_F(SafetensorsShards, AndTheIndexMustAgree) {
    const std::string first = R"("a":"model-1-of-2.safetensors")";
    const std::string second = R"("b":"model-2-of-2.safetensors")";
    EXPECT_EQ(with_map(first + "," + second), "");
    EXPECT_THAT(with_map(first + R"(,"b":"model-3-of-2.safetensors")"),
                HasSubstr("names shard 'model-3-of-2.safetensors', which is not in the folder"));
    EXPECT_THAT(with_map(first + "," + second + R"(,"c":"model-2-of-2.safetensors")"),
                HasSubstr("gives tensor 'c' to shard 'model-2-of-2.safetensors', which does not"));
    EXPECT_THAT(with_map(first + R"(,"b":"model-1-of-2.safetensors")"),
                HasSubstr("gives tensor 'b'"));
    EXPECT_THAT(with_map(first + R"(,"x":"model-2-of-2.safetensors")"),
                HasSubstr("holds tensor 'b', which the index does not expect there"));
    EXPECT_THAT(with_index("{}"), HasSubstr("key 'weight_map' is missing"));
    EXPECT_THAT(with_index("["), HasSubstr("is not JSON"));
    // The same tensor in two shards: the index can give it to one only.
    builder_.shards[1].add_tensor("a", DType::kF32, {1}, {1});
    std::ofstream(folder_.path() / "model-2-of-2.safetensors", std::ios::binary)
        << builder_.shards[1].build();
    EXPECT_THAT(with_map(first + "," + second), HasSubstr("holds tensor 'a'"));
}

TEST(SafetensorsFolder, SaysWhenThereAreNoWeights) {
    const test::TemporaryFolder folder;
    EXPECT_THAT(input_error([&] { (void)SafetensorsFolder(folder.path()); }),
                HasSubstr("holds no weights, expected model.safetensors"));
}

}  // namespace
}  // namespace hc::model
