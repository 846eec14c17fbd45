#include "gui/models/trace_model.h"

#include <QMetaObject>
#include <chrono>

#include "engine/core/error.h"

namespace hc::gui {
namespace {

/// Called in the worker; speaks to the window at most thirty times a second.
class SignalProgress final : public Progress {
public:
    SignalProgress(std::function<void(QString, int)> say, const std::atomic<bool>& cancelled)
        : say_(std::move(say)), cancelled_(cancelled) {}

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
        say_(what_, total_ > 0 ? static_cast<int>(100.0 * static_cast<double>(done) /
                                                  static_cast<double>(total_))
                               : -1);
    }
    void end() override {}
    [[nodiscard]] bool cancelled() const override { return cancelled_; }

private:
    std::function<void(QString, int)> say_;
    const std::atomic<bool>& cancelled_;
    QString what_;
    std::int64_t total_ = 0;
    std::chrono::steady_clock::time_point last_{};
};

}  // namespace

TraceModel::~TraceModel() {
    stop_worker();
}

void TraceModel::stop_worker() {
    if (!worker_.joinable()) return;
    *cancelled_ = true;
    worker_.join();
}

void TraceModel::load(const std::filesystem::path& path, std::optional<trace::RunId> run) {
    // Joining waits for the old worker to see the flag; it polls every few thousand rows.
    stop_worker();
    const quint64 generation = ++generation_;
    loading_ = true;
    cancelled_ = std::make_shared<std::atomic<bool>>(false);
    // Queued calls of a destroyed receiver are dropped by Qt, and the destructor joins first.
    worker_ = std::thread([this, path, run, generation, cancelled = cancelled_] {
        const auto say = [this, generation](const QString& what, int percent) {
            QMetaObject::invokeMethod(
                this,
                [this, generation, what, percent] {
                    if (generation == generation_) Q_EMIT progressed(what, percent);
                },
                Qt::QueuedConnection);
        };
        const auto complain = [this, generation](const QString& message, int code) {
            QMetaObject::invokeMethod(
                this, [=, this] { fail(generation, message, code); }, Qt::QueuedConnection);
        };
        try {
            SignalProgress progress(say, *cancelled);
            RunViewPtr view = std::make_shared<const RunView>(load_run_view(path, run, progress));
            QMetaObject::invokeMethod(
                this, [this, generation, view] { finish(generation, view); }, Qt::QueuedConnection);
        } catch (const Error& error) {
            complain(QString::fromUtf8(error.what()), static_cast<int>(error.code()));
        } catch (const std::exception& error) {
            const QString name = QString::fromStdString(path.string());
            complain(QString("cannot show %1: %2").arg(name, QString::fromUtf8(error.what())),
                     static_cast<int>(ExitCode::kBug));
        }
    });
}

void TraceModel::cancel() {
    if (loading_) *cancelled_ = true;
}

void TraceModel::set_view(RunViewPtr view) {
    stop_worker();
    finish(++generation_, std::move(view));
}

void TraceModel::finish(quint64 generation, RunViewPtr view) {
    if (generation != generation_) return;
    loading_ = false;
    view_ = std::move(view);
    Q_EMIT loaded();
}

void TraceModel::fail(quint64 generation, const QString& message, int code) {
    if (generation != generation_) return;
    loading_ = false;
    Q_EMIT failed(message, code);
}

}  // namespace hc::gui
