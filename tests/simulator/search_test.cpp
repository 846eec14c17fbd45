// Points, shards, merging, goals and the tuner.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <map>
#include <random>
#include <sstream>

#include "engine/core/error.h"
#include "fake_recording.h"
#include "simulator/search/goal.h"
#include "simulator/search/point.h"
#include "simulator/search/result_file.h"
#include "simulator/search/shard.h"
#include "simulator/search/tune.h"
#include "tests/support/paths.h"

namespace hc::sim {
namespace {

using testing::HasSubstr;

const Identity kIdentity{std::string(32, 'a'), "test"};

Simulator simulator() {
    test::FakeOptions options;
    options.settings = test::fake_settings();
    trace::RunData run = test::fake_run(options);
    trace::RunData attention = run;
    return Simulator(std::move(run), std::move(attention), {}, test::fake_values());
}

std::vector<Scenario> grid() {
    std::vector<Scenario> out;
    for (const double ratio : {0.42, 0.5, 0.6, 0.7, 0.95}) {
        for (const double threshold : {0.4, 0.7, 0.8}) {
            Scenario s;
            s.ratio = ratio;
            s.stable_threshold = threshold;
            out.push_back(s);
        }
    }
    return out;
}

std::string read_text(const std::filesystem::path& file) {
    std::ifstream in(file, std::ios::binary);
    std::ostringstream text;
    text << in.rdbuf();
    return text.str();
}

template <typename Body>
std::string error_of(const Body& body) {
    try {
        body();
    } catch (const Error& error) {
        return error.what();
    }
    return "no error";
}

void sweep(const Simulator& sim, const std::vector<Scenario>& points, const Shard& shard,
           const std::filesystem::path& file, int threads = 1) {
    const auto [first, last] = range_of(shard, points.size());
    ResultFile results(file);
    NoProgress progress;
    answer_all(sim, kIdentity,
               {points.begin() + static_cast<std::ptrdiff_t>(first),
                points.begin() + static_cast<std::ptrdiff_t>(last)},
               threads, results, progress);
}

TEST(Sweep, MergesToTheSameBytesForAnyNumberOfShardsAndThreads) {
    const hc::test::TemporaryFolder folder;
    const Simulator sim = simulator();
    const std::vector<Scenario> points = grid();
    std::string expected;
    for (const std::size_t count : {1U, 2U, 7U, 64U}) {
        std::vector<std::filesystem::path> files;
        // Backwards: the order of files must not matter either.
        for (std::size_t i = count; i-- > 0;) {
            files.push_back(folder.path() / (std::to_string(count) + "-" + std::to_string(i)));
            sweep(sim, points, {i, count}, files.back(), count == 2 ? 3 : 1);
        }
        const std::string merged = merge_points(files);
        if (expected.empty()) expected = merged;
        EXPECT_EQ(merged, expected) << count;
    }
    EXPECT_EQ(std::count(expected.begin(), expected.end(), '\n'),
              static_cast<std::ptrdiff_t>(points.size()));
    EXPECT_THAT(expected, HasSubstr("\"refused\":\"ratio 0.95 needs"));
}

TEST(Sweep, AKilledShardGoesOnWhereItWas) {
    const hc::test::TemporaryFolder folder;
    const Simulator sim = simulator();
    const std::vector<Scenario> points = grid();
    const std::filesystem::path whole = folder.path() / "whole";
    const std::filesystem::path torn = folder.path() / "torn";
    sweep(sim, points, {0, 1}, whole);
    const std::string text = read_text(whole);
    for (const std::size_t cut : {std::size_t{0}, std::size_t{1}, text.size() / 3, text.size() / 2,
                                  text.size() - 1, text.size()}) {
        std::ofstream(torn, std::ios::binary) << text.substr(0, cut);
        if (cut > 0 && cut < text.size() && text[cut - 1] != '\n' && cut > 200) {
            EXPECT_THAT(error_of([&] { (void)merge_points({torn}); }), HasSubstr("run it again"));
        }
        if (cut == 1) continue;  // too little to tell whose file it is
        sweep(sim, points, {0, 1}, torn);
        EXPECT_EQ(merge_points({torn}), merge_points({whole})) << cut;
        EXPECT_EQ(read_text(torn).size(), text.size()) << cut;
    }
}

TEST(Sweep, FilesThatAreSomethingElseAreLeftAlone) {
    const hc::test::TemporaryFolder folder;
    const std::filesystem::path file = folder.path() / "notes";
    for (const std::string content :
         {"dear diary", "dear diary\n", "{}\n", "[1,2]\n", "{\"key\":1}\n"}) {
        std::ofstream(file, std::ios::binary) << content;
        EXPECT_NE(error_of([&] { ResultFile results(file); }), "no error") << content;
        EXPECT_EQ(read_text(file), content);
    }
}

TEST(Sweep, TwoProcessesDoNotWriteOneFile) {
    const hc::test::TemporaryFolder folder;
    const ResultFile first(folder.path() / "points");
    EXPECT_THAT(error_of([&] { ResultFile second(folder.path() / "points"); }),
                HasSubstr("another process"));
}

TEST(Sweep, MergingRefusesContradictionsAndOtherTraces) {
    const hc::test::TemporaryFolder folder;
    const Simulator sim = simulator();
    Point point = answer(sim, kIdentity, grid().front());
    const auto write = [&](const char* name, const Point& p) {
        std::ofstream(folder.path() / name, std::ios::binary) << line_of(p) << "\n";
        return folder.path() / name;
    };
    const auto good = write("good", point);
    EXPECT_EQ(merge_points({good, good}), line_of(point) + "\n");
    Point other = point;
    other.figures->triggers += 1;
    EXPECT_THAT(error_of([&] {
                    (void)merge_points({good, write("other", other)});
                }),
                HasSubstr("another answer"));
    other = point;
    other.trace = std::string(32, 'b');
    EXPECT_THAT(error_of([&] {
                    (void)merge_points({good, write("trace", other)});
                }),
                HasSubstr("another trace"));
}

TEST(Point, SurvivesHostileLines) {
    const Simulator sim = simulator();
    const std::string line = line_of(answer(sim, kIdentity, grid().front()));
    EXPECT_EQ(line_of(parse_point(line, "here")), line);
    std::mt19937 random(5);
    for (int i = 0; i < 3000; ++i) {
        std::string broken = line;
        for (unsigned n = 1 + random() % 4; n > 0; --n) {
            broken[random() % broken.size()] = static_cast<char>(random() % 256);
        }
        if (random() % 3 == 0) broken.resize(random() % broken.size());
        try {
            (void)line_of(parse_point(broken, "here"));
        } catch (const Error& error) {
            EXPECT_EQ(error.code(), ExitCode::kInput);
        }
    }
}

TEST(Point, KeysDifferWhereQuestionsDo) {
    std::map<std::string, int> keys;
    Scenario s;
    ++keys[key_of(kIdentity, s)];
    s.ratio = 0.5;
    ++keys[key_of(kIdentity, s)];
    s.batch = 2;
    ++keys[key_of(kIdentity, s)];
    s.machine = find_machine("h200-sxm");
    ++keys[key_of(kIdentity, s)];
    s.machine->values.front().number += 1;
    ++keys[key_of(kIdentity, s)];
    ++keys[key_of({kIdentity.trace, "other run"}, s)];
    ++keys[key_of({std::string(32, 'b'), "test"}, s)];
    EXPECT_EQ(keys.size(), 7U);
    s.label = "a label is no question";
    EXPECT_EQ(key_of({std::string(32, 'b'), "test"}, s).size(), 32U);
    EXPECT_EQ(keys.count(key_of({std::string(32, 'b'), "test"}, s)), 1U);
}

// ---- shards ----

std::optional<Shard> shard_in(const std::map<std::string, std::string>& variables) {
    return shard_of_environment([&](const char* name) -> std::optional<std::string> {
        const auto found = variables.find(name);
        if (found == variables.end()) return std::nullopt;
        return found->second;
    });
}

void expect_shard(const std::optional<Shard>& shard, std::size_t index, std::size_t count) {
    ASSERT_TRUE(shard.has_value());
    EXPECT_EQ(shard->index, index);
    EXPECT_EQ(shard->count, count);
}

TEST(Shard, IsTakenFromSlurmAndMpi) {
    EXPECT_FALSE(shard_in({}).has_value());
    expect_shard(shard_in({{"OMPI_COMM_WORLD_RANK", "3"}, {"OMPI_COMM_WORLD_SIZE", "4"}}), 3, 4);
    expect_shard(shard_in({{"PMI_RANK", "0"}, {"PMI_SIZE", "2"}}), 0, 2);
    expect_shard(shard_in({{"SLURM_PROCID", "1"}, {"SLURM_NTASKS", "3"}}), 1, 3);
    const std::map<std::string, std::string> array = {{"SLURM_ARRAY_TASK_ID", "20"},
                                                      {"SLURM_ARRAY_TASK_COUNT", "4"},
                                                      {"SLURM_ARRAY_TASK_MIN", "10"},
                                                      {"SLURM_ARRAY_TASK_MAX", "40"}};
    expect_shard(shard_in(array), 1, 4);
    auto both = array;
    both["SLURM_PROCID"] = "2";
    both["SLURM_NTASKS"] = "3";
    expect_shard(shard_in(both), 5, 12);
    auto uneven = array;
    uneven["SLURM_ARRAY_TASK_MAX"] = "41";
    EXPECT_THAT(error_of([&] { (void)shard_in(uneven); }), HasSubstr("evenly"));
    EXPECT_THAT(error_of([] {
                    (void)shard_in({{"OMPI_COMM_WORLD_RANK", "4"}, {"OMPI_COMM_WORLD_SIZE", "4"}});
                }),
                HasSubstr("no rank"));
    EXPECT_THAT(error_of([] {
                    (void)shard_in({{"PMI_RANK", "x"}, {"PMI_SIZE", "4"}});
                }),
                HasSubstr("whole number"));
}

TEST(Shard, PartsCoverEveryPointOnce) {
    for (const std::size_t points : {0U, 1U, 5U, 1000U}) {
        for (const std::size_t count : {1U, 3U, 64U}) {
            std::size_t next = 0;
            for (std::size_t i = 0; i < count; ++i) {
                const auto [first, last] = range_of({i, count}, points);
                EXPECT_EQ(first, next);
                EXPECT_LE(first, last);
                next = last;
            }
            EXPECT_EQ(next, points);
        }
    }
}

TEST(Shard, ParsesWhatPeopleType) {
    EXPECT_EQ(parse_shard("2/8").index, 1U);
    EXPECT_EQ(parse_shard("8/8").count, 8U);
    for (const char* wrong : {"", "2", "0/8", "9/8", "1/0", "-1/2", "1/2/3", "a/b", "1/ 2"}) {
        EXPECT_THROW((void)parse_shard(wrong), Error) << wrong;
    }
}

// ---- goals ----

Figures figures(double p99, double memory, double recall) {
    Figures f;
    f.step_p99_ns.value = p99;
    f.kv_pool_bytes = static_cast<std::int64_t>(memory);
    f.recall = analysis::RecallInterval{recall, recall};
    return f;
}

TEST(Goal, LimitsComeBeforeTheObjective) {
    Goal goal;
    goal.limits = {{Metric::kMemory, 100}, {Metric::kRecall, 0.9}};
    EXPECT_EQ(goal.missed(figures(5, 100, 0.9)), 0);
    EXPECT_NEAR(goal.missed(figures(5, 150, 0.81)), 0.5 + 0.1, 1e-12);
    EXPECT_TRUE(goal.better(figures(9, 90, 0.95), figures(1, 101, 0.99)));
    EXPECT_TRUE(goal.better(figures(1, 90, 0.95), figures(2, 10, 0.99)));
    EXPECT_TRUE(goal.better(figures(1, 90, 0.96), figures(1, 90, 0.95)));
    EXPECT_FALSE(goal.better(figures(1, 90, 0.95), figures(1, 90, 0.95)));
    Figures unknown = figures(1, 90, 0.95);
    unknown.recall.reset();
    EXPECT_EQ(goal.missed(unknown), 1);
}

TEST(Goal, TheParetoFrontIsWhatNobodyBeats) {
    std::mt19937 random(11);
    for (int round = 0; round < 50; ++round) {
        std::vector<Figures> points;
        for (int i = 0; i < 60; ++i) {
            points.push_back(figures(random() % 12, random() % 12, random() % 12));
        }
        const auto dominated = [&](std::size_t i) {
            for (std::size_t j = 0; j < points.size(); ++j) {
                const Figures& a = points[j];
                const Figures& b = points[i];
                const bool no_worse = a.step_p99_ns.value <= b.step_p99_ns.value &&
                                      a.kv_pool_bytes <= b.kv_pool_bytes &&
                                      a.recall->low >= b.recall->low;
                const bool better = a.step_p99_ns.value < b.step_p99_ns.value ||
                                    a.kv_pool_bytes < b.kv_pool_bytes ||
                                    a.recall->low > b.recall->low;
                if (no_worse && better) return true;
            }
            return false;
        };
        std::vector<std::size_t> expected;
        for (std::size_t i = 0; i < points.size(); ++i) {
            if (!dominated(i)) expected.push_back(i);
        }
        EXPECT_EQ(pareto_front(points, {Metric::kStepP99, Metric::kMemory, Metric::kRecall}),
                  expected);
    }
}

// ---- tuning ----

/// The recall of one of the grid's points is asked for, so that some reach it and some do not.
TuneOptions tune_options(const Simulator& sim) {
    Scenario middle;
    middle.ratio = 0.6;
    middle.stable_threshold = 0.7;
    TuneOptions options;
    options.goal.metric = Metric::kMemory;
    options.goal.limits = {{Metric::kRecall, sim.figures(middle).recall->low}};
    options.grid = grid();
    options.head_trials = 0;
    return options;
}

TEST(Tune, ChoosesTheBestOfTheGrid) {
    const hc::test::TemporaryFolder folder;
    const Simulator sim = simulator();
    const TuneOptions options = tune_options(sim);
    ResultFile results(folder.path() / "points");
    NoProgress progress;
    const TuneResult result = tune(sim, kIdentity, options, results, progress);
    EXPECT_EQ(result.refused, 3);
    EXPECT_EQ(result.points.size(), 12U);
    ASSERT_TRUE(result.keeps_limits);
    for (const Candidate& point : result.points) {
        EXPECT_FALSE(options.goal.better(point.figures, result.best.figures));
    }
    EXPECT_THAT(result.front, testing::Contains(result.ranking.front()));
}

TEST(Tune, SharesAmongHeadsSaveMemoryAtTheSameRecall) {
    const hc::test::TemporaryFolder folder;
    const Simulator sim = simulator();
    TuneOptions options = tune_options(sim);
    NoProgress progress;
    ResultFile results(folder.path() / "points");
    const TuneResult grid_only = tune(sim, kIdentity, options, results, progress);
    options.head_trials = 150;
    const TuneResult searched = tune(sim, kIdentity, options, results, progress);
    EXPECT_TRUE(searched.keeps_limits);
    EXPECT_TRUE(searched.heads_changed);
    EXPECT_TRUE(options.goal.better(searched.best.figures, grid_only.best.figures));
    // The answer is the simulator's own.
    const Figures again = figures_of(sim.figures(searched.best.scenario));
    EXPECT_EQ(again.kv_pool_bytes, searched.best.figures.kv_pool_bytes);
    EXPECT_EQ(again.recall->low, searched.best.figures.recall->low);
}

TEST(Tune, GoesOnFromAnswersThatAreThere) {
    const hc::test::TemporaryFolder folder;
    const Simulator sim = simulator();
    TuneOptions options = tune_options(sim);
    options.head_trials = 40;
    NoProgress progress;
    std::size_t answers = 0;
    std::string chosen;
    {
        ResultFile results(folder.path() / "points");
        const TuneResult first = tune(sim, kIdentity, options, results, progress);
        chosen = question_json(first.best.scenario);
        answers = results.size();
    }
    ResultFile results(folder.path() / "points");
    EXPECT_EQ(results.size(), answers);
    const TuneResult second = tune(sim, kIdentity, options, results, progress);
    EXPECT_EQ(question_json(second.best.scenario), chosen);
    EXPECT_EQ(results.size(), answers) << "an answer that was there was asked for again";
}

TEST(Tune, SharesByCurvesKeepTheBudgetAndRaiseRecall) {
    const Simulator sim = simulator();
    Scenario scenario;
    scenario.ratio = 0.5;
    scenario.retrieval = false;
    const auto shares = shares_by_curves(sim, scenario);
    ASSERT_NE(shares, nullptr);
    const double before = sim.figures(scenario).recall->low;
    scenario.heads = shares;
    const Prediction after = sim.figures(scenario);
    EXPECT_GE(after.recall->low, before);
    double sum = 0;
    std::int64_t count = 0;
    for (std::size_t i = 0; i < shares->size(); ++i) {
        if (is_full(shares->roles[i])) continue;
        sum += shares->ratios[i];
        ++count;
    }
    EXPECT_NEAR(sum / static_cast<double>(count), 1, 0.02);
}

}  // namespace
}  // namespace hc::sim
