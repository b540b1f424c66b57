// A progress line on stderr with rate and time left: redrawn in place on a terminal, a plain line every few seconds elsewhere.
#pragma once
#include <chrono>
#include <cstdint>
#include <string>

namespace deskhand {

class Progress {
 public:
  enum class Unit { kItems, kBytes };
  // `total` 0: not known. `already`: done by an earlier run, not counted in the rate. quiet: nothing is written.
  struct Options {
    std::string what;            // "embedding cases"
    std::string unit = "";       // "tickets"; empty for bytes
    std::int64_t total = 0;
    std::int64_t already = 0;
    Unit kind = Unit::kItems;
    bool quiet = false;
  };

  explicit Progress(Options options);
  ~Progress();                   // ends the line
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  void advance(std::int64_t steps = 1, const std::string& note = "");
  void say(const std::string& message);           // a line of its own above the progress line; not written if quiet
  void finish(const std::string& summary = "");   // the last line; afterwards nothing more is drawn
  // "embedding cases 120/400 (30 %), 31.2 tickets/s, 9 s left"
  std::string line(double elapsed_s) const;

 private:
  void draw(bool last);

  Options options_;
  std::int64_t done_;
  std::string note_;
  bool terminal_;
  bool finished_ = false;
  std::chrono::steady_clock::time_point start_, drawn_;
};

std::string human_bytes(double bytes);        // "491 MB"
std::string human_duration(double seconds);   // "9 s", "3 min 20 s", "2 h 5 min"

}  // namespace deskhand
