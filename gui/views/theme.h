/// Colours of the window's own drawing, taken from the palette that the desktop gives.
#pragma once

#include <QApplication>
#include <QColor>
#include <QPalette>
#include <optional>

namespace hc::gui {

struct Theme {
    bool dark = true;
    QColor ground;  ///< behind events and curves
    QColor band;    ///< every other group of lanes, gutters
    QColor panel;   ///< headers, rulers
    QColor grid;
    QColor border;
    QColor text;
    QColor dim_text;
    QColor accent;   ///< selection
    QColor warning;  ///< triggers, thresholds, slow steps

    [[nodiscard]] static Theme of(const QPalette& palette);
};

/// For what is secondary in the timeline: five eighths of the widget's line height.
[[nodiscard]] QFont small_font(const QWidget& widget);

enum class ThemeChoice { kDark, kLight };

/// Fusion with our palette when a theme is asked for; else only what the desktop says.
void apply_theme(QApplication& app, std::optional<ThemeChoice> choice);

}  // namespace hc::gui
