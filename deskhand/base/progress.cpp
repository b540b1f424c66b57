#include "deskhand/base/progress.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cmath>
#include <cstdio>
#include <utility>

namespace deskhand {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_between(Clock::time_point from, Clock::time_point to) {
  return std::chrono::duration<double>(to - from).count();
}

}  // namespace

std::string human_bytes(double bytes) {
  constexpr const char* kUnits[] = {"B", "kB", "MB", "GB", "TB"};
  int unit = 0;
  while (bytes >= 999.5 && unit < 4) {
    bytes /= 1000;
    ++unit;
  }
  return fmt::format("{:.{}f} {}", bytes, unit == 0 || bytes >= 100 ? 0 : 1, kUnits[unit]);
}

std::string human_duration(double seconds) {
  if (seconds < 10) return fmt::format("{:.1f} s", seconds);
  const auto whole = static_cast<std::int64_t>(std::llround(seconds));
  if (whole < 60) return fmt::format("{} s", whole);
  if (whole < 3600) return fmt::format("{} min {} s", whole / 60, whole % 60);
  return fmt::format("{} h {} min", whole / 3600, whole % 3600 / 60);
}

Progress::Progress(Options options)
    : options_(std::move(options)),
      done_(options_.already),
      terminal_(::isatty(STDERR_FILENO) == 1),
      start_(Clock::now()),
      drawn_(start_) {}

Progress::~Progress() {
  if (!finished_ && done_ != options_.already) draw(true);
}

void Progress::advance(std::int64_t steps, const std::string& note) {
  done_ += steps;
  note_ = note;
  if (seconds_between(drawn_, Clock::now()) >= (terminal_ ? 0.1 : 5.0)) draw(false);
}

void Progress::say(const std::string& message) {
  if (options_.quiet) return;
  std::fprintf(stderr, "%s%s\n", terminal_ ? "\r\033[K" : "", message.c_str());
  if (terminal_ && !finished_) draw(false);
}

void Progress::finish(const std::string& summary) {
  if (!summary.empty()) note_ = summary;
  draw(true);
}

std::string Progress::line(double elapsed_s) const {
  const bool bytes = options_.kind == Unit::kBytes;
  const auto amount = [&](double value) { return bytes ? human_bytes(value) : fmt::format("{:.0f}", value); };
  std::string text = fmt::format("{} {}", options_.what, amount(static_cast<double>(done_)));
  if (options_.total > 0)
    text += fmt::format("/{} ({:.0f} %)", amount(static_cast<double>(options_.total)),
                        100.0 * static_cast<double>(done_) / static_cast<double>(options_.total));
  const double rate = elapsed_s > 0 ? static_cast<double>(done_ - options_.already) / elapsed_s : 0;
  if (rate > 0) {
    text += bytes ? fmt::format(", {}/s", human_bytes(rate))
                  : fmt::format(", {:.3g} {}/s", rate, options_.unit.empty() ? "steps" : options_.unit);
    if (options_.total > done_) text += fmt::format(", {} left", human_duration(static_cast<double>(options_.total - done_) / rate));
  }
  if (!note_.empty()) text += ", " + note_;
  return text;
}

void Progress::draw(bool last) {
  if (finished_) return;
  finished_ = last;
  drawn_ = Clock::now();
  if (options_.quiet) return;
  const std::string text = line(seconds_between(start_, drawn_));
  if (terminal_)
    std::fprintf(stderr, "\r\033[K%s%s", text.c_str(), last ? "\n" : "");
  else
    std::fprintf(stderr, "%s\n", text.c_str());
  std::fflush(stderr);
}

}  // namespace deskhand
