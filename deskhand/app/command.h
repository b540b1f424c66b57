// A command of the program: its own file, one line in commands.cpp's table. Data goes to stdout, progress and messages to stderr.
#pragma once
#include <filesystem>
#include <functional>
#include <span>
#include <string>

namespace CLI {
class App;
}

namespace deskhand {

// Where language models are computed.
enum class DeviceChoice { kAuto /* the GPU if one can be used */, kCpu, kCuda };

// Options that every command knows.
struct Globals {
  std::filesystem::path desk = ".";  // the desk's folder
  bool desk_is_named = false;        // by --desk
  std::filesystem::path models;      // DESKHAND_MODELS, else ~/.cache/deskhand/models
  bool json = false;
  bool quiet = false;
  int threads = 0;  // 0: all that this process may use
  DeviceChoice device = DeviceChoice::kAuto;
};

struct Command {
  const char* name;
  const char* about;
  // Declares options on `sub` and returns what runs when the command line was read. Both arguments outlive the run.
  std::function<void()> (*declare)(CLI::App& sub, const Globals& globals);
};

// In the order of --help.
std::span<const Command> commands();

}  // namespace deskhand
