#include "gui/views/svg_device.h"

#include <QBuffer>
#include <QImage>
#include <QPaintEngine>
#include <QPainterPath>
#include <QPixmap>
#include <QtMath>

namespace hc::gui {
namespace {

constexpr int kDotsPerInch = 96;

QString number(double value) {
    QString text = QString::number(value, 'f', 2);
    while (text.endsWith('0')) text.chop(1);
    if (text.endsWith('.')) text.chop(1);
    return text == "-0" ? QString("0") : text;
}

QString path_data(const QPainterPath& path) {
    QString data;
    for (int i = 0; i < path.elementCount(); ++i) {
        const QPainterPath::Element& e = path.elementAt(i);
        // A curve is three elements: this one and the two after it.
        const char* letter = e.isMoveTo() ? "M" : e.isLineTo() ? "L" : e.isCurveTo() ? "C" : "";
        data += QString("%1%2 %3 ").arg(letter, number(e.x), number(e.y));
    }
    return data;
}

}  // namespace

class SvgEngine : public QPaintEngine {
public:
    SvgEngine() : QPaintEngine(QPaintEngine::AllFeatures) {}

    bool begin(QPaintDevice*) override { return true; }
    bool end() override { return true; }
    [[nodiscard]] Type type() const override { return QPaintEngine::User; }

    /// Pen, brush, transform and clip are asked for when something is drawn; of the clip a change
    /// makes a new <clipPath>.
    void updateState(const QPaintEngineState& now) override {
        const auto flags = now.state();
        const bool clip = flags.testFlag(DirtyClipEnabled) || flags.testFlag(DirtyClipPath) ||
                          flags.testFlag(DirtyClipRegion) || flags.testFlag(DirtyTransform);
        if (flags.testFlag(DirtyTransform)) transform_ = now.transform();
        if (flags.testFlag(DirtyPen)) pen_ = now.pen();
        if (flags.testFlag(DirtyBrush)) brush_ = now.brush();
        if (flags.testFlag(DirtyFont)) font_ = now.font();
        if (flags.testFlag(DirtyOpacity)) opacity_ = now.opacity();
        if (clip) update_clip();
    }

    void drawPath(const QPainterPath& path) override {
        element(QString("<path d=\"%1\"").arg(path_data(path)), fill_text() + stroke_text());
    }

    void drawRects(const QRectF* rects, int count) override {
        for (int i = 0; i < count; ++i) {
            const QRectF r = rects[i].normalized();
            element(QString("<rect x=\"%1\" y=\"%2\" width=\"%3\" height=\"%4\"")
                        .arg(number(r.x()), number(r.y()), number(r.width()), number(r.height())),
                    fill_text() + stroke_text());
        }
    }

    void drawPolygon(const QPointF* points, int count, PolygonDrawMode mode) override {
        QString list;
        for (int i = 0; i < count; ++i) {
            list += number(points[i].x()) + ',' + number(points[i].y()) + ' ';
        }
        const bool open = mode == PolylineMode;
        element(QString("<%1 points=\"%2\"").arg(open ? "polyline" : "polygon", list),
                (open ? QString(" fill=\"none\"") : fill_text()) + stroke_text());
    }

    void drawPixmap(const QRectF& into, const QPixmap& pixmap, const QRectF& from) override {
        drawImage(into, pixmap.toImage(), from, Qt::AutoColor);
    }

    void drawImage(const QRectF& into, const QImage& image, const QRectF& from,
                   Qt::ImageConversionFlags) override {
        QByteArray bytes;
        QBuffer buffer(&bytes);
        buffer.open(QIODevice::WriteOnly);
        image.copy(from.toAlignedRect()).save(&buffer, "PNG");
        element(QString("<image x=\"%1\" y=\"%2\" width=\"%3\" height=\"%4\" "
                        "preserveAspectRatio=\"none\" style=\"image-rendering:pixelated\" "
                        "href=\"data:image/png;base64,%5\"")
                    .arg(number(into.x()), number(into.y()), number(into.width()),
                         number(into.height()), QString::fromLatin1(bytes.toBase64())),
                {});
    }

    void drawTextItem(const QPointF& place, const QTextItem& item) override {
        const QFont font = item.font();
        const double pixels =
            font.pixelSize() > 0 ? font.pixelSize() : font.pointSizeF() * kDotsPerInch / 72;
        QString more = QString(" font-family=\"%1\" font-size=\"%2\" fill=\"%3\"")
                           .arg(font.family().toHtmlEscaped(), number(pixels), pen_.color().name());
        if (font.bold()) more += " font-weight=\"bold\"";
        if (pen_.color().alphaF() < 1) {
            more += QString(" fill-opacity=\"%1\"").arg(number(pen_.color().alphaF()));
        }
        element(QString("<text x=\"%1\" y=\"%2\" xml:space=\"preserve\"")
                    .arg(number(place.x()), number(place.y())),
                more, item.text().toHtmlEscaped());
    }

    [[nodiscard]] QByteArray document(const QSize& size) const {
        return QString(
                   "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
                   "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%1\" height=\"%2\" "
                   "viewBox=\"0 0 %1 %2\">\n%3</svg>\n")
            .arg(size.width())
            .arg(size.height())
            .arg(body_)
            .toUtf8();
    }

private:
    void update_clip() {
        clip_.clear();
        if (!painter()->hasClipping()) return;
        // In device coordinates, as the elements' own transform must not apply to it.
        const QPainterPath path = transform_.map(painter()->clipPath());
        clip_ = QString("c%1").arg(num_clips_++);
        body_ += QString("<clipPath id=\"%1\"><path d=\"%2\"/></clipPath>\n")
                     .arg(clip_, path_data(path));
    }

    [[nodiscard]] QString fill_text() const {
        if (brush_.style() == Qt::NoBrush) return " fill=\"none\"";
        const QColor colour = brush_.color();
        QString text = QString(" fill=\"%1\"").arg(colour.name());
        if (colour.alphaF() < 1) {
            text += QString(" fill-opacity=\"%1\"").arg(number(colour.alphaF()));
        }
        return text;
    }

    [[nodiscard]] QString stroke_text() const {
        if (pen_.style() == Qt::NoPen) return " stroke=\"none\"";
        const double width = std::max(pen_.widthF(), 1.0);
        QString text =
            QString(" stroke=\"%1\" stroke-width=\"%2\"").arg(pen_.color().name(), number(width));
        if (pen_.color().alphaF() < 1) {
            text += QString(" stroke-opacity=\"%1\"").arg(number(pen_.color().alphaF()));
        }
        if (pen_.style() != Qt::SolidLine) {
            QStringList dashes;
            for (const double dash : pen_.dashPattern()) dashes += number(dash * width);
            text += QString(" stroke-dasharray=\"%1\"").arg(dashes.join(','));
        }
        return text;
    }

    void element(const QString& head, const QString& style, const QString& content = {}) {
        QString text = head + style;
        if (!transform_.isIdentity()) {
            text += QString(" transform=\"matrix(%1 %2 %3 %4 %5 %6)\"")
                        .arg(number(transform_.m11()), number(transform_.m12()),
                             number(transform_.m21()), number(transform_.m22()),
                             number(transform_.dx()), number(transform_.dy()));
        }
        if (opacity_ < 1) text += QString(" opacity=\"%1\"").arg(number(opacity_));
        if (content.isEmpty()) {
            text += "/>";
        } else {
            text += '>' + content + "</text>";
        }
        body_ += clip_.isEmpty() ? text + '\n'
                                 : QString("<g clip-path=\"url(#%1)\">%2</g>\n").arg(clip_, text);
    }

    QTransform transform_;
    QPen pen_;
    QBrush brush_;
    QFont font_;
    double opacity_ = 1;
    QString clip_;  ///< id; empty: none
    int num_clips_ = 0;
    QString body_;
};

SvgDevice::SvgDevice(const QSize& size) : size_(size), engine_(std::make_unique<SvgEngine>()) {}

SvgDevice::~SvgDevice() = default;

QPaintEngine* SvgDevice::paintEngine() const {
    return engine_.get();
}

QByteArray SvgDevice::document() const {
    return engine_->document(size_);
}

int SvgDevice::metric(PaintDeviceMetric metric) const {
    switch (metric) {
        case PdmWidth:
            return size_.width();
        case PdmHeight:
            return size_.height();
        case PdmWidthMM:
            return qRound(size_.width() * 25.4 / kDotsPerInch);
        case PdmHeightMM:
            return qRound(size_.height() * 25.4 / kDotsPerInch);
        case PdmNumColors:
            return 0xffffff;
        case PdmDepth:
            return 32;
        case PdmDpiX:
        case PdmDpiY:
        case PdmPhysicalDpiX:
        case PdmPhysicalDpiY:
            return kDotsPerInch;
        case PdmDevicePixelRatio:
            return 1;
        case PdmDevicePixelRatioScaled:
            return static_cast<int>(QPaintDevice::devicePixelRatioFScale());
        default:
            return 0;
    }
}

}  // namespace hc::gui
