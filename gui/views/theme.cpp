#include "gui/views/theme.h"

#include <QFontMetrics>
#include <QStyleFactory>
#include <QWidget>
#include <algorithm>

#include "gui/models/palette.h"

namespace hc::gui {
namespace {

QPalette dark_palette() {
    QPalette p;
    const QColor window(0x1b, 0x1e, 0x24), base(0x14, 0x16, 0x1a), text(0xe4, 0xe7, 0xec);
    p.setColor(QPalette::Window, window);
    p.setColor(QPalette::WindowText, text);
    p.setColor(QPalette::Base, base);
    p.setColor(QPalette::AlternateBase, QColor(0x19, 0x1c, 0x21));
    p.setColor(QPalette::Text, text);
    p.setColor(QPalette::PlaceholderText, QColor(0x8a, 0x92, 0x9e));
    p.setColor(QPalette::Button, QColor(0x26, 0x2a, 0x31));
    p.setColor(QPalette::ButtonText, text);
    p.setColor(QPalette::BrightText, Qt::white);
    p.setColor(QPalette::ToolTipBase, QColor(0x2b, 0x30, 0x38));
    p.setColor(QPalette::ToolTipText, text);
    p.setColor(QPalette::Highlight, QColor(0x2b, 0x6c, 0xa8));
    p.setColor(QPalette::HighlightedText, Qt::white);
    p.setColor(QPalette::Link, QColor(0x56, 0xb4, 0xe9));
    p.setColor(QPalette::Mid, QColor(0x33, 0x38, 0x41));
    p.setColor(QPalette::Midlight, QColor(0x30, 0x35, 0x3d));
    p.setColor(QPalette::Light, QColor(0x3b, 0x41, 0x4b));
    p.setColor(QPalette::Dark, QColor(0x10, 0x12, 0x15));
    p.setColor(QPalette::Shadow, QColor(0x08, 0x09, 0x0b));
    for (const auto role : {QPalette::Text, QPalette::WindowText, QPalette::ButtonText}) {
        p.setColor(QPalette::Disabled, role, QColor(0x6b, 0x73, 0x7e));
    }
    return p;
}

QPalette light_palette() {
    QPalette p;
    const QColor window(0xf3, 0xf4, 0xf6), base(0xff, 0xff, 0xff), text(0x1c, 0x1f, 0x24);
    p.setColor(QPalette::Window, window);
    p.setColor(QPalette::WindowText, text);
    p.setColor(QPalette::Base, base);
    p.setColor(QPalette::AlternateBase, QColor(0xf7, 0xf8, 0xfa));
    p.setColor(QPalette::Text, text);
    p.setColor(QPalette::PlaceholderText, QColor(0x6f, 0x77, 0x83));
    p.setColor(QPalette::Button, QColor(0xec, 0xee, 0xf1));
    p.setColor(QPalette::ButtonText, text);
    p.setColor(QPalette::BrightText, Qt::black);
    p.setColor(QPalette::ToolTipBase, QColor(0xff, 0xff, 0xff));
    p.setColor(QPalette::ToolTipText, text);
    p.setColor(QPalette::Highlight, QColor(0x1f, 0x6f, 0xb5));
    p.setColor(QPalette::HighlightedText, Qt::white);
    p.setColor(QPalette::Link, QColor(0x00, 0x72, 0xb2));
    p.setColor(QPalette::Mid, QColor(0xc6, 0xcb, 0xd2));
    p.setColor(QPalette::Midlight, QColor(0xdd, 0xe1, 0xe6));
    p.setColor(QPalette::Light, QColor(0xff, 0xff, 0xff));
    p.setColor(QPalette::Dark, QColor(0xa4, 0xab, 0xb5));
    p.setColor(QPalette::Shadow, QColor(0x80, 0x88, 0x92));
    for (const auto role : {QPalette::Text, QPalette::WindowText, QPalette::ButtonText}) {
        p.setColor(QPalette::Disabled, role, QColor(0x9a, 0xa1, 0xab));
    }
    return p;
}

QColor mix(const QColor& under, const QColor& over, double share) {
    return QColor::fromRgb(blend(under.rgb(), over.rgb(), share));
}

}  // namespace

Theme Theme::of(const QPalette& palette) {
    Theme theme;
    const QColor window = palette.color(QPalette::Window);
    theme.text = palette.color(QPalette::WindowText);
    theme.dark = window.lightness() < 128;
    theme.ground = palette.color(QPalette::Base);
    theme.band = mix(theme.ground, theme.text, 0.035);
    theme.panel = window;
    theme.grid = mix(theme.ground, theme.text, 0.11);
    theme.border = mix(window, theme.text, 0.16);
    theme.dim_text = mix(window, theme.text, 0.62);
    theme.accent = theme.dark ? QColor(0xff, 0xff, 0xff) : QColor(0x11, 0x14, 0x18);
    theme.warning = QColor::fromRgb(hue_rgb(Hue::kTrigger, theme.dark));
    return theme;
}

QFont small_font(const QWidget& widget) {
    QFont font = widget.font();
    font.setPixelSize(std::max(9, QFontMetrics(font).height() * 5 / 8));
    return font;
}

void apply_theme(QApplication& app, std::optional<ThemeChoice> choice) {
    // Fusion paints every widget from the palette, so that a dark desktop gives a dark window.
    app.setStyle(QStyleFactory::create("Fusion"));
    if (choice) {
        app.setPalette(*choice == ThemeChoice::kDark ? dark_palette() : light_palette());
    }
}

}  // namespace hc::gui
