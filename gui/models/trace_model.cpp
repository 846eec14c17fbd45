#include "gui/models/trace_model.h"

#include <utility>

#include "engine/core/error.h"
#include "gui/models/worker_progress.h"

namespace hc::gui {

void TraceModel::load(const std::filesystem::path& path, std::optional<trace::RunId> run) {
    loading_ = true;
    const quint64 generation = ++generation_;
    background_.start([this, path, run,
                       generation](const Background::Cancelled& cancelled) -> Background::Delivery {
        const auto complain = [this](const QString& message, int code) {
            return [this, message, code] { fail(message, code); };
        };
        try {
            WorkerProgress progress(this, cancelled,
                                    [this, generation](const QString& what, int percent) {
                                        if (generation != generation_ || !loading_) return;
                                        Q_EMIT progressed(what, percent);
                                    });
            RunViewPtr view = std::make_shared<const RunView>(load_run_view(path, run, progress));
            return [this, view] { finish(view); };
        } catch (const Error& error) {
            return complain(QString::fromUtf8(error.what()), static_cast<int>(error.code()));
        } catch (const std::exception& error) {
            const QString name = QString::fromStdString(path.string());
            return complain(
                QString("cannot show %1: %2").arg(name, QString::fromUtf8(error.what())),
                static_cast<int>(ExitCode::kBug));
        }
    });
}

void TraceModel::cancel() {
    if (!loading_) return;
    background_.cancel();
    fail("loading was cancelled", static_cast<int>(ExitCode::kInterrupted));
}

void TraceModel::set_view(RunViewPtr view) {
    background_.cancel();
    finish(std::move(view));
}

void TraceModel::finish(RunViewPtr view) {
    loading_ = false;
    RunViewPtr before = std::exchange(view_, std::move(view));
    Q_EMIT loaded();
    // Freeing millions of events takes longer than a frame: the worker does it.
    if (before) {
        background_.start([before = std::move(before)](const Background::Cancelled&) {
            return Background::Delivery{};
        });
    }
}

void TraceModel::fail(const QString& message, int code) {
    loading_ = false;
    Q_EMIT failed(message, code);
}

}  // namespace hc::gui
