#include "gui/models/palette.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>

namespace hc::gui {
namespace {

struct Pair {
    QRgb dark, light;
};

constexpr QRgb rgb(std::uint32_t hex) {
    return 0xff000000u | hex;
}

constexpr std::array<Pair, static_cast<std::size_t>(Hue::kCount)> kHues = {{
    {rgb(0x7d8794), rgb(0xa7b0bb)},  // kMinor
    {rgb(0x98a2b0), rgb(0x8b95a3)},  // kEmbed
    {rgb(0x56b4e9), rgb(0x56b4e9)},  // kQkv
    {rgb(0x2b83c6), rgb(0x0072b2)},  // kAttention
    {rgb(0x9ad4f3), rgb(0x92cdf0)},  // kAttnOut
    {rgb(0x0fa57c), rgb(0x009e73)},  // kMlp
    {rgb(0x8fd8be), rgb(0x7cc9ae)},  // kLmHead
    {rgb(0xf0e442), rgb(0xe6d72a)},  // kCheck
    {rgb(0xbfae1c), rgb(0xb5a000)},  // kCheckTopk
    {rgb(0xf0a30a), rgb(0xe69f00)},  // kTransfer
    {rgb(0xd98ab3), rgb(0xcc79a7)},  // kCommit
    {rgb(0xb39ddb), rgb(0x9479c9)},  // kPrefillSelect
    {rgb(0xc98b4b), rgb(0xb87333)},  // kOffload
    {rgb(0x5d6672), rgb(0xc3cad3)},  // kQueued
    {rgb(0x7f7360), rgb(0xe0d2b4)},  // kStaged
    {rgb(0x3f6e8f), rgb(0xb5d8ee)},  // kFirstUse
    {rgb(0x6f8fb5), rgb(0x6f8fb5)},  // kStep
    {rgb(0x8e82b8), rgb(0x8e82b8)},  // kPrefill
    {rgb(0xf0712c), rgb(0xd55e00)},  // kTrigger
    {rgb(0xa0a0a0), rgb(0x909090)},  // kOther
    {rgb(0x4d6a8a), rgb(0x8fb0d0)},  // kLayerEven
    {rgb(0x394f68), rgb(0xb4cbe2)},  // kLayerOdd
    {rgb(0x9479c9), rgb(0x8063b8)},  // kCopyToHost
    {rgb(0x4fb7a5), rgb(0x3a9d8c)},  // kCopyDevice
    {rgb(0x56b4e9), rgb(0x56b4e9)},  // kApiLaunch
    {rgb(0xb8722f), rgb(0xb8722f)},  // kApiSync
    {rgb(0xf0a30a), rgb(0xe69f00)},  // kApiCopy
    {rgb(0xd98ab3), rgb(0xcc79a7)},  // kApiMemory
    {rgb(0x7d8794), rgb(0xa7b0bb)},  // kApiOther
    {rgb(0x56b4e9), rgb(0x0072b2)},  // kCounter
    {rgb(0x56b4e9), rgb(0x56b4e9)},  // the wheel: Okabe and Ito's six and four of other lightness
    {rgb(0x0fa57c), rgb(0x009e73)}, {rgb(0xf0e442), rgb(0xe6d72a)}, {rgb(0x2b83c6), rgb(0x0072b2)},
    {rgb(0xf0a30a), rgb(0xe69f00)}, {rgb(0xd98ab3), rgb(0xcc79a7)}, {rgb(0x9ad4f3), rgb(0x92cdf0)},
    {rgb(0x8fd8be), rgb(0x7cc9ae)}, {rgb(0xb39ddb), rgb(0x9479c9)}, {rgb(0xc98b4b), rgb(0xb87333)},
}};

// Seven points of a scale whose lightness rises evenly; readable in grey as well.
constexpr std::array<QRgb, 7> kScale = {rgb(0x26305e), rgb(0x2a5585), rgb(0x2a7b93), rgb(0x2fa08a),
                                        rgb(0x6cc071), rgb(0xb5d856), rgb(0xf6e94b)};

double linear(int channel) {
    const double c = channel / 255.0;
    return c <= 0.04045 ? c / 12.92 : std::pow((c + 0.055) / 1.055, 2.4);
}

}  // namespace

QRgb hue_rgb(Hue hue, bool dark) {
    const Pair& pair = kHues[static_cast<std::size_t>(std::min(hue, Hue::kWheelLast))];
    return dark ? pair.dark : pair.light;
}

Hue hue_of(OpKind kind) {
    switch (kind) {
        case OpKind::kEmbed:
            return Hue::kEmbed;
        case OpKind::kNorm:
        case OpKind::kRopeAppend:
        case OpKind::kSample:
            return Hue::kMinor;
        case OpKind::kQkv:
            return Hue::kQkv;
        case OpKind::kAttention:
            return Hue::kAttention;
        case OpKind::kAttnOut:
            return Hue::kAttnOut;
        case OpKind::kMlp:
            return Hue::kMlp;
        case OpKind::kDriftScore:
            return Hue::kCheck;
        case OpKind::kDriftTopk:
            return Hue::kCheckTopk;
        case OpKind::kFetch:
            return Hue::kTransfer;
        case OpKind::kCommit:
            return Hue::kCommit;
        case OpKind::kLmHead:
            return Hue::kLmHead;
        case OpKind::kPrefillSelect:
            return Hue::kPrefillSelect;
        case OpKind::kOffload:
            return Hue::kOffload;
        case OpKind::kOther:
        case OpKind::kCount:
            break;
    }
    return Hue::kOther;
}

QRgb role_rgb(HeadRole role, bool dark) {
    switch (role) {
        case HeadRole::kAnchor:
            return dark ? rgb(0x2b83c6) : rgb(0x0072b2);
        case HeadRole::kVolatile:
            return dark ? rgb(0xd98ab3) : rgb(0xcc79a7);
        case HeadRole::kPivot:
            return dark ? rgb(0xf0712c) : rgb(0xd55e00);
        case HeadRole::kSatellite:
            return dark ? rgb(0xf3cf6b) : rgb(0xeab63e);
    }
    return hue_rgb(Hue::kOther, dark);
}

QRgb blend(QRgb under, QRgb over, double share) {
    const auto mix = [share](int a, int b) {
        return static_cast<int>(std::lround(a + (b - a) * share));
    };
    return qRgb(mix(qRed(under), qRed(over)), mix(qGreen(under), qGreen(over)),
                mix(qBlue(under), qBlue(over)));
}

QRgb scale_rgb(double t) {
    if (!(t > 0)) return kScale.front();
    if (t >= 1) return kScale.back();
    const double place = t * (kScale.size() - 1);
    const auto i = static_cast<std::size_t>(place);
    return blend(kScale[i], kScale[i + 1], place - static_cast<double>(i));
}

QRgb readable_on(QRgb ground) {
    // Relative luminance after WCAG 2; 0.18 is where black and white contrast alike.
    const double luminance = 0.2126 * linear(qRed(ground)) + 0.7152 * linear(qGreen(ground)) +
                             0.0722 * linear(qBlue(ground));
    return luminance > 0.18 ? qRgb(0x10, 0x12, 0x16) : qRgb(0xff, 0xff, 0xff);
}

}  // namespace hc::gui
