/// Progress of a worker, told to the event loop at most thirty times a second.
#pragma once

#include <QMetaObject>
#include <QObject>
#include <QString>
#include <atomic>
#include <chrono>
#include <functional>

#include "engine/core/progress.h"

namespace hc::gui {

/// Made and used in the worker. `say` is called in the event loop of `receiver`, with a percentage
/// or -1 where the end is not known.
class WorkerProgress final : public Progress {
public:
    using Say = std::function<void(const QString& what, int percent)>;

    WorkerProgress(QObject* receiver, const std::atomic<bool>& cancelled, Say say)
        : receiver_(receiver), cancelled_(cancelled), say_(std::move(say)) {}

    void begin(std::string_view what, std::int64_t total) override {
        what_ = QString::fromUtf8(what.data(), static_cast<qsizetype>(what.size()));
        total_ = total;
        last_ = {};
        update(0);
    }
    void update(std::int64_t done) override {
        const auto now = std::chrono::steady_clock::now();
        if (now - last_ < std::chrono::milliseconds(33)) return;
        last_ = now;
        const int percent =
            total_ > 0
                ? static_cast<int>(100.0 * static_cast<double>(done) / static_cast<double>(total_))
                : -1;
        QMetaObject::invokeMethod(
            receiver_, [say = say_, what = what_, percent] { say(what, percent); },
            Qt::QueuedConnection);
    }
    void end() override {}
    [[nodiscard]] bool cancelled() const override { return cancelled_; }

private:
    QObject* receiver_;
    const std::atomic<bool>& cancelled_;
    Say say_;
    QString what_;
    std::int64_t total_ = 0;
    std::chrono::steady_clock::time_point last_{};
};

}  // namespace hc::gui
