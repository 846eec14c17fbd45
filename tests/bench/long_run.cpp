#include "tests/bench/long_run.h"

#include <algorithm>
#include <numeric>
#include <random>

#include "engine/config/settings_json.h"
#include "engine/policy/heterocache.h"

namespace hc::bench {
namespace {

constexpr std::int64_t kPrompt = 256;
constexpr std::int64_t kDepth = 48;
constexpr std::int64_t kRowBytes = 2 * 16 * 4;

HeadProfile profile_of(std::int32_t layers) {
    HeadProfile profile;
    profile.num_layers = layers;
    profile.num_kv_heads = kLongRunHeads;
    for (std::int32_t layer = 0; layer < layers; ++layer) {
        profile.roles.insert(profile.roles.end(), {HeadRole::kPivot, HeadRole::kSatellite});
        profile.ratios.insert(profile.ratios.end(), {-1.0, 1.0});
        profile.stars.push_back({Star{0, {1}}});
    }
    return profile;
}

/// A window of neighbouring positions that wanders and now and then jumps.
Positions ranked(std::int64_t step, std::int32_t layer) {
    std::mt19937 place(static_cast<unsigned>((step + 3 * layer) / 17));
    const std::int64_t first =
        (static_cast<std::int64_t>(place() % kPrompt) + step % 17) % (kPrompt - kDepth);
    Positions positions(kDepth);
    std::iota(positions.begin(), positions.end(), static_cast<Position>(first));
    return positions;
}

class Recorder {
public:
    explicit Recorder(trace::RunData& data) : data_(data) {}

    std::int64_t op(std::int64_t step, std::int32_t layer, OpKind kind, std::int64_t ns,
                    std::int64_t rows) {
        const std::int64_t start = now_;
        now_ += ns;
        return put(step, layer, kind, kDecodeStream, start, now_, rows);
    }
    std::int64_t put(std::int64_t step, std::int32_t layer, OpKind kind, std::int32_t stream,
                     std::int64_t start, std::int64_t end, std::int64_t rows) {
        trace::Ops& ops = data_.ops;
        ops.op_id.push_back(static_cast<std::int64_t>(ops.op_id.size()));
        ops.step.push_back(step);
        ops.layer.push_back(layer);
        ops.kind.push_back(kind);
        ops.stream.push_back(stream);
        ops.start_ns.push_back(start);
        ops.end_ns.push_back(end);
        ops.bytes_read.push_back(rows * kRowBytes);
        ops.bytes_written.push_back(0);
        ops.flops.push_back(rows);
        ops.rows.push_back(rows);
        return ops.op_id.back();
    }
    std::int64_t now() const { return now_; }

private:
    trace::RunData& data_;
    std::int64_t now_ = 0;
};

}  // namespace

LongRun long_run(std::int64_t steps, std::int32_t layers) {
    LongRun out;
    trace::RunData& data = out.data;
    policy::Settings settings;
    settings.ratio = 0.55;
    settings.stable_threshold = 0.6;
    const HeadProfile profile = profile_of(layers);
    const policy::Budgets budgets = policy::compute_budgets(profile, kPrompt, settings);
    policy::HeteroCachePolicy policy(profile, budgets, settings);
    data.run.id = 0;
    data.run.attention_run = 0;
    data.run.policy = "heterocache";
    data.run.mode = "fixed";
    data.run.window = settings.window;
    data.run.commit_lag = settings.commit_lag;
    data.run.prompt_tokens = kPrompt;
    ModelShape shape;
    shape.architecture = "llama";
    shape.num_layers = layers;
    shape.hidden = 64;
    shape.num_qo_heads = 4;
    shape.num_kv_heads = kLongRunHeads;
    shape.head_dim = 16;
    shape.mlp = 64;
    shape.vocab = 100;
    shape.context = std::int64_t{1} << 27;
    data.run.shape_json = config::to_json(shape);
    config::RunParameters parameters;
    parameters.settings = settings;
    parameters.profile = profile;
    parameters.precision = "fast";
    parameters.page_size = 64;
    data.run.parameters_json = config::to_json(parameters);

    Recorder record(data);
    const auto add_score = [&](std::int64_t step, std::int32_t layer, std::int32_t head) {
        AttentionRecord row;
        row.step = step;
        row.layer = layer;
        row.head = head;
        row.kind = AttentionRowKind::kScore;
        row.ranked = ranked(step, layer);
        data.attention.push_back(std::move(row));
    };
    for (std::int32_t layer = 0; layer < layers; ++layer) {
        for (std::int32_t head = 0; head < kLongRunHeads; ++head) add_score(0, layer, head);
    }
    for (std::int64_t step = 1; step <= steps; ++step) {
        const std::int64_t start = record.now();
        for (std::int32_t layer = 0; layer < layers; ++layer) {
            record.op(step, layer, OpKind::kQkv, 9'000 + step % 7 * 10, 1);
            record.op(step, layer, OpKind::kAttention, 5'000 + step % 11 * 10,
                      budgets.total() / layers + step % 50);
            record.op(step, layer, OpKind::kMlp, 20'000 + step % 5 * 10, 1);
            add_score(step, layer, 0);
            if (!policy.checks_at(layer, step)) continue;
            record.op(step, layer, OpKind::kDriftScore, 4'000, settings.window * kPrompt);
            DriftRecord check;
            check.check_id = static_cast<std::int64_t>(data.drift.size());
            check.op_id =
                record.op(step, layer, OpKind::kDriftTopk, 2'000, settings.window * kPrompt);
            check.step = step;
            check.layer = layer;
            check.base = budgets.base;
            check.triggered = check.check_id % 9 == 0;
            if (check.triggered) {
                FetchRecord fetch;
                fetch.id = static_cast<std::int64_t>(data.fetches.size());
                fetch.check_id = check.check_id;
                fetch.layer = layer;
                fetch.rows_fetched = 20 + check.check_id % 13;
                fetch.bytes = fetch.rows_fetched * kRowBytes;
                fetch.queued_ns = record.now();
                fetch.start_ns = record.now() + 500;
                fetch.end_ns = fetch.start_ns + 100 * fetch.rows_fetched;
                fetch.due_step = step + 1;
                fetch.fetch_op = record.put(step, layer, OpKind::kFetch, kFetchStream,
                                            fetch.start_ns, fetch.end_ns, fetch.rows_fetched);
                fetch.commit_op =
                    record.op(step, layer, OpKind::kCommit, 1'500, fetch.rows_fetched);
                fetch.committed_step = step + 1;
                data.fetches.push_back(fetch);
            }
            data.drift.push_back(std::move(check));
        }
        data.steps.step.push_back(step);
        data.steps.phase.push_back(Phase::kDecode);
        data.steps.batch.push_back(1);
        data.steps.start_ns.push_back(start);
        data.steps.end_ns.push_back(record.now());
    }
    return out;
}

}  // namespace hc::bench
