/// The colours of events, roles and values. Hues after Okabe and Ito's palette for the
/// colour-blind ("Color Universal Design", 2008): neighbours differ in lightness as well.
#pragma once

#include <QRgb>
#include <cstdint>

#include "engine/core/records.h"

namespace hc::gui {

/// What a colour means; the theme says how it looks.
enum class Hue : std::uint8_t {
    kMinor,  ///< norm, rope, sampling: short and everywhere
    kEmbed,
    kQkv,
    kAttention,
    kAttnOut,
    kMlp,
    kLmHead,
    kCheck,  ///< drift scores and decision
    kCheckTopk,
    kTransfer,
    kCommit,
    kPrefillSelect,
    kOffload,
    kQueued,    ///< a fetch waiting for the worker
    kStaged,    ///< a fetch waiting for its commit
    kFirstUse,  ///< from commit to the attention that reads the rows
    kStep,
    kPrefill,
    kTrigger,  ///< vermilion: look here
    kOther,
    kLayerEven,  ///< layers alternate, so that neighbours part
    kLayerOdd,
    kCopyToHost,
    kCopyDevice,
    kApiLaunch,
    kApiSync,
    kApiCopy,
    kApiMemory,
    kApiOther,
    kCounter,
    kWheelFirst,  ///< kernels and ranges by their name; kNumWheelHues of them
    kWheelLast = kWheelFirst + 9,
    kCount
};
inline constexpr std::uint32_t kNumWheelHues = 10;

[[nodiscard]] QRgb hue_rgb(Hue hue, bool dark);
[[nodiscard]] Hue hue_of(OpKind kind);
[[nodiscard]] QRgb role_rgb(HeadRole role, bool dark);
/// A sequential scale, t in [0, 1]: dark blue over green to yellow, lightness rising all along.
[[nodiscard]] QRgb scale_rgb(double t);
/// `share` of `over` on `under`.
[[nodiscard]] QRgb blend(QRgb under, QRgb over, double share);
/// Black or white, whichever reads better on `ground`.
[[nodiscard]] QRgb readable_on(QRgb ground);

}  // namespace hc::gui
