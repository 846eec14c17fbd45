/// The application, with a clock around every event: tells how long the window's thread was held
/// up at most.
#pragma once

#include <QApplication>

namespace hc::gui {

class WatchedApplication : public QApplication {
    Q_OBJECT
public:
    WatchedApplication(int& argc, char** argv) : QApplication(argc, argv) {}

    bool notify(QObject* receiver, QEvent* event) override;

    /// Of one event with all that it led to, since the last reset.
    [[nodiscard]] double longest_ms() const { return longest_ms_; }
    /// The same in this thread's processor time: what a busy machine takes is not in it.
    [[nodiscard]] double longest_cpu_ms() const { return longest_cpu_ms_; }
    void reset();

private:
    int depth_ = 0;  ///< events inside events are the outer one's
    double longest_ms_ = 0;
    double longest_cpu_ms_ = 0;
};

}  // namespace hc::gui
