/// Every option of HeteroCache. A mode is a preset of them (algorithm.md §6: each field names
/// its row there).
#pragma once

#include <cstdint>
#include <string_view>

namespace hc::policy {

enum class Mode : std::uint8_t {
    kReference,  ///< the authors' published code, quirks included
    kFixed,      ///< ours, the default
};

[[nodiscard]] constexpr std::string_view mode_name(Mode mode) {
    return mode == Mode::kReference ? "reference" : "fixed";
}

struct Settings {
    Mode mode = Mode::kFixed;
    double ratio = 0.5;             ///< fraction of the prompt's KV that is kept, (0, 1]
    std::int32_t window = 5;        ///< decode steps per drift check, >= 1 (row 21: never called
                                    ///< "decode step", which names a calibration pass)
    double stable_threshold = 0.5;  ///< a median overlap below it triggers
    std::int32_t commit_lag = 1;    ///< steps from trigger to commit; 0: at once
    bool retrieval = true;          ///< false: prefill selection only, never a check

    bool satellites_cut_by_position = false;    ///< row 1, reference: smaller satellites lose the
                                                ///< most recent of the wanted tokens
    bool reference_sets_by_file_order = false;  ///< row 2, reference: sets stored ascending,
                                                ///< looked up in the head file's order
    bool retrieve_before_attention = false;     ///< row 4; matters with commit_lag 0 only
    bool asynchronous = true;                   ///< row 5: worker, or gather on the decode thread
    bool stagger_checks = true;                 ///< row 6: layer l checks at steps = l mod window,
                                                ///< from the first such step >= window on
    bool half_precision_scores = false;         ///< row 9, reference: QK, softmax and pooling are
                                                ///< rounded to fp16 and QK is not scaled first
    std::int32_t sink = 0;                      ///< row 10: first tokens always kept, inside cap
    std::int32_t recent = 0;                    ///< row 10: last prompt tokens always kept
    bool water_fill = true;                     ///< row 12: clamped budget goes to other heads
    bool fetch_missing_only = true;             ///< row 15; else a trigger fetches the whole set
    bool host_satellites_only = true;           ///< row 16; else every KV head of a layer that has
                                                ///< a satellite
    bool chance_corrected = false;              ///< row 24: compare (m-c)/(1-c), c = base/P
    std::int32_t pool_width = 5;                ///< mean filter over scores, odd
};

/// The preset of a mode, with everything else at its default.
[[nodiscard]] constexpr Settings settings_for(Mode mode) {
    Settings s;
    s.mode = mode;
    if (mode == Mode::kReference) {
        s.commit_lag = 0;
        s.satellites_cut_by_position = true;
        s.reference_sets_by_file_order = true;
        s.asynchronous = false;
        s.stagger_checks = false;
        s.half_precision_scores = true;
        s.water_fill = false;
        s.fetch_missing_only = false;
        s.host_satellites_only = false;
    }
    return s;
}

/// Throws Error(kUsage) naming the first field that is out of range.
void validate(const Settings& settings);

}  // namespace hc::policy
