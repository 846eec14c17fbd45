#include "gui/views/program.h"

#include <QApplication>
#include <QCommandLineParser>
#include <QElapsedTimer>
#include <QEventLoop>
#include <QFileInfo>
#include <QLineEdit>
#include <QSettings>
#include <cstdio>

#include "engine/core/error.h"
#include "gui/views/main_window.h"
#include "gui/views/search_bar.h"
#include "gui/views/timeline_view.h"
#include "gui/views/watched_application.h"

namespace hc::gui {
namespace {

constexpr int kLargestSide = 16384;
// A picture waits this long for statistics, replay and simulations.
constexpr qint64 kWorkersMs = 120'000;

std::string quoted(const QString& text) {
    return '\'' + text.toStdString() + '\'';
}

void declare(QCommandLineParser& parser) {
    parser.addPositionalArgument("trace", "A trace of hcprof (.sqlite).", "[TRACE]");
    parser.addOptions({
        {{"h", "help"}, "Show this help."},
        {"run", "Show the run with this number; default: the first recorded heterocache run.", "N"},
        {"snapshot",
         "Write a picture of the window (.png) or of its timeline (.svg) to this file and exit.",
         "FILE"},
        {"size", "Size of the window, for instance 1600x1000.", "WxH"},
        {"theme", "dark or light; default: as the desktop (pictures: dark).", "NAME"},
        {"goto", "Show this step (40) or time (12.5ms, 3s).", "STEP|TIME"},
        {"compare", "Lay another trace under it, step by step.", "TRACE"},
        {"panel", "Bring a panel to the front: heads, details, drift, replay, what-if, tables.",
         "NAME"},
        {"search", "Search for events, as the search field does.", "TEXT"},
    });
}

std::int64_t whole_number(const QCommandLineParser& parser, const QString& option) {
    bool ok = false;
    const qlonglong number = parser.value(option).toLongLong(&ok);
    if (!ok || number < 0) {
        throw_usage("--" + option.toStdString() + " is " + quoted(parser.value(option)) +
                    ", expected a whole number from 0");
    }
    return number;
}

QSize size_of(const QString& text) {
    const QStringList sides = text.split('x');
    bool ok = sides.size() == 2, ok_height = false;
    const int width = ok ? sides[0].toInt(&ok) : 0;
    const int height = sides.size() == 2 ? sides[1].toInt(&ok_height) : 0;
    const bool fits =
        width >= 400 && height >= 300 && width <= kLargestSide && height <= kLargestSide;
    if (!ok || !ok_height || !fits) {
        throw_usage("--size is " + quoted(text) + ", expected WIDTHxHEIGHT from 400x300 to " +
                    std::to_string(kLargestSide) + 'x' + std::to_string(kLargestSide));
    }
    return {width, height};
}

bool has_display() {
    return qEnvironmentVariableIsSet("DISPLAY") || qEnvironmentVariableIsSet("WAYLAND_DISPLAY");
}

/// Before QApplication: it reads the platform once. Pictures never need a display, and look the
/// same with and without one.
void choose_platform(const ViewerOptions& options) {
    if (qEnvironmentVariableIsSet("QT_QPA_PLATFORM")) return;
    if (!options.snapshot.isEmpty()) {
        qputenv("QT_QPA_PLATFORM", "offscreen");
    } else if (!has_display()) {
        throw_unavailable(
            "no display on this machine (neither DISPLAY nor WAYLAND_DISPLAY is set); "
            "--snapshot FILE.png writes a picture without one");
    }
}

/// Runs the loop until the load ends; throws what it failed with.
void wait_for_load(TraceModel& model) {
    QEventLoop loop;
    std::optional<Error> failure;
    QObject::connect(&model, &TraceModel::loaded, &loop, &QEventLoop::quit);
    QObject::connect(&model, &TraceModel::failed, &loop, [&](const QString& message, int code) {
        failure.emplace(static_cast<ExitCode>(code), message.toStdString());
        loop.quit();
    });
    if (model.loading()) loop.exec();
    if (failure) throw Error(*failure);
}

/// A picture shows what workers found, not that they were at it.
void wait_for_workers(MainWindow& window) {
    QElapsedTimer timer;
    timer.start();
    QApplication::processEvents();
    while (window.busy() && timer.elapsed() < kWorkersMs) {
        QApplication::processEvents(QEventLoop::WaitForMoreEvents, 50);
    }
}

void go_to(MainWindow& window, const ViewerOptions& options) {
    if (options.go_to) {
        if (!window.go_to(*options.go_to)) {
            const trace::Steps& steps = window.model().view()->data.steps;
            const std::string held = steps.size() == 0
                                         ? "no steps"
                                         : "steps " + std::to_string(steps.step.front()) + " to " +
                                               std::to_string(steps.step.back());
            throw_refused("--goto names step " + std::to_string(*options.go_to->step) +
                          ", but the run holds " + held);
        }
    } else if (!options.snapshot.isEmpty()) {
        window.show_first_trigger();
    }
}

/// What the options ask of a window with its trace loaded.
void arrange(MainWindow& window, const ViewerOptions& options) {
    go_to(window, options);
    if (!options.panel.isEmpty()) window.show_panel(options.panel);
    if (!options.search.isEmpty()) window.search().field().setText(options.search);
    if (!options.compare.isEmpty()) {
        window.compare_with(options.compare.toStdString(), std::nullopt);
    }
}

/// Qt's remarks on a machine without a desktop are no one's concern who wants a picture.
void drop_message(QtMsgType type, const QMessageLogContext&, const QString& message) {
    if (type == QtFatalMsg)
        std::fprintf(stderr, "hcprof-view: %s\n", message.toLocal8Bit().constData());
}

int show(const ViewerOptions& options, int argc, char** argv) {
    choose_platform(options);
    if (!options.snapshot.isEmpty()) qInstallMessageHandler(drop_message);
    // Fractional scales of the desktop are kept as they are: rounding blurs or shrinks text.
    QApplication::setHighDpiScaleFactorRoundingPolicy(
        Qt::HighDpiScaleFactorRoundingPolicy::PassThrough);
    WatchedApplication app(argc, argv);
    QApplication::setApplicationName("hcprof-view");
    const bool snapshot = !options.snapshot.isEmpty();
    if (snapshot) {
        // A pinned font: the same picture on every machine.
        QFont font("DejaVu Sans");
        font.setPixelSize(12);
        QApplication::setFont(font);
    }
    apply_theme(app, options.theme ? options.theme
                     : snapshot    ? std::optional(ThemeChoice::kDark)
                                   : std::nullopt);
    MainWindow window;
    window.resize(options.size);
    if (snapshot) {
        window.show();
        window.open(options.trace.toStdString(), options.run);
        wait_for_load(window.model());
        arrange(window, options);
        if (!options.compare.isEmpty()) wait_for_load(window.other_model());
        wait_for_workers(window);
        window.export_picture(options.snapshot);
        return static_cast<int>(ExitCode::kOk);
    }
    QSettings settings("hcprof", "viewer");
    window.restore_layout(settings);
    QObject::connect(&window, &MainWindow::closing, &window, [&] { window.save_layout(settings); });
    window.show();
    if (!options.trace.isEmpty()) {
        window.open(options.trace.toStdString(), options.run);
        QObject::connect(
            &window.model(), &TraceModel::loaded, &window,
            [&window, options] {
                try {
                    arrange(window, options);
                } catch (const Error& error) {
                    window.show_problem(QString::fromUtf8(error.what()));
                }
            },
            Qt::SingleShotConnection);
    }
    return QApplication::exec();
}

}  // namespace

ViewerOptions parse_viewer_options(const QStringList& arguments) {
    QCommandLineParser parser;
    declare(parser);
    if (!parser.parse(arguments)) {
        throw_usage(parser.errorText().toStdString() + "; see --help");
    }
    ViewerOptions options;
    options.help = parser.isSet("help");
    if (options.help) return options;
    if (parser.positionalArguments().size() > 1) {
        throw_usage("one trace at a time, found " +
                    std::to_string(parser.positionalArguments().size()) + " arguments");
    }
    options.trace = parser.positionalArguments().value(0);
    options.snapshot = parser.value("snapshot");
    if (parser.isSet("run")) options.run = static_cast<std::int32_t>(whole_number(parser, "run"));
    options.compare = parser.value("compare");
    options.search = parser.value("search");
    if (parser.isSet("panel")) {
        options.panel = parser.value("panel");
        const QStringList panels = {"heads", "details", "drift", "replay", "what-if", "tables"};
        if (!panels.contains(options.panel)) {
            throw_usage("--panel is " + quoted(options.panel) + ", expected one of " +
                        panels.join(", ").toStdString());
        }
    }
    if (parser.isSet("goto")) {
        options.go_to = parse_goto(parser.value("goto"));
        if (!options.go_to) {
            throw_usage("--goto is " + quoted(parser.value("goto")) +
                        ", expected a step (40) or a time (12.5ms, 3s)");
        }
    }
    if (parser.isSet("size")) options.size = size_of(parser.value("size"));
    if (parser.isSet("theme")) {
        const QString theme = parser.value("theme");
        if (theme != "dark" && theme != "light") {
            throw_usage("--theme is " + quoted(theme) + ", expected dark or light");
        }
        options.theme = theme == "dark" ? ThemeChoice::kDark : ThemeChoice::kLight;
    }
    if (parser.isSet("snapshot")) {
        const QString suffix = QFileInfo(options.snapshot).suffix().toLower();
        if (suffix != "png" && suffix != "svg") {
            throw_usage("--snapshot names " + quoted(options.snapshot) +
                        ", expected a file that ends in .png or .svg");
        }
        if (options.trace.isEmpty()) throw_usage("--snapshot needs a trace to take a picture of");
    }
    return options;
}

QString viewer_help() {
    QCommandLineParser parser;
    declare(parser);
    parser.setApplicationDescription(
        "Shows a trace of hcprof: what every step did, how attention "
        "drifts, what was fetched.");
    return parser.helpText();
}

int run_viewer(int argc, char** argv) {
    try {
        QStringList arguments;
        for (int i = 0; i < argc; ++i) arguments += QString::fromLocal8Bit(argv[i]);
        const ViewerOptions options = parse_viewer_options(arguments);
        if (options.help) {
            std::fputs(viewer_help().toLocal8Bit().constData(), stdout);
            return static_cast<int>(ExitCode::kOk);
        }
        return show(options, argc, argv);
    } catch (const Error& error) {
        std::fprintf(stderr, "hcprof-view: %s\n", error.what());
        return static_cast<int>(error.code());
    } catch (const std::exception& error) {
        std::fprintf(stderr, "hcprof-view: unexpected: %s\n", error.what());
        return static_cast<int>(ExitCode::kBug);
    }
}

}  // namespace hc::gui
