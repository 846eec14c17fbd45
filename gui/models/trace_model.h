/// Opens traces beside the window: a worker reads, the window goes on.
#pragma once

#include <QObject>
#include <QString>
#include <filesystem>
#include <memory>
#include <optional>

#include "gui/models/background.h"
#include "gui/models/run_tables.h"
#include "gui/models/run_view.h"

namespace hc::gui {

/// Lives in the thread of its event loop. One load at a time: a new one cancels the one before,
/// and what a cancelled one still says is dropped.
class TraceModel : public QObject {
    Q_OBJECT
public:
    explicit TraceModel(QObject* parent = nullptr) : QObject(parent) {}

    void load(const std::filesystem::path& path, std::optional<trace::RunId> run);
    /// Stops the load under way, if any; `failed` says so.
    void cancel();
    [[nodiscard]] bool loading() const { return loading_; }
    /// The run shown; null before the first.
    [[nodiscard]] const RunViewPtr& view() const { return view_; }
    /// Shows a run that was made elsewhere; null: none.
    void set_view(RunViewPtr view);

Q_SIGNALS:
    /// `percent` -1: not known.
    void progressed(const QString& what, int percent);
    void loaded();
    /// One line that names the file. The run shown before stays. `code` is an hc::ExitCode.
    void failed(const QString& message, int code);

private:
    void finish(RunViewPtr view);
    void fail(const QString& message, int code);

    RunViewPtr view_;
    quint64 generation_ = 0;
    bool loading_ = false;
    Background background_;
};

}  // namespace hc::gui
