// The product's own decoder as a RewriteModel: several texts are written together, each under the grammar of one JSON text, which ends
// within its budget; greedy.
#pragma once
#include <string>

#include "deskhand/generate/generator.h"
#include "deskhand/text/chat_template.h"
#include "deskhand/triage/rewrite_tickets.h"

namespace deskhand {

class GeneratorRewriter final : public RewriteModel {
 public:
  // Borrows all; chat null: "### Instruction:" form. model_id: names weights and adapter.
  GeneratorRewriter(Generator& generator, const Tokenizer& tokenizer, const ChatTemplate* chat, std::string model_id);
  std::vector<Expected<std::string, std::string>> rewrite(std::span<const RewriteTask> tasks) override;
  std::string id() const override;

 private:
  std::vector<std::int32_t> prompt(const RewriteTask& task) const;

  Generator& generator_;
  const Tokenizer& tokenizer_;
  const ChatTemplate* chat_;
  std::string model_id_;
};

}  // namespace deskhand
