// A good file damaged in thousands of seeded ways: it loads or is refused, never anything else.
#include <gtest/gtest.h>
#include <random>

#include "gguf_cases.h"
#include "tests/support/tiny_model.h"

namespace hc::model {
namespace {

constexpr std::uint64_t kInteresting[] = {
    0, 1, 0x7F, 0xFF, 0x7FFFFFFF, 0xFFFFFFFF, 0x7FFFFFFFFFFFFFFF, 0xFFFFFFFFFFFFFFFF};

std::string small_file() {
    test::TinyModelOptions options;
    options.layers = 1;
    options.hidden = 32;
    options.heads = 2;
    options.kv_heads = 1;
    options.mlp = 32;
    options.vocab = 262;
    return test::tiny_model(options).build();
}

void damage(std::string& file, std::mt19937_64& random) {
    const std::size_t header = GgufFile(as_bytes(file), "m").header().size();
    const std::size_t changes = 1 + random() % 4;
    for (std::size_t i = 0; i < changes; ++i) {
        const std::size_t at = random() % header;
        switch (random() % 3) {
            case 0:
                file[at] = static_cast<char>(random());
                break;
            case 1:
                file[at] = static_cast<char>(file[at] ^ (1 << (random() % 8)));
                break;
            default: {
                const std::uint64_t value = kInteresting[random() % std::size(kInteresting)];
                const std::size_t size = std::size_t{1} << (random() % 4);
                if (size <= file.size() - at) std::memcpy(file.data() + at, &value, size);
            }
        }
    }
}

TEST(GgufMutation, DamagedHeadersLoadOrAreRefused) {
    const std::string good = small_file();
    ASSERT_EQ(load_error(good), "");
    std::mt19937_64 random(7);
    int refused = 0;
    for (int round = 0; round < 3000; ++round) {
        std::string file = good;
        damage(file, random);
        if (!load_error(file).empty()) ++refused;
    }
    EXPECT_GT(refused, 500);
    EXPECT_LT(refused, 3000);  // damage to a filler's name, say, does no harm
}

TEST(GgufMutation, TruncatedFilesAreRefused) {
    const std::string good = small_file();
    std::mt19937_64 random(8);
    for (int round = 0; round < 1000; ++round) {
        EXPECT_NE(load_error(good.substr(0, random() % good.size())), "");
    }
}

TEST(GgufMutation, RemovedAndRepeatedStretchesLoadOrAreRefused) {
    const std::string good = small_file();
    std::mt19937_64 random(9);
    int refused = 0;
    for (int round = 0; round < 1000; ++round) {
        std::string file = good;
        const std::size_t at = random() % (file.size() / 2);
        const std::size_t size = 1 + random() % 64;
        if (round % 2 == 0) {
            file.erase(at, size);
        } else {
            file.insert(at, file.substr(at, size));
        }
        if (!load_error(file).empty()) ++refused;
    }
    EXPECT_GT(refused, 500);
}

}  // namespace
}  // namespace hc::model
