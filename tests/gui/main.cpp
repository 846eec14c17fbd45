#include <QFont>

#include <gtest/gtest.h>

#include "gui/views/theme.h"
#include "gui/views/watched_application.h"

int main(int argc, char** argv) {
    // Tests need no display, and must not take one that is there.
    qputenv("QT_QPA_PLATFORM", "offscreen");
    hc::gui::WatchedApplication app(argc, argv);
    // Pinned, so that pixels are where tests look for them.
    QFont font("DejaVu Sans");
    font.setPixelSize(12);
    QApplication::setFont(font);
    hc::gui::apply_theme(app, hc::gui::ThemeChoice::kDark);
    testing::InitGoogleTest(&argc, argv);
    return RUN_ALL_TESTS();
}
