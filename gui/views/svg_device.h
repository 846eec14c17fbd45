/// A paint device that writes SVG: lines, areas, pictures and text as such, for pictures that are
/// scaled or printed. (Qt's own writer is a module of its own, which nothing else here needs.)
#pragma once

#include <QByteArray>
#include <QPaintDevice>
#include <QSize>
#include <memory>

namespace hc::gui {

class SvgEngine;

class SvgDevice : public QPaintDevice {
public:
    /// In logical pixels.
    explicit SvgDevice(const QSize& size);
    ~SvgDevice() override;

    [[nodiscard]] QPaintEngine* paintEngine() const override;
    /// The document, once painting has ended.
    [[nodiscard]] QByteArray document() const;

protected:
    [[nodiscard]] int metric(PaintDeviceMetric metric) const override;

private:
    QSize size_;
    std::unique_ptr<SvgEngine> engine_;
};

}  // namespace hc::gui
