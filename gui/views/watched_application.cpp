#include "gui/views/watched_application.h"

#include <QEvent>
#include <algorithm>
#include <ctime>

namespace hc::gui {
namespace {

double clock_ms(clockid_t clock) {
    timespec now{};
    clock_gettime(clock, &now);
    return static_cast<double>(now.tv_sec) * 1e3 + static_cast<double>(now.tv_nsec) / 1e6;
}

}  // namespace

void WatchedApplication::reset() {
    longest_ms_ = 0;
    longest_cpu_ms_ = 0;
}

bool WatchedApplication::notify(QObject* receiver, QEvent* event) {
    if (depth_ > 0) return QApplication::notify(receiver, event);
    const double wall = clock_ms(CLOCK_MONOTONIC), cpu = clock_ms(CLOCK_THREAD_CPUTIME_ID);
    ++depth_;
    const bool handled = QApplication::notify(receiver, event);
    --depth_;
    longest_ms_ = std::max(longest_ms_, clock_ms(CLOCK_MONOTONIC) - wall);
    longest_cpu_ms_ = std::max(longest_cpu_ms_, clock_ms(CLOCK_THREAD_CPUTIME_ID) - cpu);
    return handled;
}

}  // namespace hc::gui
