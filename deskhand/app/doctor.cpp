// deskhand doctor: this machine, its models, this desk. Ends with exit code 3 if something is wrong, 4 if the desk
// that --desk names is not there.
#include <CLI/CLI.hpp>
#include <fstream>
#include <memory>

#include "deskhand/app/desk.h"
#include "deskhand/app/engine.h"
#include "deskhand/base/error.h"
#include "deskhand/base/json.h"
#include "deskhand/base/progress.h"
#include "deskhand/fetch/get_model.h"
#include "deskhand/retrieve/case_store.h"
#include "deskhand/tensor/cuda/devices.h"
#include "deskhand/tickets/ticket_store.h"

namespace deskhand {
namespace {

enum class Verdict { kGood, kNote, kWrong };

struct Finding {
  std::string about, text;
  Verdict verdict = Verdict::kGood;
};

double memory_bytes(const std::string& key) {
  std::ifstream file("/proc/meminfo");
  for (std::string name, unit; file >> name;) {
    double value = 0;
    file >> value;
    std::getline(file, unit);
    if (name == key + ":") return value * 1024;
  }
  return 0;
}

std::string quantised_kernel(const CpuFeatures& cpu) {
  if (cpu.avx512 && cpu.avx512_vnni) return "AVX-512 VNNI";
  if (cpu.avx2 && cpu.fma) return "AVX2";
  return "plain loops (slow: this processor has no AVX2)";
}

void examine_machine(const Globals& globals, std::vector<Finding>& findings) {
  const Engine engine(globals.threads);
  const CpuFeatures& cpu = engine.backend.cpu;
  findings.push_back({"processor", fmt::format("{} threads; {}", engine.pool.size(), cpu.text())});
  findings.push_back({"kernels",
                      fmt::format("8-bit products: {}; bf16 products: {}", quantised_kernel(cpu),
                                  cpu.avx512_bf16 || cpu.amx_bf16 ? "in hardware" : "as f32"),
                      cpu.avx2 ? Verdict::kGood : Verdict::kNote});
  findings.push_back(
      {"memory", fmt::format("{} of {} free", human_bytes(memory_bytes("MemAvailable")), human_bytes(memory_bytes("MemTotal")))});
  const CudaDevices gpus = cuda_devices();
  for (const CudaDevice& gpu : gpus.devices)
    findings.push_back({"gpu",
                        fmt::format("{}, compute {}.{}, {} of {} free{}", gpu.name, gpu.capability_major, gpu.capability_minor,
                                    human_bytes(static_cast<double>(gpu.free_bytes)), human_bytes(static_cast<double>(gpu.total_bytes)),
                                    gpu.is_new_enough() ? "" : fmt::format("; not used: {}.0 or newer is wanted", CudaDevice::kOldest)),
                        gpu.is_new_enough() ? Verdict::kGood : Verdict::kNote});
  if (gpus.devices.empty()) findings.push_back({"gpu", "none: " + gpus.reason});
  const std::string used = gpu_in_use(globals);
  if (used.empty() && globals.device == DeviceChoice::kCuda)
    findings.push_back({"models", "no GPU can be used, which --device cuda asks for", Verdict::kWrong});
  else
    findings.push_back({"models", "language models are computed on " + (used.empty() ? "the processor" : used)});
#ifdef DESKHAND_PARQUET
  findings.push_back({"parquet", "built in"});
#else
  findings.push_back({"parquet", "not built in: metadata.parquet cannot be written; ./setup brings the library", Verdict::kNote});
#endif
}

void examine_models(const Globals& globals, bool deep, std::vector<Finding>& findings) {
  const Catalogue catalogue = Catalogue::load(globals.models);
  bool any = false;
  for (const auto& entry : catalogue.entries()) {
    if (!std::filesystem::is_directory(globals.models / entry.name)) continue;
    any = true;
    std::string faults;
    for (const auto& file : check_model(entry, globals.models, deep))
      if (file.state != FileState::kWhole)
        faults += fmt::format("; {} {}", file.name, file.state == FileState::kMissing ? "is missing" : "is damaged");
    if (faults.empty())
      findings.push_back({"model " + entry.name, deep ? "here, every hash as it should be" : "here, sizes as they should be"});
    else
      findings.push_back(
          {"model " + entry.name, faults.substr(2) + fmt::format("; mend it with: deskhand model get {}", entry.name), Verdict::kWrong});
  }
  if (!any)
    findings.push_back({"models",
                        fmt::format("none in {}; get the starters with: deskhand model get all-minilm-l6-v2 qwen2.5-coder-0.5b-instruct",
                                    globals.models.string()),
                        Verdict::kNote});
}

void examine_desk(const Globals& globals, std::vector<Finding>& findings) {
  if (!std::filesystem::exists(globals.desk / "desk.toml")) {
    findings.push_back(
        {"desk",
         fmt::format("none in {}; make one with: deskhand init DIR", std::filesystem::absolute(globals.desk).lexically_normal().string()),
         globals.desk_is_named ? Verdict::kWrong : Verdict::kNote});
    return;
  }
  try {
    Desk desk = Desk::open(globals, Database::Mode::kReadWrite);
    findings.push_back({"desk.toml", "every line understood"});
    for (const auto& files : {desk.settings.import.ticket_files, desk.settings.import.history_files})
      for (const auto& file : files)
        if (!std::filesystem::exists(file)) findings.push_back({"import", fmt::format("{} is not there", file.string()), Verdict::kNote});
    Statement check = desk.database.prepare("PRAGMA quick_check");
    check.step();
    const std::string verdict(check.text(0));
    findings.push_back({"desk.db", verdict == "ok" ? "intact" : "damaged: " + verdict, verdict == "ok" ? Verdict::kGood : Verdict::kWrong});
    TicketStore tickets(desk.database);
    CaseStore cases(desk.database);
    findings.push_back({"tickets",
                        fmt::format("{} in all, {} to learn from, {} kept for testing", tickets.count(), tickets.count(Part::kTrain),
                                    tickets.count(Part::kTest)),
                        tickets.count() > 0 ? Verdict::kGood : Verdict::kNote});
    const std::int64_t count = cases.count();
    findings.push_back({"cases", count > 0 ? fmt::format("{} indexed", count) : "none yet; run: deskhand index",
                        count > 0 ? Verdict::kGood : Verdict::kNote});
  } catch (const Error& error) {
    findings.push_back({"desk", error.what(), Verdict::kWrong});
  }
}

const char* mark(Verdict verdict) {
  switch (verdict) {
    case Verdict::kGood:
      return "ok   ";
    case Verdict::kNote:
      return "note ";
    default:
      return "WRONG";
  }
}

void doctor(const Globals& globals, bool deep) {
  std::vector<Finding> findings;
  examine_machine(globals, findings);
  examine_models(globals, deep, findings);
  examine_desk(globals, findings);
  bool wrong = false;
  Json report = Json::array();
  for (const auto& finding : findings) {
    wrong = wrong || finding.verdict == Verdict::kWrong;
    std::string verdict = mark(finding.verdict);
    verdict.erase(verdict.find_last_not_of(' ') + 1);
    if (globals.json)
      report.push_back({{"about", finding.about}, {"verdict", verdict}, {"text", finding.text}});
    else
      fmt::print("{}  {:<36} {}\n", mark(finding.verdict), finding.about, finding.text);
  }
  if (globals.json) fmt::print("{}\n", write_json(report, 2));
  if (globals.desk_is_named && !std::filesystem::exists(globals.desk / "desk.toml"))
    throw Error(ExitCode::kNotFound, "there is no desk in {}; make one with: deskhand init DIR", globals.desk.string());
  if (wrong) throw Error(ExitCode::kBadInput, "the doctor found something wrong, see above");
}

}  // namespace

std::function<void()> declare_doctor(CLI::App& sub, const Globals& globals) {
  const auto deep = std::make_shared<bool>(false);
  sub.add_flag("--deep", *deep, "compute the hash of every model file");
  sub.footer("Example:\n  deskhand --desk mydesk doctor --deep");
  return [deep, &globals] { doctor(globals, *deep); };
}

}  // namespace deskhand
