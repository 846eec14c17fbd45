// What a frame of the timeline costs with many events, from the input event to the end of the
// synchronous repaint. Offscreen there is no vsync: this is cost, not a frame rate.
#include <QApplication>
#include <QElapsedTimer>
#include <QFont>
#include <QWheelEvent>
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <functional>
#include <random>
#include <vector>

#include "gui/views/theme.h"
#include "gui/views/timeline_view.h"

namespace {

using hc::gui::RunView;
using hc::gui::TimelineView;

/// Events on `lanes` streams, a third of them on the first, with bursts and pauses.
hc::gui::RunViewPtr make_view(std::size_t num_events, int lanes) {
    hc::trace::RunData data;
    std::mt19937_64 random(11);
    std::int64_t op_id = 0;
    for (int lane = 0; lane < lanes; ++lane) {
        const std::size_t share = lane == 0 ? num_events / 3
                                            : (num_events - num_events / 3) /
                                                  static_cast<std::size_t>(std::max(lanes - 1, 1));
        std::int64_t now = 0;
        for (std::size_t i = 0; i < share; ++i) {
            const auto duration = static_cast<std::int64_t>(200 + random() % 6000);
            data.ops.op_id.push_back(op_id++);
            data.ops.step.push_back(static_cast<std::int64_t>(i / 300));
            data.ops.layer.push_back(static_cast<std::int32_t>(i % 30));
            data.ops.kind.push_back(
                static_cast<hc::OpKind>(random() % static_cast<unsigned>(hc::OpKind::kCount)));
            data.ops.stream.push_back(lane);
            data.ops.start_ns.push_back(now);
            data.ops.end_ns.push_back(now + duration);
            for (auto* column :
                 {&data.ops.bytes_read, &data.ops.bytes_written, &data.ops.flops, &data.ops.rows}) {
                column->push_back(64);
            }
            now += duration + static_cast<std::int64_t>(random() % 400);
            if (random() % 5000 == 0) now += 5'000'000;
        }
    }
    return std::make_shared<const RunView>(hc::gui::make_run_view(std::move(data), {}, {}, {}));
}

void wheel(TimelineView& view, QPointF position, int delta) {
    QWheelEvent event(position, view.mapToGlobal(position), {}, {0, delta}, Qt::NoButton,
                      Qt::NoModifier, Qt::NoScrollPhase, false);
    QApplication::sendEvent(&view, &event);
}

/// Of this thread; what other programs take of the machine does not count.
double cpu_ms() {
    timespec now{};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return static_cast<double>(now.tv_sec) * 1e3 + static_cast<double>(now.tv_nsec) / 1e6;
}

void measure(TimelineView& view, const char* name, int frames,
             const std::function<void(int)>& input) {
    std::vector<double> ms, cpu;
    for (int i = 0; i < frames; ++i) {
        const double cpu_before = cpu_ms();
        QElapsedTimer timer;
        timer.start();
        input(i);
        view.repaint();
        ms.push_back(static_cast<double>(timer.nsecsElapsed()) / 1e6);
        cpu.push_back(cpu_ms() - cpu_before);
    }
    std::sort(ms.begin(), ms.end());
    std::sort(cpu.begin(), cpu.end());
    const auto at = [&](const std::vector<double>& sorted, double p) {
        return sorted[static_cast<std::size_t>(p * double(frames - 1))];
    };
    const auto late = std::count_if(ms.begin(), ms.end(), [](double m) { return m > 16.7; });
    std::printf(
        "%-12s p50 %6.2f ms  p95 %6.2f  p99 %6.2f  max %6.2f  over 16.7 ms: %3ld of %d | "
        "processor time p50 %5.2f  p99 %5.2f  max %5.2f\n",
        name, at(ms, 0.5), at(ms, 0.95), at(ms, 0.99), ms.back(), static_cast<long>(late), frames,
        at(cpu, 0.5), at(cpu, 0.99), cpu.back());
}

}  // namespace

int main(int argc, char** argv) {
    qputenv("QT_QPA_PLATFORM", "offscreen");
    QApplication app(argc, argv);
    QFont font("DejaVu Sans");
    font.setPixelSize(12);
    QApplication::setFont(font);
    hc::gui::apply_theme(app, hc::gui::ThemeChoice::kDark);
    const std::size_t events = argc > 1 ? std::strtoull(argv[1], nullptr, 10) : 1'000'000;
    const int lanes = argc > 2 ? std::atoi(argv[2]) : 40;
    QElapsedTimer timer;
    timer.start();
    const hc::gui::RunViewPtr run = make_view(events, lanes);
    std::printf("%zu events, %zu lanes, made in %.0f ms, %.1f bytes per event in lanes\n",
                run->lanes.num_events(), run->lanes.lanes.size(),
                static_cast<double>(timer.nsecsElapsed()) / 1e6,
                double(run->lanes.memory()) / double(std::max<std::size_t>(events, 1)));
    TimelineView view;
    view.resize(1920, 1080);
    view.show();
    view.set_view(run);
    QApplication::processEvents();
    std::printf("window 1920x1080, scale %.1f, platform %s\n", view.devicePixelRatioF(),
                qPrintable(QGuiApplication::platformName()));
    const QPointF middle(1000, 500);
    measure(view, "whole trace", 200,
            [&](int i) { view.stack().set(run->lanes.bounds.padded(-0.0001 * (i % 7))); });
    measure(view, "zoom sweep", 300,
            [&](int i) { wheel(view, middle, i < 75 || (i >= 150 && i < 225) ? 120 : -120); });
    const double whole = run->lanes.bounds.span();
    for (const double share : {0.1, 0.01, 0.001}) {
        const double span = whole * share;
        char name[32];
        std::snprintf(name, sizeof name, "pan at %.1f %%", share * 100);
        measure(view, name, 300, [&](int i) {
            const double start = run->lanes.bounds.start_ns + whole * 0.3 + span * 0.01 * i;
            view.stack().set({start, start + span});
        });
    }
    measure(view, "labels", 300, [&](int i) {
        const double start = run->lanes.bounds.start_ns + whole * 0.4 + 900.0 * i;
        view.stack().set({start, start + 150'000});
    });
    return 0;
}
