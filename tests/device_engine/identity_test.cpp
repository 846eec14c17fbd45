// Decisions of the device are the policy's: a run replayed by engine/policy from the scores that it
// recorded itself has equal overlaps, triggers and rows.
#include <algorithm>
#include <map>
#include <tuple>

#include "engine/policy/heterocache.h"
#include "tests/device_engine/fixture.h"

namespace hc::test {
namespace {

using cuda::CudaBackend;

constexpr std::size_t kPrompt = 411;  // no multiple of a word or a page
constexpr std::size_t kTokens = 48;

/// A recorded row as scores by position.
std::vector<float> dense(const AttentionRecord& record, std::size_t prompt) {
    std::vector<float> scores(prompt, 0.0F);
    for (std::size_t i = 0; i < record.ranked.size(); ++i) {
        scores[record.ranked[i]] = record.values[i];
    }
    return scores;
}

/// Scores of a run by (step, layer, head).
using Scores = std::map<std::tuple<std::int64_t, std::int32_t, std::int32_t>, std::vector<float>>;

class DecisionsAreThePolicys : public DeviceEngineTest {
protected:
    void replay(const policy::Settings& settings) {
        const model::Model model = load(star_model());
        const HeadProfile profile = two_stars();
        Collector seen;
        CudaBackend engine(model, device_options(), {}, &seen);
        const auto id = engine.add_sequence(compressed(profile, settings));
        runtime::AttentionCapture capture;
        capture.keep = 1.0;
        capture.every = 1;
        capture.profile = &profile;
        capture.settings = settings;
        engine.capture_attention(id, capture);
        static_cast<void>(run_forced(engine, id, tokens_of(kPrompt, model.shape.vocab),
                                     tokens_of(kTokens, model.shape.vocab, 1)));
        engine.finish();

        Scores scores;
        for (const AttentionRecord& row : seen.data.attention) {
            if (row.kind != AttentionRowKind::kScore) continue;
            scores[{row.step, row.layer, row.head}] = dense(row, kPrompt);
        }
        compare(profile, settings, seen.data, scores);
    }

private:
    static void compare(const HeadProfile& profile, const policy::Settings& settings,
                        const trace::RunData& run, const Scores& scores) {
        policy::HeteroCachePolicy twin(profile, policy::compute_budgets(profile, kPrompt, settings),
                                       settings);
        const auto row_of = [&](std::int64_t step, HeadId head) {
            return policy::ScoreRow::dense(scores.at({step, head.layer, head.head}));
        };
        // Row of the trace by (fetch or -1 at prefill, layer, head).
        std::map<std::tuple<bool, std::int64_t, std::int32_t, std::int32_t>, const RowsRecord*>
            rows;
        for (const RowsRecord& r : run.rows) rows[{r.fetch_id >= 0, r.step, r.layer, r.head}] = &r;
        for (std::int32_t layer = 0; layer < profile.num_layers; ++layer) {
            for (std::int32_t head = 0; head < profile.num_kv_heads; ++head) {
                const HeadId id{layer, head};
                if (profile.role(id) == HeadRole::kPivot) twin.set_reference(id, row_of(0, id));
                if (is_full(profile.role(id))) continue;
                EXPECT_EQ(rows.at({false, 0, layer, head})->fetched,
                          twin.select_at_prefill(id, row_of(0, id)));
            }
        }
        std::size_t next = 0;
        std::int64_t triggers = 0;
        struct Due {
            std::int64_t step;
            HeadId pivot;
            std::vector<policy::HeadFetch> fetches;
        };
        std::vector<Due> open;
        for (std::int64_t step = 1; step <= static_cast<std::int64_t>(kTokens); ++step) {
            for (const Due& due : open) {
                if (due.step != step) continue;
                twin.commit(due.pivot);
                for (const policy::HeadFetch& fetch : due.fetches) {
                    const auto found = rows.find({true, step, due.pivot.layer, fetch.head});
                    ASSERT_NE(found, rows.end()) << "step " << step << " head " << fetch.head;
                    EXPECT_EQ(found->second->fetched, fetch.fetched);
                    EXPECT_EQ(found->second->evicted, fetch.evicted);
                }
            }
            for (std::int32_t layer = 0; layer < profile.num_layers; ++layer) {
                if (!twin.checks_at(layer, step)) continue;
                for (const Star& star : profile.stars[static_cast<std::size_t>(layer)]) {
                    const HeadId pivot{layer, star.pivot};
                    std::vector<policy::ScoreRow> window;
                    for (std::int64_t back = settings.window - 1; back >= 0; --back) {
                        window.push_back(row_of(step - back, pivot));
                    }
                    policy::CheckResult result = twin.check(pivot, window);
                    ASSERT_LT(next, run.drift.size());
                    const DriftRecord& record = run.drift[next++];
                    EXPECT_EQ(record.step, step);
                    EXPECT_EQ(record.layer, layer);
                    EXPECT_EQ(record.overlaps, result.overlaps);
                    EXPECT_EQ(record.median, result.median);
                    EXPECT_EQ(record.triggered, result.triggered);
                    if (!result.triggered) continue;
                    ++triggers;
                    std::erase_if(open, [&](const Due& due) {
                        return due.pivot == pivot && due.step > step;
                    });
                    open.push_back({step + settings.commit_lag, pivot, std::move(result.fetches)});
                }
            }
        }
        EXPECT_EQ(next, run.drift.size());
        EXPECT_GT(triggers, 2);
    }
};

policy::Settings settings(std::int32_t lag, double ratio) {
    policy::Settings s;
    s.ratio = ratio;
    s.stable_threshold = 0.95;
    s.commit_lag = lag;
    return s;
}

TEST_F(DecisionsAreThePolicys, WithCommitLagsOneAndThree) {
    replay(settings(1, 0.6));
    replay(settings(3, 0.55));
}

TEST_F(DecisionsAreThePolicys, WhenFetchesAreSuperseded) {
    replay(settings(8, 0.55));
}

TEST_F(DecisionsAreThePolicys, WithEvenWindowsWithoutStaggerAndWithChanceCorrection) {
    policy::Settings s = settings(1, 0.6);
    s.window = 4;
    s.stagger_checks = false;
    s.chance_corrected = true;
    replay(s);
}

TEST_F(DecisionsAreThePolicys, WithSinksAndRecentTokens) {
    policy::Settings s = settings(1, 0.6);
    s.sink = 4;
    s.recent = 20;
    replay(s);
}

TEST_F(DecisionsAreThePolicys, WithRowsCutByPositionAndWholeSetsFetched) {
    policy::Settings s = settings(1, 0.6);
    s.satellites_cut_by_position = true;
    s.reference_sets_by_file_order = true;
    s.fetch_missing_only = false;
    replay(s);
}

}  // namespace
}  // namespace hc::test
