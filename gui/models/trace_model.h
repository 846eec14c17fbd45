/// Opens traces beside the window: a worker reads, the window goes on.
#pragma once

#include <QObject>
#include <QString>
#include <atomic>
#include <filesystem>
#include <memory>
#include <optional>
#include <thread>

#include "gui/models/run_tables.h"
#include "gui/models/run_view.h"

namespace hc::gui {

/// Lives in the thread of its event loop. One load at a time: a new one cancels the one before,
/// and what a cancelled one still says is dropped by its generation.
class TraceModel : public QObject {
    Q_OBJECT
public:
    explicit TraceModel(QObject* parent = nullptr) : QObject(parent) {}
    ~TraceModel() override;

    void load(const std::filesystem::path& path, std::optional<trace::RunId> run);
    /// Stops the load under way, if any; `failed` says so.
    void cancel();
    [[nodiscard]] bool loading() const { return loading_; }
    /// The run shown; null before the first.
    [[nodiscard]] const RunViewPtr& view() const { return view_; }
    /// Shows a run that was made elsewhere.
    void set_view(RunViewPtr view);

Q_SIGNALS:
    /// `percent` -1: not known.
    void progressed(const QString& what, int percent);
    void loaded();
    /// One line that names the file. The run shown before stays. `code` is an hc::ExitCode.
    void failed(const QString& message, int code);

private:
    void stop_worker();
    void finish(quint64 generation, RunViewPtr view);
    void fail(quint64 generation, const QString& message, int code);

    RunViewPtr view_;
    std::shared_ptr<std::atomic<bool>> cancelled_;  ///< shared with the worker that polls it
    std::thread worker_;
    quint64 generation_ = 0;
    bool loading_ = false;
};

}  // namespace hc::gui
