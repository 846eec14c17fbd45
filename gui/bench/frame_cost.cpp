// What the viewer costs with many events, as JSON: opening, memory, frames, search, statistics,
// and the longest time that the window's thread was held up.
//
//   bench_viewer [--events N] [--trace FILE] [--open-only] [--what-if FILE]
//                [--json FILE]
//
// Without --trace a file is made beside the working folder and removed again. A frame is counted
// from the input event to the end of the synchronous repaint, at 1920x1080. Where no display is
// named it runs offscreen; neither there nor under Xvfb does anything wait for the screen, so
// these are costs and no frame rates.
#include <malloc.h>
#include <unistd.h>

#include <QApplication>
#include <QCommandLineParser>
#include <QElapsedTimer>
#include <QFile>
#include <QFont>
#include <QJsonArray>
#include <QJsonDocument>
#include <QJsonObject>
#include <QWheelEvent>
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <fstream>
#include <functional>
#include <vector>

#include "engine/core/error.h"
#include "gui/bench/big_trace.h"
#include "gui/models/range_statistics.h"
#include "gui/models/search.h"
#include "gui/views/main_window.h"
#include "gui/views/theme.h"
#include "gui/views/timeline_view.h"
#include "gui/views/watched_application.h"
#include "gui/views/what_if_panel.h"

namespace {

namespace gui = hc::gui;
using gui::TimelineView;

/// Resident, in bytes.
double resident() {
    malloc_trim(0);
    std::ifstream file("/proc/self/statm");
    double total = 0, pages = 0;
    file >> total >> pages;
    return pages * static_cast<double>(sysconf(_SC_PAGESIZE));
}

/// Of this thread; what other programs take of the machine does not count.
double cpu_ms() {
    timespec now{};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return static_cast<double>(now.tv_sec) * 1e3 + static_cast<double>(now.tv_nsec) / 1e6;
}

/// Of all threads of this process.
double process_cpu_s() {
    timespec now{};
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) / 1e9;
}

QJsonObject summary(std::vector<double> values) {
    std::sort(values.begin(), values.end());
    const auto at = [&](double share) {
        return values[static_cast<std::size_t>(share * static_cast<double>(values.size() - 1))];
    };
    return {{"p50", at(0.5)}, {"p95", at(0.95)}, {"p99", at(0.99)}, {"max", values.back()}};
}

class Bench {
public:
    explicit Bench(const QString& trace) : trace_(trace) {
        window_.resize(1920, 1080);
        window_.show();
        QApplication::processEvents();
    }

    QJsonObject run(bool open_only) {
        open();
        if (open_only) return result_;
        frames();
        look_for_things();
        result_["longest_block_wall_ms"] = watch().longest_ms();
        result_["longest_block_cpu_ms"] = watch().longest_cpu_ms();
        return result_;
    }

private:
    static gui::WatchedApplication& watch() {
        return *static_cast<gui::WatchedApplication*>(QApplication::instance());
    }

    void open() {
        // Warm: the file lies in the page cache.
        std::ifstream file(trace_.toStdString(), std::ios::binary);
        std::vector<char> block(1 << 20);
        while (file.read(block.data(), static_cast<std::streamsize>(block.size()))) {
        }
        const double before = resident();
        watch().reset();
        const double cpu_before = process_cpu_s();
        QElapsedTimer timer;
        timer.start();
        QEventLoop loop;
        QString failure;
        QObject::connect(&window_.model(), &gui::TraceModel::loaded, &loop, &QEventLoop::quit);
        QObject::connect(&window_.model(), &gui::TraceModel::failed, &loop,
                         [&](const QString& message) {
                             failure = message;
                             loop.quit();
                         });
        window_.open(trace_.toStdString(), std::nullopt);
        loop.exec();
        if (!failure.isEmpty()) hc::throw_input(failure.toStdString());
        window_.timeline().repaint();
        result_["open_s"] = static_cast<double>(timer.nsecsElapsed()) / 1e9;
        result_["open_cpu_s"] = process_cpu_s() - cpu_before;
        // What workers still count is not the trace's memory.
        while (window_.busy()) QApplication::processEvents(QEventLoop::WaitForMoreEvents, 20);
        view_ = window_.model().view();
        const auto events = static_cast<double>(view_->lanes.num_events());
        result_["events"] = events;
        result_["tracks"] = static_cast<qint64>(view_->lanes.groups.size());
        result_["lanes"] = static_cast<qint64>(view_->lanes.lanes.size());
        result_["bytes_per_event_resident"] = (resident() - before) / events;
        result_["bytes_per_event_in_lanes"] = static_cast<double>(view_->lanes.memory()) / events;
        result_["file_bytes"] = static_cast<qint64>(QFile(trace_).size());
    }

    void measure(const QString& name, int count, const std::function<void(int)>& input) {
        std::vector<double> wall, cpu;
        int late = 0;
        for (int i = 0; i < count; ++i) {
            const double cpu_before = cpu_ms();
            QElapsedTimer timer;
            timer.start();
            input(i);
            window_.timeline().repaint();
            wall.push_back(static_cast<double>(timer.nsecsElapsed()) / 1e6);
            cpu.push_back(cpu_ms() - cpu_before);
            late += wall.back() > 16.7 ? 1 : 0;
        }
        QJsonObject frames{{"scenario", name}, {"frames", count}, {"over_16_7_ms", late}};
        frames["wall_ms"] = summary(wall);
        frames["cpu_ms"] = summary(cpu);
        frames_.append(frames);
        const QJsonObject w = frames["wall_ms"].toObject(), c = frames["cpu_ms"].toObject();
        std::printf(
            "%-16s wall p50 %6.2f  p99 %6.2f  max %6.2f ms | cpu p50 %6.2f  p99 %6.2f  "
            "max %6.2f ms\n",
            qPrintable(name), w["p50"].toDouble(), w["p99"].toDouble(), w["max"].toDouble(),
            c["p50"].toDouble(), c["p99"].toDouble(), c["max"].toDouble());
    }

    void wheel(QPointF position, int delta) {
        TimelineView& timeline = window_.timeline();
        QWheelEvent event(position, timeline.mapToGlobal(position), {}, {0, delta}, Qt::NoButton,
                          Qt::NoModifier, Qt::NoScrollPhase, false);
        QApplication::sendEvent(&timeline, &event);
    }

    void frames() {
        TimelineView& timeline = window_.timeline();
        const gui::TimeRange bounds = view_->lanes.bounds;
        const double whole = bounds.span();
        const QPointF middle(timeline.width() * 0.55, timeline.height() * 0.5);
        const auto pan = [&](double share) {
            const double span = whole * share;
            return [&timeline, bounds, whole, span](int i) {
                const double start = bounds.start_ns + whole * 0.3 + span * 0.01 * i;
                timeline.stack().set({start, start + span});
            };
        };
        measure("whole trace", 300,
                [&](int i) { timeline.stack().set(bounds.padded(-0.0001 * (i % 7))); });
        measure("zoom sweep", 300,
                [&](int i) { wheel(middle, i < 75 || (i >= 150 && i < 225) ? 120 : -120); });
        measure("pan at 10 %", 300, pan(0.1));
        measure("pan at 1 %", 300, pan(0.01));
        measure("pan at 0.1 %", 300, pan(0.001));
        measure("labels", 300, [&](int i) {
            const double start = bounds.start_ns + whole * 0.4 + 900.0 * i;
            timeline.stack().set({start, start + 150'000});
        });
        timeline.stack().set(bounds);
        measure("mouse only", 300, [&](int i) {
            const QPointF place(timeline.width() * 0.3 + i, middle.y());
            QMouseEvent event(QEvent::MouseMove, place, timeline.mapToGlobal(place), Qt::NoButton,
                              Qt::NoButton, Qt::NoModifier);
            QApplication::sendEvent(&timeline, &event);
        });
        result_["frames"] = frames_;
    }

    void look_for_things() {
        const std::atomic<bool> never = false;
        QJsonObject searches;
        for (const char* text : {"layer_kernel_42", "cuda", "dur>500us", "/kernel_[13]7$/"}) {
            QString problem;
            const auto query = gui::parse_query(text, problem);
            std::vector<double> ms;
            std::size_t hits = 0;
            for (int i = 0; i < 5; ++i) {
                const auto found = gui::search(*view_, *query, never);
                ms.push_back(found->elapsed_ms);
                hits = found->count;
            }
            QJsonObject one = summary(ms);
            one["hits"] = static_cast<qint64>(hits);
            searches[text] = one;
            std::printf("search %-18s %10zu hits  %7.1f ms\n", text, hits, one["p50"].toDouble());
        }
        result_["search_ms"] = searches;
        std::vector<double> ms;
        const double cpu_before = process_cpu_s();
        for (int i = 0; i < 7; ++i) {
            ms.push_back(gui::range_statistics(view_->lanes, view_->lanes.bounds.padded(1), never)
                             ->elapsed_ms);
        }
        result_["range_statistics_ms"] = summary(ms);
        result_["range_statistics_cpu_ms"] = (process_cpu_s() - cpu_before) / 7 * 1e3;
        std::printf(
            "statistics of everything           %7.1f ms (fastest %.1f; processor time "
            "%.1f)\n",
            result_["range_statistics_ms"].toObject()["p50"].toDouble(),
            *std::min_element(ms.begin(), ms.end()), result_["range_statistics_cpu_ms"].toDouble());
    }

    QString trace_;
    gui::MainWindow window_;
    gui::RunViewPtr view_;
    QJsonObject result_;
    QJsonArray frames_;
};

/// From a turn of a control to the figures on the screen, and to the predicted steps.
QJsonObject what_if(const QString& trace) {
    gui::WhatIfPanel panel;
    panel.resize(1000, 330);
    panel.show();
    panel.set_trace(trace.toStdString(), std::nullopt, {});
    const auto wait = [&panel] {
        while (panel.busy()) QApplication::processEvents(QEventLoop::WaitForMoreEvents, 20);
    };
    wait();
    if (!panel.model().is_ready()) hc::throw_refused(panel.message().toStdString());
    std::vector<double> figures, steps;
    QElapsedTimer timer;
    bool answered = false, simulated = false;
    QObject::connect(&panel.model(), &gui::WhatIfModel::answered, &panel, [&] {
        panel.repaint();
        figures.push_back(static_cast<double>(timer.nsecsElapsed()) / 1e6);
        answered = true;
    });
    QObject::connect(&panel.model(), &gui::WhatIfModel::run_simulated, &panel, [&] {
        panel.repaint();
        steps.push_back(static_cast<double>(timer.nsecsElapsed()) / 1e6);
        simulated = true;
    });
    gui::WhatIfChoice choice = panel.choice();
    for (int i = 0; i < 40; ++i) {
        choice.ratio = 0.4 + 0.01 * i;
        choice.window = 3 + i % 5;
        answered = simulated = false;
        timer.start();
        panel.model().ask(choice);
        while (panel.busy() && !(answered && simulated)) {
            QApplication::processEvents(QEventLoop::WaitForMoreEvents, 20);
        }
    }
    wait();
    if (figures.empty() || steps.empty()) hc::throw_refused("no question was answered");
    QJsonObject result{{"questions", static_cast<int>(figures.size())},
                       {"figures_ms", summary(figures)},
                       {"steps_ms", summary(steps)}};
    std::printf("what if: figures p50 %.1f ms max %.1f, steps p50 %.1f ms max %.1f\n",
                result["figures_ms"].toObject()["p50"].toDouble(),
                result["figures_ms"].toObject()["max"].toDouble(),
                result["steps_ms"].toObject()["p50"].toDouble(),
                result["steps_ms"].toObject()["max"].toDouble());
    return result;
}

int run(int argc, char** argv) {
    const bool display = qEnvironmentVariableIsSet("DISPLAY");
    if (!display) qputenv("QT_QPA_PLATFORM", "offscreen");
    gui::WatchedApplication app(argc, argv);
    QFont font("DejaVu Sans");
    font.setPixelSize(12);
    QApplication::setFont(font);
    gui::apply_theme(app, gui::ThemeChoice::kDark);
    QCommandLineParser parser;
    parser.addOptions({{"events", "How many events.", "N", "10000000"},
                       {"trace", "Made when it is not there, and kept.", "FILE"},
                       {"open-only", "Open and no more."},
                       {"what-if", "Measure the what-if panel on this trace, too.", "FILE"},
                       {"json", "Where to write the figures.", "FILE"}});
    parser.addHelpOption();
    parser.process(app);
    const qlonglong events = parser.value("events").toLongLong();
    const bool keep = parser.isSet("trace");
    const QString trace = keep ? parser.value("trace") : QString("bench-viewer.sqlite");
    if (!QFile::exists(trace)) gui::bench::write_big_trace(trace.toStdString(), events);
    QJsonObject result;
    {
        Bench bench(trace);
        result = bench.run(parser.isSet("open-only"));
    }
    if (!keep) QFile::remove(trace);
    if (parser.isSet("what-if")) result["what_if"] = what_if(parser.value("what-if"));
    result["window"] = "1920x1080";
    result["platform"] = QGuiApplication::platformName();
    result["page_cache"] = "warm";
    double load = 0;
    if (getloadavg(&load, 1) == 1) result["load_average"] = load;
    result["cores"] = static_cast<int>(sysconf(_SC_NPROCESSORS_ONLN));
    std::printf(
        "%.0f events on %d tracks: opened in %.2f s (%.2f s of processor time), %.1f bytes "
        "resident per event (%.1f in lanes), longest block %.1f ms (%.1f ms of processor "
        "time)\n",
        result["events"].toDouble(), result["tracks"].toInt(), result["open_s"].toDouble(),
        result["open_cpu_s"].toDouble(), result["bytes_per_event_resident"].toDouble(),
        result["bytes_per_event_in_lanes"].toDouble(), result["longest_block_wall_ms"].toDouble(),
        result["longest_block_cpu_ms"].toDouble());
    if (parser.isSet("json")) {
        QFile file(parser.value("json"));
        if (!file.open(QIODevice::WriteOnly)) {
            hc::throw_io("cannot write " + parser.value("json").toStdString());
        }
        file.write(QJsonDocument(result).toJson());
    }
    return 0;
}

}  // namespace

int main(int argc, char** argv) {
    try {
        return run(argc, argv);
    } catch (const hc::Error& error) {
        std::fprintf(stderr, "bench_viewer: %s\n", error.what());
        return static_cast<int>(error.code());
    }
}
