#include "engine/runtime/generate.h"

#include <fmt/format.h>

#include <algorithm>

#include "engine/core/clock.h"
#include "engine/core/error.h"

namespace hc::runtime {
namespace {

/// Prefill reports prompt tokens; generation counts on from there.
class Generation {
public:
    Generation(Engine& engine, SequenceId sequence, const GenerateOptions& options,
               Observer* observer)
        : engine_(engine),
          sequence_(sequence),
          options_(options),
          observer_(observer),
          sampler_(options.sampling),
          vocab_(static_cast<std::size_t>(engine.model().shape.vocab)) {
        count_ = options.max_tokens;
        if (!options.forced.empty()) {
            count_ = std::min(count_, static_cast<std::int64_t>(options.forced.size()));
        }
        const auto steps = static_cast<std::size_t>(std::max<std::int64_t>(0, count_ - 1));
        if (!options.reference_logits.empty() && options.reference_logits.size() < steps * vocab_) {
            throw_usage(fmt::format("reference logits hold {} steps, the run takes {}",
                                    options.reference_logits.size() / vocab_, steps));
        }
        result_.tokens.reserve(static_cast<std::size_t>(count_));
        result_.step_ns.reserve(steps);
        if (options.keep_logits != nullptr) {
            options.keep_logits->reserve(options.keep_logits->size() + steps * vocab_);
        }
    }

    Generated run(std::span<const TokenId> prompt, Progress& progress) {
        const std::int64_t start = now_ns();
        std::span<const float> logits = engine_.prefill(sequence_, prompt, &progress);
        result_.prefill_ns = now_ns() - start;
        const auto read = static_cast<std::int64_t>(prompt.size());
        for (std::int64_t i = 0; i < count_; ++i) {
            if (i > 0) logits = step(static_cast<std::size_t>(i - 1));
            put_out(logits, static_cast<std::size_t>(i));
            progress.update(read + i + 1);
            if (progress.cancelled()) {
                throw Error(ExitCode::kInterrupted, "interrupted while generating");
            }
            const model::Tokenizer* tokenizer = engine_.model().tokenizer.get();
            if (options_.stop_at_end && tokenizer != nullptr &&
                tokenizer->ends_generation(result_.tokens.back())) {
                break;
            }
        }
        return std::move(result_);
    }

private:
    /// Feeds token `i` and returns the logits that follow it.
    std::span<const float> step(std::size_t i) {
        const DecodeInput input{sequence_, result_.tokens[i]};
        const std::int64_t start = now_ns();
        const std::span<const float> logits = engine_.decode({&input, 1});
        result_.step_ns.push_back(now_ns() - start);
        if (options_.keep_logits != nullptr) {
            options_.keep_logits->insert(options_.keep_logits->end(), logits.begin(), logits.end());
        }
        return logits;
    }

    /// Chooses token `i` and reports it together with what its logits were worth.
    void put_out(std::span<const float> logits, std::size_t i) {
        const bool forced = !options_.forced.empty();
        const TokenId token = forced ? options_.forced[i] : sampler_.sample(logits);
        result_.tokens.push_back(token);
        TokenRecord record;
        record.step = engine_.step();
        record.sequence = sequence_;
        record.token_id = token;
        record.context_length = engine_.length(sequence_);
        if (i > 0) {
            if (!options_.reference_logits.empty()) {
                const std::span<const float> reference =
                    options_.reference_logits.subspan((i - 1) * vocab_, vocab_);
                record.kl_nats = kl_divergence(reference, logits);
                record.top1_equal = largest_logit(reference) == largest_logit(logits);
                result_.kl_nats.push_back(*record.kl_nats);
                result_.top1_equal.push_back(*record.top1_equal);
            }
            if (forced) {
                record.nll_nats = negative_log_likelihood(logits, token);
                result_.nll_nats.push_back(*record.nll_nats);
            }
        }
        if (observer_ != nullptr) observer_->on_token(record);
    }

    Engine& engine_;
    SequenceId sequence_;
    const GenerateOptions& options_;
    Observer* observer_;
    Sampler sampler_;
    std::size_t vocab_;
    std::int64_t count_ = 0;
    Generated result_;
};

}  // namespace

Generated generate(Engine& engine, SequenceId sequence, std::span<const TokenId> prompt,
                   const GenerateOptions& options, Observer* observer, Progress& progress) {
    if (options.max_tokens < 0) {
        throw_usage(fmt::format("{} tokens to generate: expected 0 or more", options.max_tokens));
    }
    return Generation(engine, sequence, options, observer).run(prompt, progress);
}

}  // namespace hc::runtime
