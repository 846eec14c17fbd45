/// `hcprof-view` as functions, so that main() stays a line and tests reach the parts.
#pragma once

#include <QSize>
#include <QString>
#include <QStringList>
#include <cstdint>
#include <optional>

#include "gui/models/goto_target.h"
#include "gui/views/theme.h"

namespace hc::gui {

struct ViewerOptions {
    QString trace;  ///< empty: a window without a trace
    std::optional<std::int32_t> run;
    QString snapshot;  ///< where to write the picture; empty: an interactive window
    QSize size{1600, 1000};
    std::optional<ThemeChoice> theme;  ///< nullopt: after the desktop
    std::optional<GotoTarget> go_to;
    QString compare;  ///< another trace, laid under the first
    QString panel;    ///< MainWindow::show_panel
    QString search;
    bool help = false;
};

/// Throws Error(kUsage) naming the option.
[[nodiscard]] ViewerOptions parse_viewer_options(const QStringList& arguments);
[[nodiscard]] QString viewer_help();
/// The whole program; returns the exit code.
[[nodiscard]] int run_viewer(int argc, char** argv);

}  // namespace hc::gui
