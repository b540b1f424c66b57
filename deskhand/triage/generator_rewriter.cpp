#include "deskhand/triage/generator_rewriter.h"

#include "deskhand/base/error.h"

namespace deskhand {
namespace {

using Written = Expected<std::string, std::string>;

constexpr const char* kInstructions[] = {
    "Rewrite the message of a support ticket as a plain statement of the problem, in under 80 words and in the message's own facts. No "
    "greeting, no "
    "thanks, no names or other personal details, no bullet points. Keep error codes, screens and numbers exactly as written. Marks such as "
    "[NAME_1] stay "
    "as they are or are left out. Add nothing. Answer with one JSON object of one field, \"Problem\".",
    "Summarise how a support ticket was resolved, in under 100 words and in the notes' own facts: what was wrong and what was done. No "
    "greeting, no names "
    "or other personal details, no bullet points. Keep error codes, screens and numbers exactly as written. Marks such as [NAME_1] stay as "
    "they are or are "
    "left out. Add nothing. Answer with one JSON object of one field, \"Summary\"."};
constexpr const char* kKeys[] = {"Problem", "Summary"};
constexpr std::int32_t kNewTokens[] = {140, 180};  // of the object: a word is 1.3 tokens in English, 1.7 in German
constexpr std::int32_t kMostBytes[] = {900, 1100};

AnswerSchema schema_of(RewriteKind kind) {
  const auto i = static_cast<std::size_t>(kind);
  return {.fields = {{.key = kKeys[i], .kind = AnswerField::Kind::kText, .labels = {}, .max_bytes = kMostBytes[i]}}};
}

}  // namespace

GeneratorRewriter::GeneratorRewriter(Generator& generator, const Tokenizer& tokenizer, const ChatTemplate* chat, std::string model_id)
    : generator_(generator), tokenizer_(tokenizer), chat_(chat), model_id_(std::move(model_id)) {}

std::string GeneratorRewriter::id() const {
  return fmt::format("{}, {}, prompt 1:\n{}\n{}", model_id_, chat_ ? "chat" : "instruction", kInstructions[0], kInstructions[1]);
}

std::vector<std::int32_t> GeneratorRewriter::prompt(const RewriteTask& task) const {
  const std::string instruction = kInstructions[static_cast<std::size_t>(task.kind)];
  std::vector<TextPart> parts;
  if (chat_) {
    const ChatMessage messages[] = {{Role::kSystem, instruction}, {Role::kUser, task.source}};
    parts = chat_->render(messages);
  } else {
    parts.push_back({fmt::format("### Instruction:\n{}\n\n{}\n\n### Response:\n", instruction, task.source), false});
  }
  auto ids = tokenizer_.encode(parts);
  if (!chat_ && tokenizer_.add_bos() && tokenizer_.bos()) ids.insert(ids.begin(), *tokenizer_.bos());
  return ids;
}

std::vector<Written> GeneratorRewriter::rewrite(std::span<const RewriteTask> tasks) {
  std::vector<Written> written(tasks.size(), Written(Unexpected{std::string("not asked")}));
  std::vector<Generator::Request> requests;
  for (const auto& task : tasks) {
    Generator::Request request{.prompt = prompt(task), .schema = schema_of(task.kind)};
    request.options.max_new_tokens = kNewTokens[static_cast<std::size_t>(task.kind)];
    request.options.distributions = false;
    requests.push_back(std::move(request));
  }
  try {
    generator_.answer_all(requests, [&](std::size_t i, const Answer& answer) { written[i] = answer.text; });
  } catch (const Error& error) {  // one that is too long must not take the others with it
    if (error.code() == ExitCode::kInterrupted) throw;
    for (std::size_t i = 0; i < requests.size(); ++i) {
      if (written[i]) continue;
      try {
        written[i] = generator_.answer(requests[i].prompt, requests[i].schema, requests[i].options).text;
      } catch (const Error& alone) {
        if (alone.code() == ExitCode::kInterrupted) throw;
        written[i] = Written(Unexpected{std::string(alone.what())});
      }
    }
  }
  return written;
}

}  // namespace deskhand
