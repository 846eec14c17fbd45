#include "gui/models/search.h"

#include <gtest/gtest.h>

#include "gui/models/goto_target.h"
#include "tests/gui/synthetic_run.h"

namespace hc::gui {
namespace {

SearchHitsPtr find(const RunView& view, const QString& text) {
    const std::atomic<bool> never = false;
    QString problem;
    const auto query = parse_query(text, problem);
    EXPECT_TRUE(query) << problem.toStdString();
    return query ? search(view, *query, never) : nullptr;
}

TEST(Search, FindsWhatAWalkFinds) {
    const RunView view = test::to_run_view(test::make_synthetic_run({}));
    struct Case {
        const char* text;
        bool (*is_hit)(const RunView&, const EventRef&);
    };
    const auto name = [](const RunView& v, const EventRef& e) {
        return v.lanes.names[v.lanes.lanes[e.lane].events.name(e.index)].text;
    };
    static const auto name_of = name;
    const Case cases[] = {
        {"MLP", [](const RunView& v, const EventRef& e) { return name_of(v, e) == "mlp"; }},
        {"/^(mlp|norm)$/",
         [](const RunView& v, const EventRef& e) {
             return name_of(v, e) == "mlp" || name_of(v, e) == "norm";
         }},
        {"dur>300us",
         [](const RunView& v, const EventRef& e) {
             return v.lanes.lanes[e.lane].events.duration(e.index) > 300'000;
         }},
        {"attention layer=12 step=40",
         [](const RunView& v, const EventRef& e) {
             const Lane& lane = v.lanes.lanes[e.lane];
             if (lane.kind != LaneKind::kOps) return false;
             const std::size_t row = lane.events.source(e.index);
             return name_of(v, e).contains("attention") && v.data.ops.layer[row] == 12 &&
                    v.data.ops.step[row] == 40;
         }},
        {"track:worker",
         [](const RunView& v, const EventRef& e) {
             return v.lanes.groups[v.lanes.group_of(e.lane)].title == "fetch worker";
         }},
    };
    for (const Case& c : cases) {
        const SearchHitsPtr hits = find(view, c.text);
        ASSERT_TRUE(hits);
        std::size_t expected = 0, k = 0;
        for (std::size_t lane = 0; lane < view.lanes.lanes.size(); ++lane) {
            for (std::size_t i = 0; i < view.lanes.lanes[lane].events.size(); ++i) {
                if (!c.is_hit(view, {lane, i})) continue;
                ++expected;
                if (k < hits->count) {
                    EXPECT_EQ(hits->at(k++), (EventRef{lane, i})) << c.text;
                }
            }
        }
        EXPECT_EQ(hits->count, expected) << c.text;
        EXPECT_GT(expected, 0u) << c.text;
    }
}

TEST(Search, NextVisitsEveryHitInOrderOfTimeAndWrapsAround) {
    const RunView view = test::to_run_view(test::make_synthetic_run({.decode_steps = 20}));
    const SearchHitsPtr hits = find(view, "t");  // on several lanes
    ASSERT_GT(hits->count, 100u);
    for (const int direction : {1, -1}) {
        std::optional<EventRef> at;
        std::vector<EventRef> seen;
        for (std::size_t i = 0; i < hits->count; ++i) {
            at = hits->next(view.lanes, at, direction > 0 ? -1e18 : 1e18, direction);
            ASSERT_TRUE(at);
            seen.push_back(*at);
        }
        const auto start = [&](const EventRef& e) {
            return view.lanes.lanes[e.lane].events.start(e.index);
        };
        for (std::size_t i = 1; i < seen.size(); ++i) {
            EXPECT_LE(direction * start(seen[i - 1]), direction * start(seen[i]));
            EXPECT_FALSE(seen[i] == seen[i - 1]);
        }
        EXPECT_EQ(hits->next(view.lanes, at, 0, direction), seen.front()) << "no way around";
    }
}

TEST(Search, WhatCannotBeUnderstoodIsSaid) {
    for (const char* text : {"dur>soon", "layer=two", "step=", "/(/"}) {
        QString problem;
        EXPECT_FALSE(parse_query(text, problem)) << text;
        EXPECT_FALSE(problem.isEmpty()) << text;
    }
    QString problem;
    EXPECT_TRUE(parse_query("   ", problem)->empty());
    EXPECT_EQ(*parse_query("dur<1.5ms", problem)->shorter_than_ns, 1.5e6);
}

TEST(GotoTarget, TellsStepsFromTimes) {
    EXPECT_EQ(parse_goto("40")->step, 40);
    EXPECT_EQ(parse_goto(" 12.5ms ")->time_ns, 12.5e6);
    EXPECT_EQ(parse_goto("3s")->time_ns, 3e9);
    EXPECT_EQ(parse_goto("250us")->time_ns, 250e3);
    EXPECT_EQ(parse_goto("99ns")->time_ns, 99);
    for (const char* text : {"", "soon", "-4", "1.5", "12 days", "99999999999999999999"}) {
        EXPECT_FALSE(parse_goto(text)) << text;
    }
}

}  // namespace
}  // namespace hc::gui
