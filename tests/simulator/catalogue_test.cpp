#include "simulator/hardware/catalogue.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <set>

#include "engine/core/error.h"
#include "simulator/hardware/machine_json.h"
#include "tests/support/paths.h"

namespace hc::sim {
namespace {

using testing::HasSubstr;

std::string message_of(const std::string& text) {
    try {
        (void)parse_machine(text, "m.json");
    } catch (const Error& error) {
        EXPECT_EQ(error.code(), ExitCode::kInput);
        return error.what();
    }
    return "accepted";
}

std::string machine_text(const std::string& value) {
    return R"({"format":"hcprof-machine","version":1,"id":"x","name":"X","kind":"cpu","values":[)" +
           value + "]}";
}

constexpr const char* kValue =
    R"({"name":"read_bandwidth_GBps","number":40,"unit":"GB/s","origin":"measured","source":"s"})";

TEST(Catalogue, GivesEveryNumberAUnitAnOriginAndASource) {
    ASSERT_GE(catalogue().size(), 30U);
    std::set<std::string> ids;
    for (const MachineSpec& machine : catalogue()) {
        EXPECT_TRUE(ids.insert(machine.id).second) << machine.id;
        EXPECT_FALSE(machine.values.empty()) << machine.id;
        for (const trace::Value& value : machine.values) {
            EXPECT_GT(value.number, 0) << machine.id << " " << value.name;
            EXPECT_FALSE(value.unit.empty()) << machine.id << " " << value.name;
            EXPECT_GE(value.source.size(), 4U) << machine.id << " " << value.name;
            EXPECT_NE(value.origin, trace::ValueOrigin::kFitted) << machine.id;
            const bool listed =
                std::any_of(value_names().begin(), value_names().end(),
                            [&](const ValueName& name) { return name.name == value.name; });
            EXPECT_TRUE(listed) << value.name;
        }
    }
}

TEST(Catalogue, IsMadeOfTheShippedFiles) {
    std::size_t count = 0;
    for (const char* name : {"gpus.json", "cpus.json", "links.json"}) {
        std::ifstream file(test::source_dir() / "simulator/hardware/machines" / name);
        ASSERT_TRUE(file) << name;
        const std::string text{std::istreambuf_iterator<char>(file), {}};
        for (const MachineSpec& machine : parse_machines(text, name)) {
            EXPECT_EQ(to_json(find_machine(machine.id)), to_json(machine));
            ++count;
        }
    }
    EXPECT_EQ(count, catalogue().size());
}

TEST(Catalogue, EveryCpuCanBePredictedForOrIsALink) {
    std::size_t cpus = 0;
    std::size_t links = 0;
    for (const MachineSpec& machine : catalogue()) {
        if (machine.kind == MachineKind::kGpu) continue;
        if (is_link(machine)) {
            ++links;
            EXPECT_GT(machine.require("host_link_GBps"), 0);
        } else {
            ++cpus;
            EXPECT_GT(machine.require("read_bandwidth_GBps"), 0);
            EXPECT_GT(machine.require("cores"), 0);
        }
    }
    EXPECT_GE(cpus, 5U);
    EXPECT_GE(links, 2U);
}

TEST(Catalogue, DerivedCpuFiguresFollowFromTheirSource) {
    const MachineSpec machine = find_machine("epyc-9654");
    EXPECT_DOUBLE_EQ(machine.require("read_bandwidth_GBps"), 12 * 4800 * 8 / 1000.0);
    EXPECT_DOUBLE_EQ(machine.require("fp32_GFLOPs"), 7372.8);
}

TEST(Catalogue, UnknownStaysUnknown) {
    const MachineSpec machine = find_machine("rtx-3090");
    EXPECT_EQ(machine.find("memory_bandwidth_GBps"), nullptr);
    try {
        (void)machine.require("memory_bandwidth_GBps");
        FAIL();
    } catch (const Error& error) {
        EXPECT_EQ(error.code(), ExitCode::kRefused);
        EXPECT_THAT(error.what(), HasSubstr("rtx-3090"));
        EXPECT_THAT(error.what(), HasSubstr("memory_bandwidth_GBps"));
    }
}

TEST(Catalogue, PrefersAMeasurementToADataSheet) {
    EXPECT_DOUBLE_EQ(find_machine("h100-sxm").require("memory_bandwidth_GBps"), 3055);
}

TEST(Catalogue, ListsNearIdsForAnUnknownOne) {
    try {
        (void)find_machine("epyc-9655");
        FAIL();
    } catch (const Error& error) {
        EXPECT_EQ(error.code(), ExitCode::kUsage);
        EXPECT_THAT(error.what(), HasSubstr("epyc-9654"));
    }
    EXPECT_THROW((void)find_machine(""), Error);
}

TEST(MachineJson, RoundTripsThroughAFile) {
    const test::TemporaryFolder folder;
    for (const MachineSpec& machine : catalogue()) {
        const auto path = folder.path() / "machine.json";
        std::ofstream(path) << to_json(machine);
        const MachineSpec read = find_machine(path.string());
        EXPECT_EQ(to_json(read), to_json(machine));
        EXPECT_EQ(read.kind, machine.kind);
    }
}

TEST(MachineJson, NamesWhatIsWrongInAFile) {
    EXPECT_EQ(message_of(machine_text(kValue)), "accepted");
    EXPECT_THAT(message_of(""), HasSubstr("not JSON"));
    EXPECT_THAT(message_of("[]"), HasSubstr("object"));
    EXPECT_THAT(message_of("{}"), HasSubstr("format"));
    EXPECT_THAT(message_of(R"({"format":"other","version":1})"), HasSubstr("'other'"));
    EXPECT_THAT(message_of(R"({"format":"hcprof-machine","version":2})"), HasSubstr("version"));
    EXPECT_THAT(message_of(machine_text(R"({"name":"a"})")), HasSubstr("no 'number'"));
    EXPECT_THAT(message_of(machine_text("7")), HasSubstr("object"));
    const auto with = [](const char* number, const char* unit, const char* origin) {
        return machine_text(std::string(R"({"name":"read_bandwidth_GBps","number":)") + number +
                            R"(,"unit":")" + unit + R"(","origin":")" + origin +
                            R"(","source":"s"})");
    };
    EXPECT_THAT(message_of(with("-1", "GB/s", "measured")), HasSubstr("-1"));
    EXPECT_THAT(message_of(with("1e300", "GB/s", "measured")), HasSubstr("1e+300"));
    EXPECT_THAT(message_of(with("1e999", "GB/s", "measured")), HasSubstr("m.json"));
    EXPECT_THAT(message_of(with("\"40\"", "GB/s", "measured")), HasSubstr("no number"));
    EXPECT_THAT(message_of(with("40", "MB/s", "measured")), HasSubstr("'GB/s'"));
    EXPECT_THAT(message_of(with("40", "GB/s", "guessed")), HasSubstr("'guessed'"));
    EXPECT_THAT(message_of(machine_text(R"({"name":"a","x":1})")), HasSubstr("'x'"));
}

TEST(MachineJson, SurvivesHostileText) {
    const std::string good = machine_text(kValue);
    for (std::size_t length = 0; length < good.size(); ++length) {
        EXPECT_NE(message_of(good.substr(0, length)), "accepted") << length;
    }
    std::string deep(200'000, '[');
    EXPECT_NE(message_of(deep), "accepted");
    deep.append(200'000, ']');
    EXPECT_NE(message_of(deep), "accepted");
    EXPECT_NE(message_of(R"({"format":"hcprof-machine","version":)" + deep + "}"), "accepted");
    EXPECT_THAT(message_of(std::string((std::size_t{4} << 20) + 1, ' ')), HasSubstr("at most"));
    EXPECT_NE(message_of("{\"format\":\"\xff\xfe\"}"), "accepted");
}

TEST(MachineJson, RefusesAFolderAndAMissingFile) {
    const test::TemporaryFolder folder;
    EXPECT_THROW((void)read_machine(folder.path()), Error);
    EXPECT_THROW((void)read_machine(folder.path() / "none.json"), Error);
}

}  // namespace
}  // namespace hc::sim
