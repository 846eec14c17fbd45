#include "gui/views/summary_header.h"

#include <QPainter>
#include <cmath>

#include "gui/models/ticks.h"
#include "gui/views/theme.h"

namespace hc::gui {
namespace {

constexpr int kPad = 12;
constexpr int kGap = 26;

QString text(const std::string& s) {
    return QString::fromStdString(s);
}

QFont caption_font(const QWidget& widget) {
    QFont font = widget.font();
    font.setPixelSize(std::max(10, QFontMetrics(font).height() * 2 / 3));
    return font;
}

QFont value_font(const QWidget& widget) {
    QFont font = widget.font();
    font.setPixelSize(QFontMetrics(font).height() * 1 + 1);
    font.setBold(true);
    return font;
}

}  // namespace

std::vector<SummaryTile> summary_tiles(const RunView& view) {
    const analysis::RunMetrics& m = view.metrics;
    const trace::Run& run = view.data.run;
    std::vector<SummaryTile> tiles;
    if (view.runs.empty()) {
        const auto events = static_cast<qint64>(view.lanes.num_events());
        tiles.push_back({"CUDA activity", format_count(events), "events", false});
        tiles.push_back({"span", format_duration(view.lanes.bounds.span()), "", false});
        return tiles;
    }
    // A simulated run must never pass for a recorded one.
    const bool simulated = run.origin == trace::Origin::kSimulated;
    const QString mode = text(run.mode);
    const QString note = simulated ? (mode.isEmpty() ? "simulated" : mode + ", simulated") : mode;
    tiles.push_back({"policy", text(run.policy), note, false});
    if (view.ratio) tiles.push_back({"ratio", QString::number(*view.ratio, 'g', 3), ""});
    tiles.push_back({"prompt", format_count(run.prompt_tokens), "tokens"});
    if (m.step_ns.count > 0) {
        tiles.push_back({"step median", format_duration(m.step_ns.median), ""});
        tiles.push_back({"step p95", format_duration(m.step_ns.p95), ""});
        tiles.push_back({"decode", QString::number(m.tokens_per_s, 'f', 1), "tokens/s"});
    }
    if (run.policy != "fullkv") {
        tiles.push_back({"checks", format_count(m.checks), ""});
        tiles.push_back({"triggers", format_count(m.triggers), "", m.triggers > 0});
        tiles.push_back({"I/O hiding",
                         m.transfer.hiding
                             ? QString::number(*m.transfer.hiding * 100, 'f', 1) + " %"
                             : QString("none"),
                         QString("lag %1").arg(m.commit_lag)});
    }
    if (m.recall) {
        const QString low = QString::number(m.recall->low, 'f', 3);
        const QString high = QString::number(m.recall->high, 'f', 3);
        tiles.push_back({"recall", low == high ? low : low + " \u2013 " + high, ""});
    }
    if (m.kv_pool_peak_bytes > 0) {
        tiles.push_back({"KV pool", format_bytes(static_cast<double>(m.kv_pool_peak_bytes)), ""});
    }
    return tiles;
}

SummaryHeader::SummaryHeader(QWidget* parent) : QWidget(parent) {
    setSizePolicy(QSizePolicy::Preferred, QSizePolicy::Fixed);
    setAccessibleName("summary of the run");
}

void SummaryHeader::set_view(const RunViewPtr& view) {
    tiles_ = view ? summary_tiles(*view) : std::vector<SummaryTile>{};
    updateGeometry();
    update();
}

QSize SummaryHeader::sizeHint() const {
    const int height =
        QFontMetrics(caption_font(*this)).height() + QFontMetrics(value_font(*this)).height() + 16;
    return {600, height};
}

QSize SummaryHeader::minimumSizeHint() const {
    return {100, sizeHint().height()};
}

void SummaryHeader::paintEvent(QPaintEvent*) {
    QPainter painter(this);
    const Theme theme = Theme::of(palette());
    painter.fillRect(rect(), theme.panel);
    painter.setPen(theme.border);
    painter.drawLine(0, height() - 1, width(), height() - 1);
    const QFontMetrics caption(caption_font(*this)), value(value_font(*this));
    int natural = 2 * kPad;
    for (const SummaryTile& tile : tiles_) {
        const int note = tile.note.isEmpty() ? 0 : caption.horizontalAdvance(tile.note) + 5;
        natural += std::max(caption.horizontalAdvance(tile.caption),
                            value.horizontalAdvance(tile.value) + note);
    }
    // Narrow windows close up before they leave figures out.
    const int gaps = std::max(1, static_cast<int>(tiles_.size()) - 1);
    const int gap = std::clamp((width() - natural) / gaps, 14, kGap);
    int x = kPad;
    for (const SummaryTile& tile : tiles_) {
        const int note_width = tile.note.isEmpty() ? 0 : caption.horizontalAdvance(tile.note) + 5;
        const int tile_width = std::max(caption.horizontalAdvance(tile.caption),
                                        value.horizontalAdvance(tile.value) + note_width);
        if (x + tile_width > width() - kPad / 2) break;
        const int top = 7;
        painter.setFont(caption_font(*this));
        painter.setPen(theme.dim_text);
        painter.drawText(x, top + caption.ascent(), tile.caption);
        const int base = top + caption.height() + 1 + value.ascent();
        painter.drawText(x + value.horizontalAdvance(tile.value) + 5, base, tile.note);
        painter.setFont(value_font(*this));
        painter.setPen(tile.warn ? theme.warning : theme.text);
        painter.drawText(x, base, tile.value);
        x += tile_width + gap;
    }
}

}  // namespace hc::gui
