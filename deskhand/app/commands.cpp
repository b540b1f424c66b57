#include "deskhand/app/command.h"

namespace deskhand {

#define DESKHAND_COMMAND(name) std::function<void()> declare_##name(CLI::App& sub, const Globals& globals)
DESKHAND_COMMAND(init);
DESKHAND_COMMAND(model);
DESKHAND_COMMAND(prepare);
DESKHAND_COMMAND(redact);
DESKHAND_COMMAND(reveal);
DESKHAND_COMMAND(forget);
DESKHAND_COMMAND(rewrite);
DESKHAND_COMMAND(audit);
DESKHAND_COMMAND(split);
DESKHAND_COMMAND(index);
DESKHAND_COMMAND(search);
DESKHAND_COMMAND(triage);
DESKHAND_COMMAND(evaluate);
DESKHAND_COMMAND(report);
DESKHAND_COMMAND(train);
DESKHAND_COMMAND(compare);
DESKHAND_COMMAND(export);
DESKHAND_COMMAND(demo);
DESKHAND_COMMAND(doctor);
DESKHAND_COMMAND(perplexity);
#undef DESKHAND_COMMAND

std::span<const Command> commands() {
  static constexpr Command kCommands[] = {
      {"init", "make a desk: a folder with desk.toml and desk.db", declare_init},
      {"model", "list, get and check models", declare_model},
      {"prepare", "read the exported tickets, clean them, store them in the desk", declare_prepare},
      {"redact", "show a text as the desk would read it, without what is personal; make a key", declare_redact},
      {"reveal", "say what a ticket's marks stand for, with the key", declare_reveal},
      {"forget", "erase tickets from all that the desk keeps, and name the runs that learnt from them", declare_forget},
      {"rewrite", "write problem and resolution of every ticket anew, in a few plain sentences", declare_rewrite},
      {"audit", "say what is wrong with the tickets before anybody learns from them, and how to mend it", declare_audit},
      {"split", "choose the tickets to learn from and those kept for testing", declare_split},
      {"index", "embed the closed tickets as cases and fit the label weights", declare_index},
      {"search", "find closed tickets like a new problem", declare_search},
      {"triage", "answer new tickets: urgency, category, resolution, with the cases that say so", declare_triage},
      {"evaluate", "measure the desk's models on held-out tickets, beside cheap baselines", declare_evaluate},
      {"report", "draw the report of an evaluation again", declare_report},
      {"train", "fine-tune a model on the desk's closed tickets", declare_train},
      {"compare", "put two evaluations, or training runs, side by side and say which changes matter", declare_compare},
      {"export", "write what was trained as a whole model or an adapter, for Hugging Face and llama.cpp", declare_export},
      {"demo", "the whole way on the sample desk, from two Excel files to answered tickets", declare_demo},
      {"doctor", "say what this machine and this desk have, and what is wrong", declare_doctor},
      {"perplexity", "measure a model on a text, as llama.cpp does", declare_perplexity},
  };
  return kCommands;
}

}  // namespace deskhand
