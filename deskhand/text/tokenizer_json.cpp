#include "deskhand/text/tokenizer_json.h"

#include <algorithm>
#include <cmath>

#include "deskhand/base/error.h"
#include "deskhand/base/mapped_file.h"
#include "deskhand/text/bpe.h"
#include "deskhand/text/spm_bpe.h"
#include "deskhand/text/tokenizer_file.h"
#include "deskhand/text/wordpiece.h"

namespace deskhand {
namespace {

using namespace tokenizer_file;

std::vector<BpeMerges::Merge> resolve_merges(std::string_view where, const std::vector<std::pair<std::string, std::string>>& merges,
                                             const std::unordered_map<std::string_view, int32_t>& ids,
                                             const std::vector<bool>& is_special) {
  std::vector<BpeMerges::Merge> resolved;
  resolved.reserve(merges.size());
  std::string joined;
  for (std::size_t i = 0; i < merges.size(); ++i) {
    const auto& [left, right] = merges[i];
    joined.assign(left).append(right);
    const auto l = ids.find(left), r = ids.find(right), result = ids.find(joined);
    if (l == ids.end() || r == ids.end() || result == ids.end()) {
      refuse(where, "merge number {} names \"{}\", which is not in the vocabulary", i + 1,
             l == ids.end()   ? left
             : r == ids.end() ? right
                              : joined);
    }
    // A special token never comes out of ordinary text, even if merges spell it.
    if (!is_special[static_cast<std::size_t>(result->second)])
      resolved.push_back({l->second, r->second, result->second, static_cast<uint32_t>(i)});
  }
  return resolved;
}

// "<s>" or {"content": "<s>"}.
std::string token_name(const Tree& object, const char* name) {
  const Tree* found = member(object, name);
  if (!found) return "";
  return found->is_string() ? found->get<std::string>() : text_of(*found, "content");
}

void read_neighbour(const std::filesystem::path& path, Vocabulary& vocabulary) {
  const auto config = path.parent_path() / "tokenizer_config.json";
  std::error_code ignored;
  if (!std::filesystem::is_regular_file(config, ignored)) return;
  const std::string text = read_text_file(config, kMostBytes);
  const Tree tree = Tree::parse(text, nullptr, false);
  if (tree.is_discarded()) refuse(config.string(), "not valid JSON");
  const auto id_of = [&](const char* name) -> std::optional<int32_t> {
    const std::string token = token_name(tree, name);
    for (const auto& special : vocabulary.specials) {
      if (!token.empty() && special.text == token) return special.id;
    }
    return std::nullopt;
  };
  vocabulary.bos = id_of("bos_token");
  vocabulary.eos = id_of("eos_token");
  vocabulary.pad = id_of("pad_token");
  if (const auto unk = id_of("unk_token"); unk && !vocabulary.unk) vocabulary.unk = unk;
  if (const Tree* add = member(tree, "add_bos_token"); add && add->is_boolean()) vocabulary.add_bos = add->get<bool>();
  if (const Tree* add = member(tree, "add_eos_token"); add && add->is_boolean()) vocabulary.add_eos = add->get<bool>();
}

// A TemplateProcessing that puts a special token before or behind the text says which are bos and eos.
void read_post_processor(const Tree& processor, Vocabulary& vocabulary) {
  if (const Tree* inner = member(processor, "processors"); inner && inner->is_array()) {
    for (const Tree& one : *inner) read_post_processor(one, vocabulary);
  }
  const Tree* single = member(processor, "single");
  if (text_of(processor, "type") != "TemplateProcessing" || !single || !single->is_array()) return;
  bool behind = false;
  for (const Tree& step : *single) {
    if (member(step, "Sequence")) behind = true;
    const Tree* special = member(step, "SpecialToken");
    if (!special) continue;
    const std::string name = text_of(*special, "id");
    for (const auto& token : vocabulary.specials) {
      if (token.text != name) continue;
      (behind ? vocabulary.add_eos : vocabulary.add_bos) = true;
      (behind ? vocabulary.eos : vocabulary.bos) = token.id;
    }
  }
}

std::vector<const Tree*> flattened(std::string_view where, const Tree* node, const char* children, int depth = 0) {
  if (!node) return {};
  if (depth > 8) refuse(where, "{} nested deeper than 8 levels", children);
  if (text_of(*node, "type") != "Sequence") return {node};
  std::vector<const Tree*> out;
  const Tree* inner = member(*node, children);
  if (!inner || !inner->is_array()) refuse(where, "a Sequence without its list of {}", children);
  for (const Tree& one : *inner) {
    for (const Tree* leaf : flattened(where, &one, children, depth + 1)) out.push_back(leaf);
  }
  return out;
}

std::string literal_pattern(std::string_view literal) {  // as an expression that matches exactly this
  std::string out;
  for (const char c : literal) {
    if (static_cast<unsigned char>(c) < 0x80 && !std::isalnum(static_cast<unsigned char>(c))) out += '\\';
    out += c;
  }
  return out;
}

std::vector<PreTokenizer::Step> pre_tokenizer_of(std::string_view where, const Tree* node) {
  std::vector<PreTokenizer::Step> steps;
  for (const Tree* one : flattened(where, node, "pretokenizers")) {
    const std::string type = text_of(*one, "type");
    if (type == "ByteLevel") {
      steps.push_back(
          {.pattern = flag_of(*one, "use_regex", true) ? patterns::kGpt2 : "", .prefix_space = flag_of(*one, "add_prefix_space", true)});
    } else if (type == "Digits") {
      steps.push_back({.pattern = flag_of(*one, "individual_digits") ? patterns::kDigit : patterns::kDigits});
    } else if (type == "Split") {
      const Tree* pattern = member(*one, "pattern");
      const std::string regex = pattern ? text_of(*pattern, "Regex") : "", literal = pattern ? text_of(*pattern, "String") : "";
      if (regex.empty() && literal.empty()) refuse(where, "a Split pre-tokenizer without a pattern");
      const std::string behavior = text_of(*one, "behavior");
      if (behavior != "Isolated" && behavior != "Removed")
        refuse(where, "a Split pre-tokenizer of behavior \"{}\" is not supported", behavior);
      const bool invert = flag_of(*one, "invert"), removed = behavior == "Removed";
      steps.push_back({.pattern = regex.empty() ? literal_pattern(literal) : regex,
                       .drop_matches = removed && !invert,
                       .drop_gaps = removed && invert});
    } else {
      refuse(where, "a pre-tokenizer of type \"{}\" is not supported for byte-level BPE", type);
    }
  }
  return steps;
}

std::vector<NormalForm> normal_forms_of(std::string_view where, const Tree* node) {
  std::vector<NormalForm> forms;
  for (const Tree* one : flattened(where, node, "normalizers")) {
    const std::string type = text_of(*one, "type");
    if (type == "NFC")
      forms.push_back(NormalForm::kNfc);
    else if (type == "NFD")
      forms.push_back(NormalForm::kNfd);
    else if (type == "NFKC")
      forms.push_back(NormalForm::kNfkc);
    else if (type == "NFKD")
      forms.push_back(NormalForm::kNfkd);
    else
      refuse(where, "a normalizer of type \"{}\" is not supported for byte-level BPE", type);
  }
  return forms;
}

// What the tokens stand for, given how the model spells them.
enum class Spelling { kByteLevel, kSentencePiece, kWordPiece };

int hex_byte(std::string_view piece) {
  unsigned value = 0;
  char end = 0;
  if (piece.size() != 6 || std::sscanf(std::string(piece).c_str(), "<0x%2X%c", &value, &end) != 2 || end != '>') return -1;
  return static_cast<int>(value);
}

void fill_bytes(std::string_view where, const std::vector<std::string>& pieces, const std::vector<bool>& is_special, Spelling spelling,
                Vocabulary& vocabulary) {
  vocabulary.is_special = is_special;
  vocabulary.bytes.resize(pieces.size());
  for (std::size_t id = 0; id < pieces.size(); ++id) {
    std::string& bytes = vocabulary.bytes[id];
    if (is_special[id]) {
      bytes = pieces[id];
    } else if (spelling == Spelling::kByteLevel) {
      const auto found = bytes_of_printable(pieces[id]);
      if (!found) refuse(where, "the token \"{}\" (id {}) is not spelled in the byte alphabet of GPT-2", pieces[id], id);
      bytes = *found;
    } else if (spelling == Spelling::kSentencePiece) {
      if (const int byte = hex_byte(pieces[id]); byte >= 0) {
        bytes = static_cast<char>(byte);
      } else {
        bytes = pieces[id];
        for (std::size_t at = 0; (at = bytes.find("\xE2\x96\x81", at)) != std::string::npos; ++at) bytes.replace(at, 3, " ");
      }
    } else {
      bytes = pieces[id].starts_with("##") ? pieces[id].substr(2) : pieces[id];
    }
  }
}

std::unique_ptr<Tokenizer> make_byte_level(const File& file, const Pieces& pieces, Vocabulary vocabulary,
                                           const std::vector<bool>& is_special) {
  const Tree& model = file.rest.at("model");
  fill_bytes(file.where, pieces.text, is_special, Spelling::kByteLevel, vocabulary);
  return std::make_unique<ByteLevelBpe>(
      ByteLevelBpe::Settings{.vocabulary = std::move(vocabulary),
                             .merges = resolve_merges(file.where, file.merges, pieces.ids, is_special),
                             .pre_tokenizer = pre_tokenizer_of(file.where, member(file.rest, "pre_tokenizer")),
                             .normal_forms = normal_forms_of(file.where, member(file.rest, "normalizer")),
                             .ignore_merges = flag_of(model, "ignore_merges")},
      file.where);
}

std::unique_ptr<Tokenizer> make_sentence_piece(const File& file, const Pieces& pieces, Vocabulary vocabulary,
                                               const std::vector<bool>& is_special) {
  SpmBpe::Settings settings;
  settings.prefix = SpmBpe::Prefix::kNever;
  for (const Tree* one : flattened(file.where, member(file.rest, "normalizer"), "normalizers")) {
    const std::string type = text_of(*one, "type");
    if (type == "Prepend")
      settings.prefix = SpmBpe::Prefix::kEveryText;
    else if (type != "Replace")
      refuse(file.where, "a normalizer of type \"{}\" is not supported for SentencePiece's BPE", type);
  }
  for (const Tree* one : flattened(file.where, member(file.rest, "pre_tokenizer"), "pretokenizers")) {
    if (text_of(*one, "type") != "Metaspace")
      refuse(file.where, "a pre-tokenizer of type \"{}\" is not supported for SentencePiece's BPE", text_of(*one, "type"));
    const std::string scheme = text_of(*one, "prepend_scheme");
    if (scheme == "always" || (scheme.empty() && flag_of(*one, "add_prefix_space", true)))
      settings.prefix = SpmBpe::Prefix::kEveryText;
    else if (scheme == "first")
      settings.prefix = SpmBpe::Prefix::kAtStart;
    settings.prefix_only_if_none = true;
  }
  fill_bytes(file.where, pieces.text, is_special, Spelling::kSentencePiece, vocabulary);
  settings.vocabulary = std::move(vocabulary);
  settings.pieces = pieces.text;
  settings.merges = resolve_merges(file.where, file.merges, pieces.ids, is_special);
  return std::make_unique<SpmBpe>(settings, file.where);
}

std::unique_ptr<WordPiece> make_wordpiece(const File& file, const Pieces& pieces, Vocabulary vocabulary,
                                          const std::vector<bool>& is_special) {
  WordPiece::Settings settings;
  const Tree& model = file.rest.at("model");
  if (const Tree* most = member(model, "max_input_chars_per_word"); most && most->is_number_integer())
    settings.max_word_characters = most->get<int32_t>();
  if (member(model, "continuing_subword_prefix")) settings.continuation = text_of(model, "continuing_subword_prefix");
  const Tree* normalizer = member(file.rest, "normalizer");
  if (!normalizer || text_of(*normalizer, "type") != "BertNormalizer")
    refuse(file.where, "a WordPiece tokenizer without a BertNormalizer is not supported");
  const Tree* cutter = member(file.rest, "pre_tokenizer");
  if (!cutter || text_of(*cutter, "type") != "BertPreTokenizer")
    refuse(file.where, "a WordPiece tokenizer without a BertPreTokenizer is not supported");
  settings.normalization.clean = flag_of(*normalizer, "clean_text", true);
  settings.normalization.space_chinese = flag_of(*normalizer, "handle_chinese_chars", true);
  settings.normalization.lower_case = flag_of(*normalizer, "lowercase", true);
  settings.normalization.strip_accents = flag_of(*normalizer, "strip_accents", settings.normalization.lower_case);
  fill_bytes(file.where, pieces.text, is_special, Spelling::kWordPiece, vocabulary);
  settings.vocabulary = std::move(vocabulary);
  settings.pieces = pieces.text;
  return std::make_unique<WordPiece>(settings, file.where);
}

std::unique_ptr<Tokenizer> make_from(const File& file, const std::filesystem::path& path) {
  const Tree* model = member(file.rest, "model");
  if (!model) refuse(file.where, "no model in it; is this really a tokenizer.json?");
  const std::string type = text_of(*model, "type");
  const bool bpe = type == "BPE" || (type.empty() && !file.merges.empty());
  if (!bpe && type != "WordPiece") refuse(file.where, "a tokenizer model of type \"{}\" is not supported; BPE and WordPiece are", type);
  const Pieces pieces = pieces_of(file);

  Vocabulary vocabulary;
  vocabulary.specials = pieces.specials;
  std::vector<bool> is_special(pieces.text.size());
  for (std::size_t id = 0; id < is_special.size(); ++id) is_special[id] = pieces.is_added[id] || !pieces.is_known[id];
  if (const std::string unk = text_of(*model, "unk_token"); !unk.empty()) {
    if (const auto found = pieces.ids.find(unk); found != pieces.ids.end()) vocabulary.unk = found->second;
  }
  if (const Tree* processor = member(file.rest, "post_processor")) read_post_processor(*processor, vocabulary);
  read_neighbour(path, vocabulary);

  if (!bpe) return make_wordpiece(file, pieces, std::move(vocabulary), is_special);
  if (member(*model, "dropout") && member(*model, "dropout")->is_number() && member(*model, "dropout")->get<double>() != 0) {
    refuse(file.where, "BPE with dropout gives other tokens each time and is not supported");
  }
  for (const char* name : {"continuing_subword_prefix", "end_of_word_suffix"}) {
    if (!text_of(*model, name).empty()) refuse(file.where, "BPE with a {} is not supported", name);
  }
  bool byte_level = false;
  for (const Tree* one : flattened(file.where, member(file.rest, "pre_tokenizer"), "pretokenizers"))
    byte_level |= text_of(*one, "type") == "ByteLevel";
  return byte_level ? make_byte_level(file, pieces, std::move(vocabulary), is_special)
                    : make_sentence_piece(file, pieces, std::move(vocabulary), is_special);
}

}  // namespace

std::unique_ptr<Tokenizer> load_tokenizer_json(const std::filesystem::path& path) {
  return make_from(read_file(path), path);
}

std::unique_ptr<WordPiece> load_wordpiece(const std::filesystem::path& path) {
  if (path.extension() == ".json") {
    auto tokenizer = load_tokenizer_json(path);
    if (auto* wordpiece = dynamic_cast<WordPiece*>(tokenizer.get())) {
      tokenizer.release();
      return std::unique_ptr<WordPiece>(wordpiece);
    }
    refuse(path.string(), "a WordPiece tokenizer is wanted, this is another kind");
  }
  const std::string text = read_text_file(path, kMostBytes);
  WordPiece::Settings settings;
  std::vector<bool> is_special;
  for (std::size_t begin = 0; begin < text.size();) {
    std::size_t end = std::min(text.find('\n', begin), text.size());
    std::string piece = text.substr(begin, end - begin);
    if (piece.ends_with('\r')) piece.pop_back();
    if (!is_valid_utf8(piece)) refuse(path.string(), "line {} is not valid UTF-8", settings.pieces.size() + 1);
    const auto id = static_cast<int32_t>(settings.pieces.size());
    const bool special = piece == "[PAD]" || piece == "[UNK]" || piece == "[CLS]" || piece == "[SEP]" || piece == "[MASK]";
    if (special) settings.vocabulary.specials.push_back({id, piece});
    if (piece == "[UNK]") settings.vocabulary.unk = id;
    if (piece == "[PAD]") settings.vocabulary.pad = id;
    if (piece == "[CLS]") settings.vocabulary.bos = id;
    if (piece == "[SEP]") settings.vocabulary.eos = id;
    is_special.push_back(special);
    settings.pieces.push_back(std::move(piece));
    begin = end + 1;
  }
  settings.vocabulary.add_bos = settings.vocabulary.add_eos = true;
  fill_bytes(path.string(), settings.pieces, is_special, Spelling::kWordPiece, settings.vocabulary);
  return std::make_unique<WordPiece>(settings, path.string());
}

namespace {

struct Pre {
  std::vector<PreTokenizer::Step> steps;
  std::vector<NormalForm> normal_forms = {};
  bool ignore_merges = false;
};

// By llama.cpp's names for the pre-tokenizers.
Pre pre_by_name(std::string_view name, std::string_view where) {
  using namespace patterns;
  const auto is_one_of = [&](std::initializer_list<std::string_view> names) {
    return std::find(names.begin(), names.end(), name) != names.end();
  };
  if (is_one_of({"llama-bpe", "llama3", "llama-v3"})) return {.steps = {{.pattern = kLlama3}}, .ignore_merges = true};
  if (is_one_of({"qwen2", "deepseek-r1-qwen"})) return {.steps = {{.pattern = kQwen2}}, .normal_forms = {NormalForm::kNfc}};
  if (is_one_of({"smollm", "starcoder", "refact", "command-r", "codeshell"})) return {.steps = {{.pattern = kDigit}, {.pattern = kGpt2}}};
  if (is_one_of({"gpt-2", "phi-2", "mpt", "olmo", "jais"})) return {.steps = {{.pattern = kGpt2}}};
  if (name == "tekken") return {.steps = {{.pattern = kTekken}}, .ignore_merges = true};
  if (name.empty() || name == "default") {
    return {.steps = {{.pattern = R"([\p{P}\$\+<=>\^~\|]+)"},
                      {.pattern = R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S))"},
                      {.pattern = kDigits},
                      {.pattern = "[0-9][0-9][0-9]"}}};
  }
  refuse(where, "the pre-tokenizer \"{}\" (tokenizer.ggml.pre) is not known; llama-bpe, qwen2, smollm, gpt-2, tekken and default are",
         name);
}

}  // namespace

std::unique_ptr<Tokenizer> make_tokenizer(const TokenizerTables& tables) {
  constexpr int32_t kNormal = 1, kByte = 6, kUnused = 5;
  const std::string& where = tables.where;
  const auto count = tables.tokens.size();
  if (count == 0) refuse(where, "no vocabulary (tokenizer.ggml.tokens) in it");
  if (static_cast<int64_t>(count) > kMostTokens) refuse(where, "{} tokens; at most {} are supported", count, kMostTokens);
  if (!tables.token_types.empty() && tables.token_types.size() != count) {
    refuse(where, "{} token types for {} tokens", tables.token_types.size(), count);
  }
  Vocabulary vocabulary;
  std::vector<bool> is_special(count), usable(count);
  std::unordered_map<std::string_view, int32_t> ids;
  for (std::size_t id = 0; id < count; ++id) {
    const std::string& token = tables.tokens[id];
    if (!is_valid_utf8(token)) refuse(where, "the token {} is not valid UTF-8", id);
    const int32_t type = tables.token_types.empty() ? kNormal : tables.token_types[id];
    is_special[id] = type != kNormal && type != kByte;
    usable[id] = type == kNormal && !token.empty();
    if (is_special[id] && type != kUnused) vocabulary.specials.push_back({static_cast<int32_t>(id), token});
    if (!is_special[id]) ids.emplace(token, static_cast<int32_t>(id));
  }
  const auto checked = [&](std::optional<int32_t> id, const char* name) {
    if (id && (*id < 0 || static_cast<std::size_t>(*id) >= count))
      refuse(where, "{} is {}, outside the vocabulary of {} tokens", name, *id, count);
    return id;
  };
  vocabulary.bos = checked(tables.bos, "bos_token_id");
  vocabulary.eos = checked(tables.eos, "eos_token_id");
  vocabulary.unk = checked(tables.unk, "unknown_token_id");
  vocabulary.pad = checked(tables.pad, "padding_token_id");

  if (tables.model == "gpt2") {
    const Pre pre = pre_by_name(tables.pre, where);
    vocabulary.add_bos = tables.add_bos.value_or(tables.pre == "llama-bpe") && vocabulary.bos.has_value();
    vocabulary.add_eos = tables.add_eos.value_or(false) && vocabulary.eos.has_value();
    std::vector<std::pair<std::string, std::string>> merges;
    merges.reserve(tables.merges.size());
    for (const std::string& merge : tables.merges) {
      const auto cut = merge.find(' ', 1);
      if (cut == std::string::npos)
        refuse(where, "merge number {} is \"{}\", not two tokens with a space between", merges.size() + 1, merge);
      merges.emplace_back(merge.substr(0, cut), merge.substr(cut + 1));
    }
    if (merges.empty()) refuse(where, "no merges (tokenizer.ggml.merges) in it");
    fill_bytes(where, tables.tokens, is_special, Spelling::kByteLevel, vocabulary);
    return std::make_unique<ByteLevelBpe>(ByteLevelBpe::Settings{.vocabulary = std::move(vocabulary),
                                                                 .merges = resolve_merges(where, merges, ids, is_special),
                                                                 .pre_tokenizer = pre.steps,
                                                                 .normal_forms = pre.normal_forms,
                                                                 .ignore_merges = pre.ignore_merges},
                                          where);
  }
  if (tables.model == "llama") {
    if (tables.scores.size() != count) refuse(where, "{} scores (tokenizer.ggml.scores) for {} tokens", tables.scores.size(), count);
    for (const float score : tables.scores) {
      if (!std::isfinite(score)) refuse(where, "a token's score is not a number");
    }
    vocabulary.add_bos = tables.add_bos.value_or(true) && vocabulary.bos.has_value();
    vocabulary.add_eos = tables.add_eos.value_or(false) && vocabulary.eos.has_value();
    fill_bytes(where, tables.tokens, is_special, Spelling::kSentencePiece, vocabulary);
    SpmBpe::Settings settings;
    settings.vocabulary = std::move(vocabulary);
    settings.pieces = tables.tokens;
    settings.merges = SpmBpe::merges_from_scores(tables.tokens, tables.scores, usable);
    settings.prefix = tables.add_space_prefix.value_or(true) ? SpmBpe::Prefix::kEveryText : SpmBpe::Prefix::kNever;
    return std::make_unique<SpmBpe>(settings, where);
  }
  refuse(where, "the tokenizer model \"{}\" (tokenizer.ggml.model) is not supported; gpt2 and llama are", tables.model);
}

namespace {

enum TokenType : int32_t { kNormalToken = 1, kUnknownToken, kControlToken, kUserToken, kUnusedToken, kByteToken };

// Steps that cut nothing left out, so that two ways to write the same can be compared.
std::vector<PreTokenizer::Step> effective(std::vector<PreTokenizer::Step> steps) {
  std::erase_if(steps, [](const PreTokenizer::Step& step) { return step.pattern.empty() && !step.prefix_space; });
  return steps;
}

std::string name_of_pre(const File& file, const std::vector<PreTokenizer::Step>& steps, const std::vector<NormalForm>& forms,
                        bool ignore_merges) {
  const auto same = [](const PreTokenizer::Step& a, const PreTokenizer::Step& b) {
    return a.pattern == b.pattern && a.drop_matches == b.drop_matches && a.drop_gaps == b.drop_gaps && a.prefix_space == b.prefix_space;
  };
  for (const char* name : {"llama-bpe", "qwen2", "smollm", "gpt-2", "tekken"}) {
    const Pre known = pre_by_name(name, file.where);
    if (known.ignore_merges == ignore_merges && known.normal_forms == forms &&
        std::equal(known.steps.begin(), known.steps.end(), steps.begin(), steps.end(), same))
      return name;
  }
  throw Error(ExitCode::kUsage,
              "{}: llama.cpp has no name for the way this tokenizer cuts words; GGUF can be written for those of Llama 3, Qwen2, SmolLM, "
              "GPT-2 and Mistral",
              file.where);
}

void fill_types(const File& file, const Pieces& pieces, TokenizerTables& tables) {
  const Tree* model = member(file.rest, "model");
  const std::string unk = text_of(*model, "unk_token");
  tables.tokens = pieces.text;
  tables.token_types.assign(pieces.text.size(), kNormalToken);
  for (std::size_t id = 0; id < pieces.text.size(); ++id) {
    if (!pieces.is_known[id]) {
      tables.tokens[id] = fmt::format("[PAD{}]", id);
      tables.token_types[id] = kUnusedToken;
    } else if (tables.model == "llama" && hex_byte(pieces.text[id]) >= 0) {
      tables.token_types[id] = kByteToken;
    }
  }
  if (const Tree* added = member(file.rest, "added_tokens"))
    for (const Tree& token : *added)
      tables.token_types[token.at("id").get<std::size_t>()] = flag_of(token, "special") ? kControlToken : kUserToken;
  if (const auto found = pieces.ids.find(unk); tables.model == "llama" && found != pieces.ids.end())
    tables.token_types[static_cast<std::size_t>(found->second)] = kUnknownToken;
}

// What SentencePiece's search would have to go by: the earlier merge wins.
std::vector<float> scores_of_merges(const File& file, const Pieces& pieces) {
  std::vector<float> scores(pieces.text.size(), -static_cast<float>(file.merges.size()) - 1);
  for (std::size_t i = file.merges.size(); i-- > 0;)
    if (const auto found = pieces.ids.find(file.merges[i].first + file.merges[i].second); found != pieces.ids.end())
      scores[static_cast<std::size_t>(found->second)] = -static_cast<float>(i);
  return scores;
}

}  // namespace

TokenizerTables read_tokenizer_tables(const std::filesystem::path& path) {
  const File file = read_file(path);
  const auto tokenizer = make_from(file, path);  // all checks
  const Pieces pieces = pieces_of(file);
  const Tree& model = file.rest.at("model");
  TokenizerTables tables;
  tables.where = file.where;
  if (dynamic_cast<const ByteLevelBpe*>(tokenizer.get())) {
    tables.model = "gpt2";
    tables.pre = name_of_pre(file, effective(pre_tokenizer_of(file.where, member(file.rest, "pre_tokenizer"))),
                             normal_forms_of(file.where, member(file.rest, "normalizer")), flag_of(model, "ignore_merges"));
    for (const auto& [left, right] : file.merges) tables.merges.push_back(left + " " + right);
  } else if (const auto* spm = dynamic_cast<const SpmBpe*>(tokenizer.get())) {
    tables.model = "llama";
    tables.pre = "default";
    tables.scores = scores_of_merges(file, pieces);
    tables.add_space_prefix = spm->prefix() != SpmBpe::Prefix::kNever;
  } else {
    throw Error(ExitCode::kUsage, "{}: a WordPiece tokenizer has no place in a decoder's GGUF", file.where);
  }
  fill_types(file, pieces, tables);
  tables.bos = tokenizer->bos();
  tables.eos = tokenizer->eos();
  tables.unk = tokenizer->unk();
  tables.pad = tokenizer->pad();
  tables.add_bos = tokenizer->add_bos();
  tables.add_eos = tokenizer->add_eos();
  return tables;
}

std::string write_tokenizer_json(const TokenizerTables& tables) {
  if (tables.model != "gpt2")
    throw Error(ExitCode::kUsage,
                "{}: its tokenizer is of the kind \"{}\", which is not written as tokenizer.json; put the model's own tokenizer.json and "
                "tokenizer_config.json beside the weights",
                tables.where, tables.model);
  const auto tokenizer = make_tokenizer(tables);  // all checks
  const Pre pre = pre_by_name(tables.pre, tables.where);
  Tree added = Tree::array(), vocabulary = Tree::object(), steps = Tree::array();
  for (std::size_t id = 0; id < tables.tokens.size(); ++id) {
    const int32_t type = tables.token_types.empty() ? kNormalToken : tables.token_types[id];
    if (type == kNormalToken)
      vocabulary[tables.tokens[id]] = id;
    else if (type != kUnusedToken)
      added.push_back({{"id", id},
                       {"content", tables.tokens[id]},
                       {"single_word", false},
                       {"lstrip", false},
                       {"rstrip", false},
                       {"normalized", false},
                       {"special", type != kUserToken}});
  }
  for (const PreTokenizer::Step& step : pre.steps)
    steps.push_back({{"type", "Split"}, {"pattern", {{"Regex", step.pattern}}}, {"behavior", "Isolated"}, {"invert", false}});
  const auto byte_level = [](bool prefix) {
    return Tree{{"type", "ByteLevel"}, {"add_prefix_space", prefix}, {"trim_offsets", true}, {"use_regex", false}};
  };
  steps.push_back(byte_level(false));
  DESKHAND_ASSERT(pre.normal_forms.empty() || pre.normal_forms == std::vector{NormalForm::kNfc}, "no family has another");
  Tree processor = byte_level(false);
  if (tokenizer->add_bos()) {
    const std::string bos(tokenizer->token_bytes(*tokenizer->bos()));
    const Tree sequence = {{"Sequence", {{"id", "A"}, {"type_id", 0}}}}, pair = {{"Sequence", {{"id", "B"}, {"type_id", 1}}}};
    const Tree first = {{"SpecialToken", {{"id", bos}, {"type_id", 0}}}};
    processor = {{"type", "TemplateProcessing"},
                 {"single", Tree::array({first, sequence})},
                 {"pair", Tree::array({first, sequence, pair})},
                 {"special_tokens", {{bos, {{"id", bos}, {"ids", Tree::array({*tokenizer->bos()})}, {"tokens", Tree::array({bos})}}}}}};
  }
  const Tree whole = {{"version", "1.0"},
                      {"truncation", nullptr},
                      {"padding", nullptr},
                      {"added_tokens", std::move(added)},
                      {"normalizer", pre.normal_forms.empty() ? Tree() : Tree{{"type", "NFC"}}},
                      {"pre_tokenizer", {{"type", "Sequence"}, {"pretokenizers", std::move(steps)}}},
                      {"post_processor", std::move(processor)},
                      {"decoder", byte_level(true)},
                      {"model",
                       {{"type", "BPE"},
                        {"dropout", nullptr},
                        {"unk_token", nullptr},
                        {"continuing_subword_prefix", nullptr},
                        {"end_of_word_suffix", nullptr},
                        {"fuse_unk", false},
                        {"byte_fallback", false},
                        {"ignore_merges", pre.ignore_merges},
                        {"vocab", std::move(vocabulary)},
                        {"merges", tables.merges}}}};
  return whole.dump() + "\n";
}

std::string write_tokenizer_config(const TokenizerTables& tables, std::string_view chat_template) {
  Tree config = {{"tokenizer_class", "PreTrainedTokenizerFast"}, {"clean_up_tokenization_spaces", false}};
  const auto token = [&](const char* key, std::optional<int32_t> id) {
    if (id && *id >= 0 && static_cast<std::size_t>(*id) < tables.tokens.size()) config[key] = tables.tokens[static_cast<std::size_t>(*id)];
  };
  token("bos_token", tables.bos);
  token("eos_token", tables.eos);
  token("unk_token", tables.unk);
  token("pad_token", tables.pad);
  if (tables.add_bos) config["add_bos_token"] = *tables.add_bos;
  if (!chat_template.empty()) config["chat_template"] = chat_template;
  return config.dump(2) + "\n";
}

}  // namespace deskhand
