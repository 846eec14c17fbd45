// What the observer is told.
#include <gtest/gtest.h>

#include <map>
#include <set>

#include "tests/runtime/fixtures.h"

namespace hc::runtime {
namespace {

constexpr std::size_t kPrompt = 300;
constexpr std::size_t kSteps = 20;

class Records : public ::testing::Test {
protected:
    void run(const policy::Settings& settings, bool record) {
        EngineOptions options = test::exact();
        options.record_operations = record;
        Engine engine(model_, options, &seen_);
        const auto tokens = test::random_tokens(kPrompt + kSteps, 51);
        const std::span<const model::TokenId> all(tokens);
        static_cast<void>(
            test::run_forced(engine, engine.add_sequence(test::heterocache(profile_, settings)),
                             all.first(kPrompt), all.subspan(kPrompt)));
        engine.finish();
    }
    [[nodiscard]] static policy::Settings settings(int lag) {
        policy::Settings s;
        s.ratio = 0.6;
        s.stable_threshold = 0.9;
        s.commit_lag = lag;
        return s;
    }
    const model::Model model_ = test::load_tiny(test::star_options());
    const HeadProfile profile_ = test::star_profile(2);
    test::Collector seen_;
};

TEST_F(Records, OperationsLieInTheirStepsAndFollowEachOther) {
    run(settings(1), true);
    ASSERT_EQ(seen_.steps.size(), kSteps + 1);
    std::set<std::int64_t> ids;
    std::int64_t step = 0;
    for (const auto& s : seen_.steps) {
        EXPECT_EQ(s.record.step, step);
        EXPECT_EQ(s.record.phase, step == 0 ? Phase::kPrefill : Phase::kDecode);
        std::int64_t last_end = s.record.start_ns;
        for (const OpRecord& op : s.ops) {
            EXPECT_TRUE(ids.insert(op.op_id).second);
            EXPECT_LE(op.start_ns, op.end_ns);
            EXPECT_LE(op.end_ns, s.record.end_ns);
            EXPECT_EQ(op.step, step);
            if (op.stream != kDecodeStream) continue;
            EXPECT_GE(op.start_ns, last_end);  // one thing at a time on the decode thread
            last_end = op.end_ns;
        }
        ++step;
    }
}

TEST_F(Records, OfADecodeStepNameEveryLayersWork) {
    run(settings(1), true);
    const auto& s = seen_.steps[3];
    std::map<OpKind, int> count;
    for (const OpRecord& op : s.ops) ++count[op.kind];
    EXPECT_EQ(count[OpKind::kEmbed], 1);
    EXPECT_EQ(count[OpKind::kNorm], 3);  // one a layer and the last
    EXPECT_EQ(count[OpKind::kLmHead], 1);
    for (const OpKind kind :
         {OpKind::kQkv, OpKind::kRopeAppend, OpKind::kAttention, OpKind::kAttnOut, OpKind::kMlp}) {
        EXPECT_EQ(count[kind], 2) << op_kind_name(kind);
    }
    std::map<OpKind, int> prefill;
    for (const OpRecord& op : seen_.steps[0].ops) ++prefill[op.kind];
    EXPECT_EQ(prefill[OpKind::kAttention], 2 * 4);  // chunks of 96
    EXPECT_EQ(prefill[OpKind::kOffload], 2);
    EXPECT_GE(prefill[OpKind::kPrefillSelect], 2);
}

TEST_F(Records, OfAttentionCountRowsBytesAndFlops) {
    run(settings(1), true);
    std::int64_t kept = 0;
    for (const HeadRecord& head : seen_.heads) kept += head.layer == 1 ? head.capacity : 0;
    for (const OpRecord& op : seen_.steps[5].ops) {
        if (op.kind != OpKind::kAttention || op.layer != 1) continue;
        EXPECT_EQ(op.rows, kept + 4 * 5);
        EXPECT_EQ(op.bytes_read, op.rows * 2 * 16 * 4 + 8 * 16 * 4);
        EXPECT_EQ(op.flops, op.rows * 4 * 2 * 16);
    }
}

TEST_F(Records, TieEachFetchToItsCheckItsCommitAndItsFirstUse) {
    for (const int lag : {0, 1, 3}) {
        seen_ = {};
        run(settings(lag), true);
        std::map<std::int64_t, OpRecord> ops;
        std::set<std::pair<std::int64_t, std::int64_t>> edges;
        for (const auto& s : seen_.steps) {
            for (const OpRecord& op : s.ops) ops[op.op_id] = op;
            for (const EdgeRecord& edge : s.edges) edges.insert({edge.from_op, edge.to_op});
        }
        std::map<std::int64_t, DriftRecord> checks;
        for (const DriftRecord& check : seen_.drift) checks[check.check_id] = check;
        std::map<std::int64_t, std::int64_t> rows;
        for (const RowsRecord& r : seen_.rows)
            rows[r.fetch_id] += static_cast<std::int64_t>(r.fetched.size());
        int committed = 0;
        for (const FetchRecord& fetch : seen_.fetches) {
            const DriftRecord& check = checks.at(fetch.check_id);
            EXPECT_TRUE(check.triggered);
            EXPECT_EQ(ops.at(check.op_id).kind, OpKind::kDriftTopk);
            if (fetch.committed_step < 0) continue;
            ++committed;
            EXPECT_EQ(rows.at(fetch.id), fetch.rows_fetched);
            EXPECT_EQ(fetch.bytes, fetch.rows_fetched * 2 * 16 * 4);
            EXPECT_LE(fetch.rows_fetched, fetch.rows_wanted);
            EXPECT_EQ(ops.at(fetch.fetch_op).kind, OpKind::kFetch);
            EXPECT_EQ(ops.at(fetch.fetch_op).start_ns, fetch.start_ns);
            EXPECT_EQ(ops.at(fetch.commit_op).kind, OpKind::kCommit);
            EXPECT_LE(fetch.end_ns, ops.at(fetch.commit_op).end_ns);
            EXPECT_TRUE(edges.count({check.op_id, fetch.fetch_op}));
            EXPECT_TRUE(edges.count({fetch.fetch_op, fetch.commit_op}));
            if (fetch.first_use_op < 0) continue;  // committed at the very end
            const OpRecord& use = ops.at(fetch.first_use_op);
            EXPECT_EQ(use.kind, OpKind::kAttention);
            EXPECT_EQ(use.layer, fetch.layer);
            EXPECT_EQ(use.step, lag == 0 ? fetch.committed_step + 1 : fetch.committed_step);
        }
        EXPECT_GT(committed, 2);
    }
}

TEST_F(Records, WithoutOperationsHoldNoneAndStillTellDecisions) {
    run(settings(1), false);
    for (const auto& s : seen_.steps) {
        EXPECT_TRUE(s.ops.empty());
        EXPECT_TRUE(s.edges.empty());
        EXPECT_LT(s.record.start_ns, s.record.end_ns);
    }
    EXPECT_GT(seen_.triggers(), 0);
    EXPECT_EQ(static_cast<std::int64_t>(seen_.fetches.size()), seen_.triggers());
    for (const FetchRecord& fetch : seen_.fetches) {
        EXPECT_EQ(fetch.fetch_op, -1);
        EXPECT_EQ(fetch.commit_op, -1);
    }
}

TEST_F(Records, ReportEveryFetchOnce) {
    for (const int lag : {0, 1, 8}) {
        seen_ = {};
        run(settings(lag), true);
        std::set<std::int64_t> ids;
        for (const FetchRecord& fetch : seen_.fetches) EXPECT_TRUE(ids.insert(fetch.id).second);
        EXPECT_EQ(static_cast<std::int64_t>(ids.size()), seen_.triggers());
    }
}

}  // namespace
}  // namespace hc::runtime
