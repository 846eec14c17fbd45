// Texts of the NVTX convention: what they give, and that nothing they hold can do harm.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>
#include <string>

#include "profiler/retrieval/convention.h"

namespace hc::retrieval {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

Message good(std::string_view text, std::optional<std::int64_t> payload = std::nullopt) {
    const Parsed parsed = parse_message(text, payload);
    EXPECT_TRUE(parsed.message) << text << ": " << parsed.problem;
    EXPECT_THAT(parsed.unknown_fields, IsEmpty());
    return parsed.message.value_or(Message{});
}

std::string problem(std::string_view text) {
    const Parsed parsed = parse_message(text, std::nullopt);
    EXPECT_FALSE(parsed.message) << text;
    return parsed.problem;
}

TEST(Convention, GivesEveryFieldOfACheck) {
    const Message m = good(
        "check id=7 step=12 layer=3 head=1 seq=2 base=64 overlaps=0.25,0.5 "
        "median=0.375 threshold=0.5 triggered=1");
    EXPECT_EQ(m.kind, MessageKind::kCheck);
    EXPECT_EQ(m.op, OpKind::kDriftTopk);
    EXPECT_EQ(m.id, 7);
    EXPECT_EQ(m.step, 12);
    EXPECT_EQ(m.layer, 3);
    EXPECT_EQ(m.head, 1);
    EXPECT_EQ(m.sequence, 2);
    EXPECT_EQ(m.base, 64);
    EXPECT_THAT(m.overlaps, ElementsAre(0.25, 0.5));
    EXPECT_EQ(m.median, 0.375);
    EXPECT_EQ(m.threshold, 0.5);
    EXPECT_EQ(m.triggered, true);
    EXPECT_FALSE(m.check);
}

TEST(Convention, GivesEveryFieldOfAFetchAndOfARun) {
    const Message f = good(
        "fetch id=1 check=7 layer=3 rows=512 wanted=600 runs=4 bytes=1048576 "
        "way=gather due=13 superseded=0");
    EXPECT_EQ(f.kind, MessageKind::kFetch);
    EXPECT_EQ(f.check, 7);
    EXPECT_EQ(f.rows, 512);
    EXPECT_EQ(f.wanted, 600);
    EXPECT_EQ(f.pieces, 4);
    EXPECT_EQ(f.bytes, 1048576);
    EXPECT_EQ(f.way, FetchWay::kGather);
    EXPECT_EQ(f.due, 13);
    EXPECT_EQ(f.superseded, false);
    const Message r = good("run name=infinigen model=llama window=8 lag=1 prompt=4096 batch=2");
    EXPECT_EQ(r.kind, MessageKind::kRun);
    EXPECT_EQ(r.name, "infinigen");
    EXPECT_EQ(r.model, "llama");
    EXPECT_EQ(r.window, 8);
    EXPECT_EQ(r.lag, 1);
    EXPECT_EQ(r.prompt, 4096);
    EXPECT_EQ(r.batch, 2);
    EXPECT_EQ(good("step id=3 phase=prefill").phase, Phase::kPrefill);
}

TEST(Convention, APayloadIsTheIdThatTheTextDoesNotGive) {
    EXPECT_EQ(good("step", 12).id, 12);
    EXPECT_EQ(good("fetch", 5).id, 5);
    EXPECT_EQ(good("fetch id=4", 5).id, 4);
    EXPECT_THAT(good("commit", 5).fetches, ElementsAre(5));
    EXPECT_THAT(good("use fetch=1,2", 5).fetches, ElementsAre(1, 2));
    EXPECT_FALSE(good("step", -1).id) << "an id is never negative";
}

TEST(Convention, NamesOfTheEnginesOperationsAreKinds) {
    const Message m = good("  attention   layer=4 ");
    EXPECT_EQ(m.kind, MessageKind::kOperation);
    EXPECT_EQ(m.op, OpKind::kAttention);
    EXPECT_EQ(m.layer, 4);
}

TEST(Convention, UnknownFieldsAreNamedAndDoNotSpoilTheRest) {
    const Parsed parsed = parse_message("fetch id=1 colour=red layer=2", std::nullopt);
    ASSERT_TRUE(parsed.message);
    EXPECT_EQ(parsed.message->layer, 2);
    EXPECT_THAT(parsed.unknown_fields, ElementsAre("colour"));
}

TEST(Convention, WrongTextsAreProblemsThatSayWhat) {
    EXPECT_THAT(problem(""), HasSubstr("unknown kind ''"));
    EXPECT_THAT(problem("fetches id=1"), HasSubstr("unknown kind 'fetches'"));
    for (const char* text :
         {"fetch id=", "fetch id", "fetch id=-1", "fetch id=1x", "fetch id=99999999999999999999",
          "fetch layer=2000000", "fetch way=pigeon", "fetch superseded=maybe", "check median=nan",
          "check median=inf", "check overlaps=", "check overlaps=1,,2", "commit fetch=1,",
          "step phase=lunch", "run name="}) {
        EXPECT_THAT(problem(text), HasSubstr("is no value of")) << text;
    }
    EXPECT_THAT(problem("check overlaps=" + std::string(4000, '1') + "x"), HasSubstr("overlaps"));
    std::string many = "check overlaps=1";
    for (int i = 0; i < 2000; ++i) many += ",1";
    EXPECT_THAT(problem(many), HasSubstr("overlaps"));
}

TEST(Convention, AnyBytesAtAllAreSurvived) {
    std::mt19937 random(7);
    const std::string words[] = {"fetch", "check",     "step",   "use", "commit", " ",
                                 "=",     "id=",       ",",      "1",   "-",      "9",
                                 "\xff",  "overlaps=", "fetch=", "\n"};
    for (int round = 0; round < 20'000; ++round) {
        std::string text;
        for (auto n = random() % 12; n > 0; --n) {
            text += random() % 4 == 0 ? std::string(1, static_cast<char>(random()))
                                      : words[random() % std::size(words)];
        }
        const Parsed parsed = parse_message(text, static_cast<std::int64_t>(random()) - (1 << 30));
        EXPECT_NE(parsed.message.has_value(), !parsed.problem.empty()) << text;
    }
}

}  // namespace
}  // namespace hc::retrieval
