#include "deskhand/report/svg.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "deskhand/report/words.h"

namespace deskhand {
namespace {

constexpr double kEm = 0.6;  // mean width of a character, of the wider sans-serif fonts
constexpr std::string_view kGrid = "#e4e7eb", kInk = "#1f2933", kSoft = "#52606d";

// Two decimals, no trailing zeros; what is not finite would break the file and is drawn at 0.
std::string px(double value) {
  if (!std::isfinite(value)) return "0";
  std::string text = decimal(value, 2);
  text.erase(text.find_last_not_of('0') + 1);
  if (text.ends_with('.')) text.pop_back();
  return text.empty() ? "0" : text;
}

std::string points_text(std::span<const Point> points) {
  std::string text;
  for (const Point& p : points) text += (text.empty() ? "" : " ") + px(p.x) + "," + px(p.y);
  return text;
}

// Corner points of a marker around (0, 0) with "radius" 1; empty: a circle.
std::vector<Point> corners(std::string_view symbol) {
  if (symbol == "square") return {{-.88, -.88}, {.88, -.88}, {.88, .88}, {-.88, .88}};
  if (symbol == "diamond") return {{0, -1.25}, {1.25, 0}, {0, 1.25}, {-1.25, 0}};
  if (symbol == "triangle-up") return {{0, -1.2}, {1.15, .9}, {-1.15, .9}};
  if (symbol == "triangle-down") return {{0, 1.2}, {1.15, -.9}, {-1.15, -.9}};
  if (symbol == "cross")
    return {{-.4, -1.15}, {.4, -1.15}, {.4, -.4}, {1.15, -.4}, {1.15, .4},   {.4, .4},
            {.4, 1.15},   {-.4, 1.15}, {-.4, .4}, {-1.15, .4}, {-1.15, -.4}, {-.4, -.4}};
  if (symbol == "pentagon") return {{0, -1.2}, {1.14, -.37}, {.7, .97}, {-.7, .97}, {-1.14, -.37}};
  return {};
}

std::array<double, 3> mix(const std::array<double, 3>& a, const std::array<double, 3>& b, double share) {
  return {a[0] + share * (b[0] - a[0]), a[1] + share * (b[1] - a[1]), a[2] + share * (b[2] - a[2])};
}

}  // namespace

Svg::Svg(double width, double height, std::string_view title, std::string_view description) : width_(width), height_(height) {
  head_ = fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {0} {1}\" width=\"{0}\" height=\"{1}\" role=\"img\" "
      "font-family=\"system-ui, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif\">\n"
      "<title>{2}</title>\n<desc>{3}</desc>\n<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n",
      px(width), px(height), html(title), html(description));
}

void Svg::rect(double x, double y, double width, double height, std::string_view fill, double opacity, std::string_view stroke) {
  if (width < 0) x += width, width = -width;
  if (height < 0) y += height, height = -height;
  body_ += fmt::format("<rect x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" fill=\"{}\"", px(x), px(y), px(width), px(height), fill);
  if (opacity < 1) body_ += fmt::format(" fill-opacity=\"{}\"", px(opacity));
  if (!stroke.empty()) body_ += fmt::format(" stroke=\"{}\"", stroke);
  body_ += "/>\n";
}

void Svg::line(Point from, Point to, const LineLook& look) {
  const std::array<Point, 2> ends = {from, to};
  path(ends, look);
}

void Svg::path(std::span<const Point> points, const LineLook& look) {
  if (points.size() < 2) return;
  body_ += fmt::format("<polyline points=\"{}\" fill=\"none\" stroke=\"{}\" stroke-width=\"{}\" stroke-linejoin=\"round\"",
                       points_text(points), look.stroke, px(look.width));
  if (!look.dash.empty()) body_ += fmt::format(" stroke-dasharray=\"{}\"", look.dash);
  body_ += "/>\n";
}

void Svg::area(std::span<const Point> points, std::string_view fill, double opacity) {
  if (points.size() < 3) return;
  body_ += fmt::format("<polygon points=\"{}\" fill=\"{}\" fill-opacity=\"{}\"/>\n", points_text(points), fill, px(opacity));
}

void Svg::marker(Point at, std::string_view symbol, double radius, std::string_view colour, bool hollow, double opacity) {
  const std::string look = fmt::format("fill=\"{}\" stroke=\"{}\" stroke-width=\"{}\"{}", hollow ? "#ffffff" : colour, colour,
                                       hollow ? "1.8" : "0.6", opacity < 1 ? fmt::format(" opacity=\"{}\"", px(opacity)) : "");
  std::vector<Point> shape = corners(symbol);
  if (shape.empty()) {
    body_ += fmt::format("<circle cx=\"{}\" cy=\"{}\" r=\"{}\" {}/>\n", px(at.x), px(at.y), px(radius), look);
    return;
  }
  for (Point& p : shape) p = {at.x + radius * p.x, at.y + radius * p.y};
  body_ += fmt::format("<polygon points=\"{}\" {}/>\n", points_text(shape), look);
}

void Svg::text(double x, double y, std::string_view text, const TextLook& look) {
  body_ += fmt::format("<text x=\"{}\" y=\"{}\" font-size=\"{}\" fill=\"{}\"", px(x), px(y), px(look.size), look.fill);
  if (look.anchor != Anchor::kStart) body_ += fmt::format(" text-anchor=\"{}\"", look.anchor == Anchor::kMiddle ? "middle" : "end");
  if (look.bold) body_ += " font-weight=\"600\"";
  if (look.rotate != 0) body_ += fmt::format(" transform=\"rotate({} {} {})\"", px(look.rotate), px(x), px(y));
  body_ += ">" + html(text) + "</text>\n";
}

std::string Svg::finish() const {
  return head_ + body_ + "</svg>\n";
}

double Scale::operator()(double value) const {
  return from == to ? (begin + end) / 2 : begin + (value - from) / (to - from) * (end - begin);
}

std::vector<double> ticks(double low, double high, int count) {
  if (!(std::isfinite(low) && std::isfinite(high)) || high <= low) return {low};
  const double raw = (high - low) / std::max(count, 1), power = std::pow(10, std::floor(std::log10(raw))), part = raw / power;
  const double step = power * (part < 1.5 ? 1 : part < 3 ? 2 : part < 7 ? 5 : 10);
  std::vector<double> values;
  for (double i = std::ceil(low / step - 1e-9); i * step <= high + step * 1e-9; ++i) values.push_back(i * step);
  return values.size() < 2 ? std::vector<double>{low, high} : values;
}

std::string tick_text(double value, double step) {
  const int digits = step > 0 ? std::clamp(static_cast<int>(std::ceil(-std::log10(step) - 1e-9)), 0, 6) : 2;
  return decimal(value, digits);
}

Frame::Frame(double left, double top, double width, double height, double x_low, double x_high, double y_low, double y_high)
    : left(left), top(top), width(width), height(height), x{x_low, x_high, left, left + width}, y{y_low, y_high, top + height, top} {}

void draw_axes(Svg& svg, const Frame& frame, const AxisLook& x, const AxisLook& y) {
  const auto label = [](const AxisLook& axis, const std::vector<double>& at, double value) {
    const double step = at.size() > 1 ? at[1] - at[0] : 0;
    return axis.per_cent ? tick_text(100 * value, 100 * step) + " %" : tick_text(value, step);
  };
  const double bottom = frame.top + frame.height;
  const std::vector<double> x_at = x.at.empty() ? ticks(frame.x.from, frame.x.to, static_cast<int>(frame.width / 90) + 1) : x.at;
  const std::vector<double> y_at = y.at.empty() ? ticks(frame.y.from, frame.y.to, static_cast<int>(frame.height / 55) + 1) : y.at;
  for (const double value : y.hidden ? std::vector<double>{} : y_at) {
    svg.line({frame.left, frame.y(value)}, {frame.left + frame.width, frame.y(value)}, {.stroke = kGrid});
    svg.text(frame.left - 8, frame.y(value) + 4, label(y, y_at, value), {.size = 11, .anchor = Anchor::kEnd, .fill = kSoft});
  }
  for (const double value : x.hidden ? std::vector<double>{} : x_at) {
    svg.line({frame.x(value), frame.top}, {frame.x(value), bottom}, {.stroke = kGrid});
    svg.text(frame.x(value), bottom + 17, label(x, x_at, value), {.size = 11, .anchor = Anchor::kMiddle, .fill = kSoft});
  }
  svg.line({frame.left, bottom}, {frame.left + frame.width, bottom}, {.stroke = "#9aa5b1"});
  if (!x.title.empty()) svg.text(frame.left + frame.width / 2, bottom + 38, x.title, {.anchor = Anchor::kMiddle, .fill = kInk});
  if (!y.title.empty())
    svg.text(frame.left - 48, frame.top + frame.height / 2, y.title, {.anchor = Anchor::kMiddle, .fill = kInk, .rotate = -90});
}

double draw_legend(Svg& svg, double left, double top, double width, std::span<const LegendEntry> entries) {
  double x = left, y = top + 10;
  for (const LegendEntry& entry : entries) {
    const std::string text = fit(entry.text, width - 40, 12);
    const double wide = 38 + text_width(text, 12) + 14;
    if (x > left && x + wide > left + width) x = left, y += 20;
    if (entry.line) svg.line({x, y}, {x + 28, y}, {.stroke = entry.colour, .width = 2, .dash = entry.dash});
    if (!entry.symbol.empty()) svg.marker({x + 14, y}, entry.symbol, 4.5, entry.colour, entry.hollow);
    svg.text(x + 35, y + 4, text);
    x += wide;
  }
  return entries.empty() ? 0 : y - top + 12;
}

double text_width(std::string_view text, double size) {
  return kEm * size * static_cast<double>(columns(text));
}

std::string fit(std::string_view text, double width, double size) {
  const auto characters = static_cast<std::size_t>(std::max(2.0, width / (kEm * size) + 0.01));
  return elided(visible(text), characters);
}

std::string heat_colour(double share) {
  constexpr std::array<std::array<double, 3>, 4> kRamp = {{{247, 250, 253}, {166, 200, 228}, {62, 126, 184}, {13, 50, 102}}};
  const double place = std::clamp(std::isfinite(share) ? share : 0, 0.0, 1.0) * (kRamp.size() - 1);
  const auto from = std::min(static_cast<std::size_t>(place), kRamp.size() - 2);
  const auto [r, g, b] = mix(kRamp[from], kRamp[from + 1], place - static_cast<double>(from));
  return fmt::format("#{:02x}{:02x}{:02x}", static_cast<int>(std::lround(r)), static_cast<int>(std::lround(g)),
                     static_cast<int>(std::lround(b)));
}

std::string_view ink_on_heat(double share) {
  return share > 0.5 ? "#ffffff" : kInk;
}

}  // namespace deskhand
