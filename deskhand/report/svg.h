// A small kit for static charts: shapes and texts in pixels from the top left, scales, axes and a legend. What it writes is well-formed XML
// with a title and a description, light colours on white, no script and no reference to another file.
#pragma once
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace deskhand {

enum class Anchor { kStart, kMiddle, kEnd };

struct TextLook {
  double size = 12;
  Anchor anchor = Anchor::kStart;
  bool bold = false;
  std::string_view fill = "#1f2933";
  double rotate = 0;  // degrees, clockwise around (x, y)
};

struct LineLook {
  std::string_view stroke = "#52606d";
  double width = 1;
  std::string_view dash = "";  // "4 3"
};

struct Point {
  double x = 0, y = 0;
};

class Svg {
 public:
  Svg(double width, double height, std::string_view title, std::string_view description);

  void rect(double x, double y, double width, double height, std::string_view fill, double opacity = 1, std::string_view stroke = "");
  void line(Point from, Point to, const LineLook& look = {});
  void path(std::span<const Point> points, const LineLook& look);                   // an open line; fewer than two points: nothing
  void area(std::span<const Point> points, std::string_view fill, double opacity);  // closed
  void marker(Point at, std::string_view symbol, double radius, std::string_view colour, bool hollow = false, double opacity = 1);
  void text(double x, double y, std::string_view text, const TextLook& look = {});
  std::string finish() const;

  double width() const { return width_; }
  double height() const { return height_; }

 private:
  double width_, height_;
  std::string head_, body_;
};

// A value's place: `from`..`to` in values, `begin`..`end` in pixels. Equal ends map to the middle.
struct Scale {
  double from = 0, to = 1, begin = 0, end = 1;
  double operator()(double value) const;
};

// Round values inside low..high, about `count`: 0, 20, 40. At least two where low < high.
std::vector<double> ticks(double low, double high, int count = 5);
std::string tick_text(double value, double step);

// The rectangle in which values are drawn.
struct Frame {
  double left = 0, top = 0, width = 0, height = 0;
  Scale x, y;  // pixels of the frame; y grows upwards
  Frame(double left, double top, double width, double height, double x_low, double x_high, double y_low, double y_high);
  Point at(double x_value, double y_value) const { return {x(x_value), y(y_value)}; }
};

struct AxisLook {
  std::string_view title = "";
  bool per_cent = false;        // ticks of 0..1 shown as 0..100
  std::vector<double> at = {};  // ticks; empty: round values
  bool hidden = false;          // neither ticks nor title
};

void draw_axes(Svg& svg, const Frame& frame, const AxisLook& x, const AxisLook& y);

struct LegendEntry {
  std::string text;
  std::string_view symbol, colour, dash;  // an empty symbol: only the line; an empty dash: solid
  bool hollow = false, line = true;
};

// In rows from (left, top), wrapped at `width`; gives the height used.
double draw_legend(Svg& svg, double left, double top, double width, std::span<const LegendEntry> entries);

double text_width(std::string_view text, double size);              // an estimate: fonts differ
std::string fit(std::string_view text, double width, double size);  // shortened to that width

// A sequential ramp that grows darker evenly, readable in grey: 0 is nearly white, 1 dark blue. And the ink that is readable on it.
std::string heat_colour(double share);
std::string_view ink_on_heat(double share);

}  // namespace deskhand
