#include "engine/model/gguf_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/core/error.h"
#include "gguf_cases.h"
#include "tests/support/gguf_builder.h"

namespace hc::model {
namespace {

using test::GgufBuilder;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::string parse_error(const std::string& file) {
    try {
        const GgufFile parsed(as_bytes(file), "some.gguf");
    } catch (const Error& error) {
        EXPECT_EQ(error.code(), ExitCode::kInput);
        EXPECT_TRUE(std::string(error.what()).starts_with("'some.gguf': ")) << error.what();
        return error.what();
    }
    return {};
}

GgufBuilder good() {
    GgufBuilder builder;
    builder.add_string("name", "value");
    builder.add_uint32("count", 7);
    builder.add_tensor("a", {4, 2}, {1, 2, 3, 4, 5, 6, 7, 8});
    builder.add_tensor("b", {3}, {9, 10, 11});
    return builder;
}

TEST(GgufFile, ReadsEveryScalarType) {
    GgufBuilder builder;
    builder.add_scalar<std::uint8_t>("u8", 0, 200);
    builder.add_scalar<std::int8_t>("i8", 1, -100);
    builder.add_scalar<std::uint16_t>("u16", 2, 60000);
    builder.add_scalar<std::int16_t>("i16", 3, -30000);
    builder.add_uint32("u32", 4000000000U);
    builder.add_int32("i32", -5);
    builder.add_float32("f32", 1.5F);
    builder.add_bool("yes", true);
    builder.add_string("text", "gr\xC3\xBC\xC3\x9F");
    builder.add_uint64("u64", 1ULL << 40);
    builder.add_scalar<std::int64_t>("i64", 11, -(1LL << 40));
    builder.add_scalar<double>("f64", 12, 0.1);
    const std::string bytes = builder.build();
    const GgufFile file(as_bytes(bytes), "f");
    EXPECT_EQ(file.find_int("u8"), 200);
    EXPECT_EQ(file.find_int("i8"), -100);
    EXPECT_EQ(file.find_int("u16"), 60000);
    EXPECT_EQ(file.find_int("i16"), -30000);
    EXPECT_EQ(file.find_int("u32"), 4000000000);
    EXPECT_EQ(file.find_int("i32"), -5);
    EXPECT_EQ(file.find_number("f32"), 1.5);
    EXPECT_EQ(file.find_bool("yes"), true);
    EXPECT_EQ(file.find_string("text"), "gr\xC3\xBC\xC3\x9F");
    EXPECT_EQ(file.find_int("u64"), std::int64_t{1} << 40);
    EXPECT_EQ(file.find_int("i64"), -(std::int64_t{1} << 40));
    EXPECT_EQ(file.find_number("f64"), 0.1);
    EXPECT_EQ(file.find_number("i32"), -5.0);
    EXPECT_EQ(file.find_int("absent"), std::nullopt);
}

TEST(GgufFile, ReadsArraysAndWalksNestedOnes) {
    GgufBuilder builder;
    builder.add_strings("words", {"a", "", "long word"});
    builder.add_int32s("numbers", {3, -4});
    // An array of two arrays: one of two uint16, one of one string.
    const std::string nested =
        GgufBuilder::bytes_of(std::uint32_t{9}) + GgufBuilder::bytes_of(std::uint64_t{2}) +
        GgufBuilder::bytes_of(std::uint32_t{2}) + GgufBuilder::bytes_of(std::uint64_t{2}) +
        std::string(4, 'x') + GgufBuilder::bytes_of(std::uint32_t{8}) +
        GgufBuilder::bytes_of(std::uint64_t{1}) + GgufBuilder::string_bytes("inner");
    builder.add_raw("nested", 9, nested);
    builder.add_uint32("after", 42);
    const std::string bytes = builder.build();
    const GgufFile file(as_bytes(bytes), "f");
    EXPECT_THAT(*file.find_strings("words"), ElementsAre("a", "", "long word"));
    EXPECT_THAT(*file.find_ints("numbers"), ElementsAre(3, -4));
    EXPECT_EQ(file.find_int("after"), 42);
}

TEST(GgufFile, PlacesTensorsInVersions2And3) {
    for (const std::uint32_t version : {2U, 3U}) {
        GgufBuilder builder = good();
        builder.version = version;
        const std::string bytes = builder.build();
        const GgufFile file(as_bytes(bytes), "f");
        EXPECT_EQ(file.version(), version);
        const GgufTensor* b = file.find_tensor("b");
        ASSERT_NE(b, nullptr);
        EXPECT_THAT(b->dims, ElementsAre(3));
        float values[3];
        ASSERT_EQ(b->bytes.size(), sizeof values);
        std::memcpy(values, b->bytes.data(), sizeof values);
        EXPECT_THAT(values, ElementsAre(9, 10, 11));
        EXPECT_EQ(file.find_tensor("c"), nullptr);
    }
}

TEST(GgufFile, HonoursTheAlignmentKey) {
    GgufBuilder builder = good();
    builder.alignment = 128;
    builder.add_uint32("general.alignment", 128);
    const std::string bytes = builder.build();
    const GgufFile file(as_bytes(bytes), "f");
    float first = 0;
    std::memcpy(&first, file.find_tensor("b")->bytes.data(), sizeof first);
    EXPECT_EQ(first, 9);
}

TEST(GgufFile, RefusesAlignmentThatIsNoPowerOfTwo) {
    for (const std::uint32_t alignment : {0U, 4U, 48U, 1U << 31}) {
        GgufBuilder builder = good();
        builder.add_uint32("general.alignment", alignment);
        EXPECT_THAT(parse_error(builder.build()), HasSubstr("general.alignment is"));
    }
}

TEST(GgufFile, RefusesWrongMagicAndVersions) {
    GgufBuilder builder = good();
    builder.magic = "GGML";
    EXPECT_THAT(parse_error(builder.build()), HasSubstr("begins with 'GGML', expected 'GGUF'"));
    EXPECT_THAT(parse_error("PK"), HasSubstr("begins with 'PK', expected 'GGUF'"));
    builder = good();
    builder.version = 4;
    EXPECT_THAT(parse_error(builder.build()), HasSubstr("is GGUF version 4, newer than"));
    builder.version = 1;
    EXPECT_THAT(parse_error(builder.build()), HasSubstr("is GGUF version 1, older than"));
    builder.version = 0x03000000;
    EXPECT_THAT(parse_error(builder.build()), HasSubstr("big-endian"));
}

TEST(GgufFile, RefusesEveryTruncation) {
    const std::string whole = good().build();
    ASSERT_EQ(parse_error(whole), "");
    for (std::size_t size = 0; size < whole.size(); ++size) {
        EXPECT_NE(parse_error(whole.substr(0, size)), "") << "cut to " << size << " bytes";
    }
}

TEST(GgufFile, RefusesHugeCounts) {
    for (const std::int64_t extra :
         {std::int64_t{100}, std::int64_t{1} << 40, std::numeric_limits<std::int64_t>::max()}) {
        GgufBuilder builder = good();
        builder.extra_tensors = extra;
        EXPECT_THAT(parse_error(builder.build()), HasSubstr("tensors, which"));
        builder = good();
        builder.extra_values = extra;
        EXPECT_THAT(parse_error(builder.build()), HasSubstr("metadata values, which"));
    }
}

TEST(GgufFile, RefusesStringsAndArraysLongerThanTheFile) {
    for (const std::uint64_t length :
         {std::uint64_t{1000}, ~std::uint64_t{0}, std::uint64_t{1} << 61}) {
        GgufBuilder builder = good();
        builder.add_raw("text", 8, GgufBuilder::bytes_of(length) + "abc");
        EXPECT_THAT(parse_error(builder.build()), HasSubstr("metadata 'text'"));
        for (const std::uint32_t element : {0U, 4U, 8U, 9U, 12U}) {
            builder = good();
            builder.add_raw("list", 9,
                            GgufBuilder::bytes_of(element) + GgufBuilder::bytes_of(length));
            EXPECT_THAT(parse_error(builder.build()), HasSubstr("metadata 'list'"));
        }
    }
}

TEST(GgufFile, RefusesBottomlessNesting) {
    std::string nested;
    for (int depth = 0; depth < 100; ++depth) {
        nested += GgufBuilder::bytes_of(std::uint32_t{9}) + GgufBuilder::bytes_of(std::uint64_t{1});
    }
    GgufBuilder builder = good();
    builder.add_raw("deep", 9, nested + std::string(100, '\0'));
    EXPECT_THAT(parse_error(builder.build()), HasSubstr("nests arrays deeper"));
}

TEST(GgufFile, RefusesUnknownValueTypesAndBadBools) {
    GgufBuilder builder = good();
    builder.add_raw("odd", 13, "12345678");
    EXPECT_THAT(parse_error(builder.build()), HasSubstr("metadata 'odd' has value type 13"));
    builder = good();
    builder.add_raw("flag", 7, "\x02");
    EXPECT_THAT(parse_error(builder.build()), HasSubstr("bool of value 2"));
}

TEST(GgufFile, NamesTensorAndNumberOfAnUnknownElementType) {
    for (const std::uint32_t type : {4U, 20U, 31U, 0xFFFFFFFFU}) {
        GgufBuilder builder = good();
        builder.tensor("b").type = type;
        EXPECT_THAT(parse_error(builder.build()),
                    HasSubstr("tensor 'b' has element type " + std::to_string(type)));
    }
}

TEST(GgufFile, RefusesTensorsOutsideTheFile) {
    GgufBuilder builder = good();
    builder.tensor("b").offset_shift = 1 << 20;
    EXPECT_THAT(parse_error(builder.build()), HasSubstr("tensor 'b' needs 12 bytes"));
    builder.tensor("b").offset_shift = std::numeric_limits<std::int64_t>::max() - 63;
    EXPECT_NE(parse_error(builder.build()), "");
    builder = good();
    builder.tensor("b").dims = {1000};
    EXPECT_THAT(parse_error(builder.build()), HasSubstr("tensor 'b' needs 4000 bytes"));
    builder = good();
    builder.tensor("b").offset_shift = 4;
    EXPECT_THAT(parse_error(builder.build()), HasSubstr("expected a multiple of 32"));
}

TEST(GgufFile, RefusesOverlappingTensors) {
    GgufBuilder builder = good();
    builder.tensor("b").offset_shift = -32;
    EXPECT_THAT(parse_error(builder.build()), HasSubstr("tensors 'a' and 'b' overlap"));
}

TEST(GgufFile, RefusesDimensionsThatOverflow) {
    GgufBuilder builder = good();
    builder.tensor("a").dims = {1ULL << 32, 1ULL << 32, 1ULL << 32};
    EXPECT_THAT(parse_error(builder.build()), HasSubstr("the size of tensor 'a' exceeds 64 bits"));
    // 2^62 elements of 4 bytes: the product wraps to 0.
    builder.tensor("a").dims = {1ULL << 31, 1ULL << 31};
    EXPECT_THAT(parse_error(builder.build()), HasSubstr("the size of tensor 'a' exceeds 64 bits"));
    builder.tensor("a").dims = {~0ULL};
    EXPECT_THAT(parse_error(builder.build()), HasSubstr("dimension 0 of tensor 'a'"));
    builder.tensor("a").dims = {4, 0};
    EXPECT_THAT(parse_error(builder.build()), HasSubstr("dimension 1 of tensor 'a' is 0"));
    builder.tensor("a").dims = {1, 1, 1, 1, 1};
    EXPECT_THAT(parse_error(builder.build()), HasSubstr("has 5 dimensions"));
    builder.tensor("a").dims = {};
    EXPECT_THAT(parse_error(builder.build()), HasSubstr("has 0 dimensions"));
}

TEST(GgufFile, RefusesRowsThatAreNoWholeBlocks) {
    GgufBuilder builder;
    builder.add_tensor("q", DType::kQ4_0, {48, 1}, std::string(36, '\0'));
    EXPECT_THAT(parse_error(builder.build()),
                HasSubstr("rows of tensor 'q' have 48 elements, expected a multiple of 32 (Q4_0)"));
}

TEST(GgufFile, RefusesDuplicates) {
    GgufBuilder builder = good();
    builder.add_uint32("count", 8);
    EXPECT_THAT(parse_error(builder.build()), HasSubstr("metadata 'count' stands twice"));
    builder = good();
    builder.add_tensor("a", {1}, {0});
    EXPECT_THAT(parse_error(builder.build()), HasSubstr("tensor 'a' stands twice"));
}

TEST(GgufFile, SaysWhichTypeAValueHas) {
    const std::string bytes = good().build();
    const GgufFile file(as_bytes(bytes), "f");
    try {
        (void)file.need_int("name");
        FAIL();
    } catch (const Error& error) {
        EXPECT_STREQ(error.what(), "'f': metadata 'name' is string, expected an integer");
    }
    EXPECT_THROW((void)file.find_string("count"), Error);
    EXPECT_THROW((void)file.find_strings("name"), Error);
    EXPECT_THROW((void)file.find_bool("count"), Error);
    EXPECT_THROW((void)file.need_string("absent"), Error);
}

TEST(GgufFile, MessagesStayOneLineWhateverTheFileSays) {
    EXPECT_EQ(printable("a\nb\x80"), "a\\x0ab\\x80");
    EXPECT_EQ(printable(std::string(1000, 'x')).size(), 64U + 3);
}

}  // namespace
}  // namespace hc::model
