#include "fake_recording.h"

#include <algorithm>
#include <cmath>
#include <deque>
#include <map>
#include <numeric>
#include <random>

#include "engine/config/settings_json.h"
#include "engine/policy/budget.h"
#include "engine/policy/heterocache.h"
#include "simulator/replay/synthetic_decisions.h"

namespace hc::sim::test {
namespace {

constexpr std::int32_t kHeads = 3;
constexpr std::int64_t kHeadDim = 16;
constexpr std::int64_t kElementBytes = 4;
constexpr std::int64_t kRowBytes = 2 * kHeadDim * kElementBytes;

/// In every layer: head 0 pivot, head 1 its satellite, head 2 an anchor.
HeadProfile fake_profile(std::int32_t num_layers) {
    HeadProfile profile;
    profile.num_layers = num_layers;
    profile.num_kv_heads = kHeads;
    for (std::int32_t layer = 0; layer < num_layers; ++layer) {
        profile.roles.insert(profile.roles.end(),
                             {HeadRole::kPivot, HeadRole::kSatellite, HeadRole::kAnchor});
        const double ratio = 0.9 + 0.2 * layer / std::max(1, num_layers - 1);
        profile.ratios.insert(profile.ratios.end(), {-1.0, ratio, 2.0 - ratio});
        profile.stars.push_back({Star{0, {1}}});
    }
    return profile;
}

ModelShape fake_shape(std::int32_t num_layers) {
    ModelShape shape;
    shape.architecture = "llama";
    shape.num_layers = num_layers;
    shape.hidden = 144;
    shape.num_qo_heads = 9;
    shape.num_kv_heads = kHeads;
    shape.head_dim = kHeadDim;
    shape.mlp = 400;
    shape.vocab = 1000;
    shape.context = 4096;
    return shape;
}

/// Scores of one head at one step: a bump that wanders, and jumps every 23 steps.
std::vector<float> scores_of(const FakeOptions& options, std::int32_t layer, std::int32_t head,
                             std::int64_t step) {
    std::mt19937 noise(static_cast<unsigned>(options.seed + 7919 * layer + 104729 * head +
                                             1299709 * static_cast<int>(step)));
    std::mt19937 place(static_cast<unsigned>(options.seed + 31 * layer +
                                             17 * static_cast<int>((step + 5 * layer) / 23)));
    const auto n = static_cast<double>(options.prompt);
    const double center = n * (0.1 + 0.8 * static_cast<double>(place() % 1000) / 1000) +
                          2.0 * static_cast<double>(step);
    std::vector<float> scores(static_cast<std::size_t>(options.prompt));
    for (std::size_t i = 0; i < scores.size(); ++i) {
        const double distance = (static_cast<double>(i) - center) / (0.3 * n);
        const double grain = static_cast<double>(noise() % 100000) / 1e5;
        scores[i] = static_cast<float>(std::exp(-distance * distance) + 0.15 * grain);
    }
    return scores;
}

AttentionRecord attention_row(const FakeOptions& options, std::int64_t step, HeadId head,
                              AttentionRowKind kind) {
    const std::vector<float> scores = scores_of(options, head.layer, head.head, step);
    AttentionRecord row;
    row.step = step;
    row.layer = head.layer;
    row.head = head.head;
    row.kind = kind;
    const auto depth = static_cast<std::size_t>(
        std::ceil(options.keep * static_cast<double>(options.prompt) - 1e-9));
    policy::rank_top(scores, depth, row.ranked);
    double sum = 0;
    for (const float score : scores) sum += score;
    double kept = 0;
    for (const Position p : row.ranked) {
        row.values.push_back(static_cast<float>(0.9 * scores[p] / sum));
        kept += row.values.back();
    }
    if (kind == AttentionRowKind::kProb) {
        row.mass_generated = 0.1;
        row.mass_rest = std::max(0.0, 0.9 - kept);
    }
    return row;
}

void add_attention(const FakeOptions& options, const HeadProfile& profile, trace::RunData& data) {
    for (std::int64_t step = 0; step <= options.steps; ++step) {
        for (std::int32_t layer = 0; layer < options.num_layers; ++layer) {
            for (std::int32_t head = 0; head < kHeads; ++head) {
                const HeadId id{layer, head};
                const bool compressed = !is_full(profile.role(id));
                if (step == 0 || !compressed) {
                    data.attention.push_back(
                        attention_row(options, step, id, AttentionRowKind::kScore));
                }
                if (compressed && step % 5 == 0) {
                    data.attention.push_back(
                        attention_row(options, step, id, AttentionRowKind::kProb));
                }
            }
        }
    }
}

/// A clock of two threads that knows nothing of the event engine.
class FakeEngine {
public:
    explicit FakeEngine(const FakeOptions& options)
        : options_(options),
          profile_(fake_profile(options.num_layers)),
          budgets_(options.heterocache
                       ? policy::compute_budgets(profile_, options.prompt, options.settings)
                       : policy::full_budgets(options.num_layers, kHeads, options.prompt)),
          policy_(profile_, budgets_, options.settings),
          random_(options.seed) {}

    trace::RunData run() {
        describe();
        if (options_.heterocache) prefill();
        step_record(0, Phase::kPrefill, 0, 1'000'000);
        now_ = 1'000'000;
        for (std::int64_t step = 1; step <= options_.steps; ++step) decode(step);
        report_fetches();
        if (options_.told.empty()) add_attention(options_, profile_, data_);
        return std::move(data_);
    }

private:
    struct Fetch {
        FetchRecord record;
        HeadId pivot;
        std::vector<policy::HeadFetch> heads;
    };

    void describe() {
        trace::Run& run = data_.run;
        run.id = 1;
        run.policy = options_.heterocache ? "heterocache" : "fullkv";
        run.model_name = "fake";
        run.model_hash = "0123";
        run.prompt_tokens = options_.prompt;
        run.batch = options_.tokens;
        run.shape_json = config::to_json(fake_shape(options_.num_layers));
        config::RunParameters parameters;
        parameters.precision = "fast";
        parameters.threads = 2;
        parameters.element_bytes = kElementBytes;
        parameters.page_size = 64;
        if (!options_.told.empty()) {
            run.backend = "cuda";
            run.drift = "synthetic";
            parameters.synthetic = options_.told;
            data_.machine.name = "NVIDIA H100 80GB HBM3";
        }
        if (options_.heterocache) {
            run.mode = "fixed";
            run.window = options_.settings.window;
            run.commit_lag = options_.settings.commit_lag;
            parameters.settings = options_.settings;
            parameters.profile = profile_;
        }
        run.parameters_json = config::to_json(parameters);
        data_.machine.run = 1;
        if (options_.told.empty()) data_.machine.name = "fake machine";
        data_.machine.num_sms = 2;
        for (std::int32_t layer = 0; layer < options_.num_layers; ++layer) {
            for (std::int32_t head = 0; head < kHeads; ++head) {
                HeadRecord record;
                record.layer = layer;
                record.head = head;
                record.role = profile_.role({layer, head});
                record.capacity = budgets_.capacity[profile_.index({layer, head})];
                data_.heads.push_back(record);
            }
        }
    }

    void prefill() {
        for (std::int32_t layer = 0; layer < options_.num_layers; ++layer) {
            for (std::int32_t head = 0; head < kHeads; ++head) {
                const std::vector<float> scores = scores_of(options_, layer, head, 0);
                const auto row = policy::ScoreRow::dense(scores);
                if (head == 0) {
                    policy_.set_reference({layer, head}, row);
                    continue;
                }
                RowsRecord rows;
                rows.layer = layer;
                rows.head = head;
                rows.fetched = policy_.select_at_prefill({layer, head}, row);
                data_.rows.push_back(std::move(rows));
            }
        }
    }

    double spread() {
        return 1 + options_.noise * (static_cast<double>(random_() % 2001) / 1000 - 1);
    }

    /// The end of `work` that starts at `start`, with fetches slowing it down.
    std::int64_t end_of(std::int64_t start, double work) const {
        auto now = static_cast<double>(start);
        for (const Fetch& fetch : fetches_) {
            const auto begin = static_cast<double>(fetch.record.start_ns);
            const auto end = static_cast<double>(fetch.record.end_ns);
            if (end <= now) continue;
            const double before = std::min(work, std::max(0.0, begin - now));
            now += before;
            work -= before;
            if (work <= 0) break;
            const double beside = std::min(work * (1 + options_.interference), end - now);
            now += beside;
            work -= beside / (1 + options_.interference);
        }
        return std::llround(now + work);
    }

    std::int64_t op(std::int64_t step, std::int32_t layer, OpKind kind, double work,
                    std::int64_t rows, std::int64_t bytes, std::int64_t flops,
                    std::int64_t wait_until = 0) {
        const std::int64_t start = now_ + 50 + static_cast<std::int64_t>(random_() % 100);
        const std::int64_t end = end_of(std::max(start, wait_until), work * spread());
        now_ = end;
        return put(step, layer, kind, kDecodeStream, start, end, rows, bytes, flops);
    }

    std::int64_t put(std::int64_t step, std::int32_t layer, OpKind kind, std::int32_t stream,
                     std::int64_t start, std::int64_t end, std::int64_t rows, std::int64_t bytes,
                     std::int64_t flops) {
        trace::Ops& ops = data_.ops;
        ops.op_id.push_back(static_cast<std::int64_t>(ops.op_id.size()));
        ops.step.push_back(step);
        ops.layer.push_back(layer);
        ops.kind.push_back(kind);
        ops.stream.push_back(stream);
        ops.start_ns.push_back(start);
        ops.end_ns.push_back(end);
        ops.bytes_read.push_back(bytes);
        ops.bytes_written.push_back(0);
        ops.flops.push_back(flops);
        ops.rows.push_back(rows);
        return ops.op_id.back();
    }

    void step_record(std::int64_t step, Phase phase, std::int64_t start, std::int64_t end) {
        data_.steps.step.push_back(step);
        data_.steps.phase.push_back(phase);
        data_.steps.batch.push_back(1);
        data_.steps.start_ns.push_back(start);
        data_.steps.end_ns.push_back(end);
    }

    void decode(std::int64_t step) {
        const std::int64_t start = now_ + 300;
        now_ = start;
        commit_due(step);
        const std::int64_t n = options_.tokens;
        const auto dense = [n](double alone) {  // weights once, and a little per token
            return alone * (0.9 + 0.1 * static_cast<double>(n));
        };
        op(step, -1, OpKind::kEmbed, dense(1'000), n, 600, 0);
        for (std::int32_t layer = 0; layer < options_.num_layers; ++layer) {
            op(step, layer, OpKind::kNorm, dense(500), n, 600, 0);
            op(step, layer, OpKind::kQkv, dense(8'000), n, 160'000, n * 300'000);
            std::int64_t rows = 0;
            for (std::int32_t head = 0; head < kHeads; ++head) {
                rows += n * (budgets_.capacity[profile_.index({layer, head})] + step);
            }
            const std::int64_t attention =
                op(step, layer, OpKind::kAttention, 3'000 + 12.0 * static_cast<double>(rows), rows,
                   rows * kRowBytes, rows * 200);
            use(layer, attention);
            op(step, layer, OpKind::kNorm, dense(500), n, 600, 0);
            op(step, layer, OpKind::kMlp, dense(20'000), n, 400'000, n * 700'000);
            if (options_.heterocache && policy_.checks_at(layer, step)) check(step, layer);
        }
        op(step, -1, OpKind::kLmHead, dense(30'000), n, 600'000, n * 1'000'000);
        now_ += 150;
        step_record(step, Phase::kDecode, start, now_);
        data_.steps.batch.back() = options_.tokens;
        TokenRecord token;
        token.step = step;
        token.token_id = static_cast<std::int32_t>(step);
        token.context_length = options_.prompt + step - 1;
        data_.tokens.push_back(token);
    }

    void check(std::int64_t step, std::int32_t layer) {
        const std::int32_t window = options_.settings.window;
        const std::int64_t rows = window * options_.prompt;
        op(step, layer, OpKind::kDriftScore, 2'000 + 4.0 * static_cast<double>(rows), rows,
           rows * kRowBytes / 2, rows * 100);
        std::vector<std::vector<float>> dense;
        std::vector<policy::ScoreRow> views;
        for (std::int64_t s = step - window + 1; s <= step; ++s) {
            dense.push_back(scores_of(options_, layer, 0, s));
        }
        for (const auto& scores : dense) views.push_back(policy::ScoreRow::dense(scores));
        policy::CheckResult result =
            options_.told.empty() ? policy_.check({layer, 0}, views) : told_check(step, layer);
        DriftRecord record;
        record.check_id = static_cast<std::int64_t>(data_.drift.size());
        record.op_id = op(step, layer, OpKind::kDriftTopk, 6'000, rows, rows * 4, 0);
        record.step = step;
        record.layer = layer;
        record.pivot = 0;
        record.base = budgets_.base;
        record.overlaps = result.overlaps;
        record.median = result.median;
        record.threshold = result.threshold;
        record.triggered = result.triggered;
        data_.drift.push_back(record);
        if (result.triggered) submit(record, std::move(result.fetches));
    }

    /// As the CUDA backend decides where drift is told: half of the satellite's rows are new.
    policy::CheckResult told_check(std::int64_t step, std::int32_t layer) const {
        policy::CheckResult result;
        result.triggered = told_trigger(told_drift(options_.told, "fake"), 0, step, layer);
        if (!result.triggered) return result;
        policy::HeadFetch fetch;
        fetch.head = 1;
        const std::int64_t capacity = budgets_.capacity[profile_.index({layer, 1})];
        fetch.wanted.resize(static_cast<std::size_t>(capacity));
        std::iota(fetch.wanted.begin(), fetch.wanted.end(), Position{0});
        fetch.fetched.assign(fetch.wanted.begin(), fetch.wanted.begin() + capacity / 2);
        result.fetches.push_back(std::move(fetch));
        return result;
    }

    void submit(const DriftRecord& check, std::vector<policy::HeadFetch> heads) {
        for (Fetch& older : fetches_) {
            const bool open = older.record.committed_step < 0 && !older.record.superseded;
            if (open && older.pivot.layer == check.layer) older.record.superseded = true;
        }
        Fetch fetch;
        fetch.pivot = {check.layer, check.pivot};
        FetchRecord& record = fetch.record;
        record.id = static_cast<std::int64_t>(fetches_.size());
        record.check_id = check.check_id;
        record.layer = check.layer;
        record.due_step = check.step + options_.settings.commit_lag;
        for (const policy::HeadFetch& head : heads) {
            record.rows_wanted += static_cast<std::int64_t>(head.wanted.size());
            record.rows_fetched += static_cast<std::int64_t>(head.fetched.size());
            for (std::size_t i = 0; i < head.fetched.size(); ++i) {
                record.runs += i == 0 || head.fetched[i] != head.fetched[i - 1] + 1 ? 1 : 0;
            }
        }
        record.bytes = record.rows_fetched * kRowBytes;
        record.queued_ns = now_ + 20;
        const std::int64_t free = fetches_.empty() ? 0 : fetches_.back().record.end_ns;
        record.start_ns = std::max(record.queued_ns, free) + 400;
        record.end_ns =
            record.start_ns + std::llround((5'000 + static_cast<double>(options_.fetch_row_ns *
                                                                        record.rows_fetched)) *
                                           spread());
        record.fetch_op = put(check.step, check.layer, OpKind::kFetch, kFetchStream,
                              record.start_ns, record.end_ns, record.rows_fetched, record.bytes, 0);
        fetch.heads = std::move(heads);
        fetches_.push_back(std::move(fetch));
    }

    void commit_due(std::int64_t step) {
        for (Fetch& fetch : fetches_) {
            if (fetch.record.superseded || fetch.record.due_step != step) continue;
            const std::int64_t rows = fetch.record.rows_fetched;
            fetch.record.commit_op = op(step, fetch.pivot.layer, OpKind::kCommit,
                                        1'000 + 5.0 * static_cast<double>(rows), rows,
                                        rows * kRowBytes, 0, fetch.record.end_ns);
            const auto at = static_cast<std::size_t>(fetch.record.commit_op);
            fetch.record.exposed_ns =
                std::max<std::int64_t>(0, fetch.record.end_ns - data_.ops.start_ns[at]);
            fetch.record.committed_step = step;
            if (options_.told.empty()) policy_.commit(fetch.pivot);
            for (const policy::HeadFetch& head : fetch.heads) {
                RowsRecord rows_record;
                rows_record.fetch_id = fetch.record.id;
                rows_record.step = step;
                rows_record.layer = fetch.pivot.layer;
                rows_record.head = head.head;
                rows_record.fetched = head.fetched;
                rows_record.evicted = head.evicted;
                data_.rows.push_back(std::move(rows_record));
            }
        }
    }

    void use(std::int32_t layer, std::int64_t attention) {
        for (Fetch& fetch : fetches_) {
            if (fetch.pivot.layer == layer && fetch.record.commit_op >= 0 &&
                fetch.record.first_use_op < 0) {
                fetch.record.first_use_op = attention;
            }
        }
    }

    void report_fetches() {
        for (const Fetch& fetch : fetches_) data_.fetches.push_back(fetch.record);
    }

    const FakeOptions& options_;
    HeadProfile profile_;
    policy::Budgets budgets_;
    policy::HeteroCachePolicy policy_;
    std::mt19937 random_;
    trace::RunData data_;
    std::deque<Fetch> fetches_;
    std::int64_t now_ = 0;
};

}  // namespace

policy::Settings fake_settings() {
    policy::Settings settings;
    settings.ratio = 0.6;
    settings.window = 5;
    settings.stable_threshold = 0.72;
    return settings;
}

trace::RunData fake_run(const FakeOptions& options) {
    return FakeEngine(options).run();
}

trace::RunData fake_drift_trace(const FakeOptions& options) {
    const HeadProfile profile = fake_profile(options.num_layers);
    trace::RunData data;
    data.run.id = 2;
    data.run.policy = "fullkv";
    data.run.model_name = "fake";
    data.run.model_hash = "0123";
    data.run.prompt_tokens = options.prompt;
    data.run.shape_json = config::to_json(fake_shape(options.num_layers));
    config::RunParameters parameters;
    parameters.precision = "fast";
    parameters.settings = options.settings;
    parameters.profile = profile;
    parameters.drift_keep = options.keep;
    parameters.drift_every = 5;
    data.run.parameters_json = config::to_json(parameters);
    add_attention(options, profile, data);
    return data;
}

std::vector<trace::Value> fake_values() {
    const auto value = [](const char* name, double number, const char* unit) {
        trace::Value v;
        v.run = 1;
        v.machine = "fake machine";
        v.name = name;
        v.number = number;
        v.unit = unit;
        v.origin = trace::ValueOrigin::kMeasured;
        v.source = "test";
        return v;
    };
    return {value("cores", 2, "1"), value("read_bandwidth_GBps", 40, "GB/s"),
            value("copy_bandwidth_GBps", 10, "GB/s"), value("fp32_GFLOPs", 200, "GFLOP/s"),
            value("int8_GOPs", 800, "GOP/s")};
}

}  // namespace hc::sim::test
