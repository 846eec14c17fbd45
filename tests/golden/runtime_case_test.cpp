/// One layer, one sequence, from queries and keys to every decision. The scores are computed
/// here in plain loops, so that the decisions meet an implementation that is not the engine's.
#include <cmath>
#include <map>
#include <string>

#include <gtest/gtest.h>

#include "engine/config/npy.h"
#include "engine/policy/heterocache.h"
#include "golden_cases.h"
#include "tests/support/paths.h"

namespace hc {
namespace {

using test::Json;

std::vector<float> all_of(const config::HalfArray& array) {
    std::size_t count = 1;
    for (const std::int64_t n : array.shape()) count *= static_cast<std::size_t>(n);
    std::vector<float> values(count);
    array.read(0, values);
    return values;
}

/// The profile of config.json: layer 0 is the case; where N and F of the budget formula are
/// larger than its heads, further layers of full heads and anchors of ratio 1 make up for it.
HeadProfile profile_of(const Json& config) {
    HeadProfile profile;
    profile.num_kv_heads = static_cast<std::int32_t>(config.at("roles").size());
    std::int64_t full_left = config.at("n_full_total").get<std::int64_t>();
    for (const Json& role : config["roles"]) {
        profile.roles.push_back(static_cast<HeadRole>(role.get<int>()));
        full_left -= is_full(profile.roles.back()) ? 1 : 0;
    }
    profile.ratios = config.at("allocation").get<std::vector<double>>();
    profile.num_layers = static_cast<std::int32_t>(config.at("n_kv_total").get<std::int64_t>() /
                                                   profile.num_kv_heads);
    const auto size = static_cast<std::size_t>(profile.num_layers * profile.num_kv_heads);
    EXPECT_EQ(size, config["n_kv_total"].get<std::size_t>());
    EXPECT_GE(full_left, 0);
    for (; profile.roles.size() < size; --full_left) {
        profile.roles.push_back(full_left > 0 ? HeadRole::kVolatile : HeadRole::kAnchor);
        profile.ratios.push_back(full_left > 0 ? -1.0 : 1.0);
    }
    profile.stars.resize(static_cast<std::size_t>(profile.num_layers));
    for (const auto& [pivot, members] : config.at("relations").items()) {
        profile.stars[0].push_back({std::stoi(pivot), members.get<std::vector<std::int32_t>>()});
    }
    return profile;
}

class Scores {
public:
    explicit Scores(const std::filesystem::path& folder)
        : k_array_(folder / "k.npy"),
          q_array_(folder / "q.npy"),
          k_(all_of(k_array_)),
          q_(all_of(q_array_)) {}

    [[nodiscard]] std::int64_t prompt() const { return k_array_.shape().at(1); }
    [[nodiscard]] std::int64_t passes() const { return q_array_.shape().at(0); }

    /// algorithm.md §4: softmax, mean of five with zeros outside, maximum over the group.
    [[nodiscard]] std::vector<float> of(std::int64_t pass, std::int32_t head) const {
        const auto tokens = static_cast<std::size_t>(prompt());
        const auto dim = static_cast<std::size_t>(k_array_.shape().at(2));
        const auto num_qo_heads = static_cast<std::size_t>(q_array_.shape().at(1));
        const std::size_t group = num_qo_heads / static_cast<std::size_t>(k_array_.shape().at(0));
        std::vector<float> best(tokens, 0.0F);
        for (std::size_t g = 0; g < group; ++g) {
            const std::size_t q_head = static_cast<std::size_t>(head) * group + g;
            const float* q = &q_[(static_cast<std::size_t>(pass) * num_qo_heads + q_head) * dim];
            const std::vector<double> p = softmax(q, head, tokens, dim);
            for (std::size_t i = 0; i < tokens; ++i) {
                float sum = 0.0F;
                for (std::size_t j = i < 2 ? 0 : i - 2; j <= std::min(i + 2, tokens - 1); ++j) {
                    sum += static_cast<float>(p[j]);
                }
                best[i] = std::max(best[i], sum / 5.0F);
            }
        }
        return best;
    }

private:
    [[nodiscard]] std::vector<double> softmax(const float* q, std::int32_t head, std::size_t tokens,
                                              std::size_t dim) const {
        std::vector<double> p(tokens);
        double largest = -INFINITY;
        for (std::size_t i = 0; i < tokens; ++i) {
            const float* k = &k_[(static_cast<std::size_t>(head) * tokens + i) * dim];
            double sum = 0.0;
            for (std::size_t d = 0; d < dim; ++d) sum += static_cast<double>(q[d]) * k[d];
            p[i] = sum / std::sqrt(static_cast<double>(dim));
            largest = std::max(largest, p[i]);
        }
        double total = 0.0;
        for (double& value : p) total += value = std::exp(value - largest);
        for (double& value : p) value /= total;
        return p;
    }

    config::HalfArray k_array_;
    config::HalfArray q_array_;
    std::vector<float> k_;
    std::vector<float> q_;
};

/// What the golden data switch on: rows 1, 2 and 12, everything else as the authors have it.
policy::Settings settings_of(policy::Mode mode, const Json& config) {
    policy::Settings settings = policy::settings_for(mode);
    settings.ratio = config.at("compression_ratio").get<double>();
    settings.window = config.at("window").get<std::int32_t>();
    settings.stable_threshold = config.at("stable_threshold").get<double>();
    settings.commit_lag = 0;
    settings.stagger_checks = false;
    settings.half_precision_scores = false;
    return settings;
}

class Replay {
public:
    Replay(const Scores& scores, const HeadProfile& profile, const policy::Settings& settings)
        : scores_(scores),
          profile_(profile),
          budgets_(policy::compute_budgets(profile, scores.prompt(), settings)),
          policy_(profile_, budgets_, settings) {}

    void run(const Json& expected) {
        expect_budgets(expected);
        prefill(expected);
        std::size_t next_event = 0;
        for (std::int64_t step = 1; step < scores_.passes(); ++step) {
            if (!policy_.checks_at(0, step)) continue;
            for (const Star& star : profile_.stars[0]) {
                ASSERT_LT(next_event, expected.at("events").size());
                SCOPED_TRACE("event " + std::to_string(next_event));
                check(star.pivot, step, expected["events"][next_event++]);
            }
        }
        EXPECT_EQ(next_event, expected.at("events").size());
        for (const auto& [head, kept] : expected.at("final_kept").items()) {
            EXPECT_EQ(Json(policy_.resident({0, std::stoi(head)})), kept) << "head " << head;
        }
    }

private:
    void expect_budgets(const Json& expected) {
        EXPECT_EQ(budgets_.base, expected.at("base").get<std::int64_t>());
        const auto& cap = expected.at("cap");
        ASSERT_EQ(cap.size(), static_cast<std::size_t>(profile_.num_kv_heads));
        for (std::size_t head = 0; head < cap.size(); ++head) {
            EXPECT_EQ(budgets_.capacity[head], cap[head].get<std::int64_t>()) << "head " << head;
        }
    }

    void prefill(const Json& expected) {
        std::size_t compressed = 0;
        for (std::int32_t head = 0; head < profile_.num_kv_heads; ++head) {
            const std::vector<float> score = scores_.of(0, head);
            const policy::ScoreRow row = policy::ScoreRow::dense(score);
            if (profile_.role({0, head}) == HeadRole::kPivot) policy_.set_reference({0, head}, row);
            if (is_full(profile_.role({0, head}))) continue;
            ++compressed;
            EXPECT_EQ(Json(policy_.select_at_prefill({0, head}, row)),
                      expected.at("prefill_kept").at(std::to_string(head)))
                << "head " << head;
        }
        EXPECT_EQ(compressed, expected["prefill_kept"].size());
        for (const char* key : {"pivot_sets", "reference_sets"}) {
            if (!expected.contains(key) || policy_.settings().reference_sets_by_file_order)
                continue;
            for (const auto& [head, set] : expected[key].items()) {
                EXPECT_EQ(Json(policy_.reference_set({0, std::stoi(head)})), set);
            }
        }
    }

    void check(std::int32_t pivot, std::int64_t step, const Json& event) {
        EXPECT_EQ(event.at("step").get<std::int64_t>(), step);
        ASSERT_EQ(event.at("pivot").get<std::int32_t>(), pivot);
        std::vector<std::vector<float>> scores;
        for (std::int64_t s = step - policy_.settings().window + 1; s <= step; ++s) {
            scores.push_back(scores_.of(s, pivot));
        }
        std::vector<policy::ScoreRow> rows;
        for (const auto& score : scores) rows.push_back(policy::ScoreRow::dense(score));
        const policy::CheckResult result = policy_.check({0, pivot}, rows);
        ASSERT_EQ(result.overlaps.size(), event.at("coefficients").size());
        for (std::size_t i = 0; i < result.overlaps.size(); ++i) {
            EXPECT_NEAR(result.overlaps[i], event["coefficients"][i].get<double>(), 1e-6);
        }
        EXPECT_NEAR(result.median, event.at("median").get<double>(), 1e-6);
        EXPECT_EQ(result.triggered, !event.at("fetched").empty());
        ASSERT_EQ(result.fetches.size(), event["fetched"].size());
        for (const policy::HeadFetch& fetch : result.fetches) {
            EXPECT_EQ(Json(fetch.wanted), event["fetched"].at(std::to_string(fetch.head)));
        }
        if (result.triggered) policy_.commit({0, pivot});
    }

    const Scores& scores_;
    const HeadProfile& profile_;
    policy::Budgets budgets_;
    policy::HeteroCachePolicy policy_;
};

void run_cases(policy::Mode mode) {
    const auto golden = test::golden_dir();
    HC_REQUIRE_OR_SKIP(golden, "../shared/golden");
    const auto cases = test::golden_cases(*golden, "relations");
    if (cases.empty()) GTEST_SKIP() << "no run-time case in " << *golden;
    for (const auto& folder : cases) {
        SCOPED_TRACE(folder.filename().string());
        const Json config = test::read_json(folder / "config.json");
        const Json expected = test::read_json(folder / "expected.json");
        const HeadProfile profile = profile_of(config);
        const Scores scores(folder);
        Replay(scores, profile, settings_of(mode, config))
            .run(expected.at(std::string(policy::mode_name(mode))));
    }
}

TEST(GoldenRuntimeCase, ReferenceModeDecidesAsTheAuthorsCode) {
    run_cases(policy::Mode::kReference);
}

TEST(GoldenRuntimeCase, FixedModeDecidesAsSpecified) {
    run_cases(policy::Mode::kFixed);
}

}  // namespace
}  // namespace hc
