#include "cli/batch_generation.h"

#include <algorithm>

#include "engine/core/error.h"

namespace hc::cli {
namespace {

/// Prefill counts from 0 for every sequence.
class Offset final : public Progress {
public:
    Offset(Progress& whole, std::int64_t done) : whole_(whole), done_(done) {}
    void begin(std::string_view, std::int64_t) override {}
    void update(std::int64_t done) override { whole_.update(done_ + done); }
    void end() override {}
    [[nodiscard]] bool cancelled() const override { return whole_.cancelled(); }

private:
    Progress& whole_;
    std::int64_t done_;
};

}  // namespace

void generate_batch(runtime::Engine& engine, std::span<const runtime::SequenceId> sequences,
                    std::span<const model::TokenId> prompt, std::int64_t max_tokens, Observer* observer,
                    Progress& progress) {
    const auto length = static_cast<std::int64_t>(prompt.size());
    const auto count = static_cast<std::int64_t>(sequences.size());
    const auto vocab = static_cast<std::size_t>(engine.model().shape.vocab);
    std::vector<runtime::DecodeInput> inputs;
    std::vector<model::TokenId> rotated(prompt.begin(), prompt.end());
    const auto put_out = [&](std::size_t i, std::span<const float> logits) {
        inputs[i].token = runtime::largest_logit(logits);
        if (observer == nullptr) return;
        TokenRecord record;
        record.step = engine.step();
        record.sequence = sequences[i];
        record.token_id = inputs[i].token;
        record.context_length = engine.length(sequences[i]);
        observer->on_token(record);
    };
    for (std::int64_t i = 0; i < count; ++i) {
        Offset part(progress, i * length);
        const std::span<const float> logits = engine.prefill(sequences[static_cast<std::size_t>(i)], rotated, &part);
        inputs.push_back({sequences[static_cast<std::size_t>(i)], 0});
        put_out(inputs.size() - 1, logits);
        std::rotate(rotated.begin(), rotated.begin() + (length + count - 1) / count % std::max<std::int64_t>(1, length),
                    rotated.end());
    }
    for (std::int64_t step = 1; step < max_tokens; ++step) {
        if (progress.cancelled()) throw Error(ExitCode::kInterrupted, "interrupted while generating");
        const std::span<const float> logits = engine.decode(inputs);
        for (std::size_t i = 0; i < inputs.size(); ++i) put_out(i, logits.subspan(i * vocab, vocab));
        progress.update(count * length + step);
    }
}

}  // namespace hc::cli
