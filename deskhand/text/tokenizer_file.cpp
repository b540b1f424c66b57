#include "deskhand/text/tokenizer_file.h"

#include <algorithm>
#include <limits>

#include "deskhand/base/mapped_file.h"

namespace deskhand::tokenizer_file {
namespace {

class Reader : public nlohmann::json_sax<Tree> {
 public:
  explicit Reader(File& file) : file_(file) {}

  bool null() override { return value(nullptr); }
  bool boolean(bool v) override { return value(v); }
  bool number_integer(number_integer_t v) override { return in_vocabulary() ? entry(v) : value(v); }
  bool number_unsigned(number_unsigned_t v) override {
    return in_vocabulary() ? entry(static_cast<int64_t>(std::min<uint64_t>(v, std::numeric_limits<int64_t>::max()))) : value(v);
  }
  bool number_float(number_float_t v, const string_t&) override { return value(v); }
  bool binary(binary_t&) override { return false; }
  bool string(string_t& v) override {
    if (merge_depth_ == 1) {
      const auto cut = v.find(' ', 1);  // a token may be a lone space in old files: " " never starts a merge
      if (cut == std::string::npos) fail("merge number {} is \"{}\", not two tokens with a space between", file_.merges.size() + 1, v);
      file_.merges.emplace_back(v.substr(0, cut), v.substr(cut + 1));
      return true;
    }
    if (merge_depth_ == 2) {
      pair_.push_back(std::move(v));
      return true;
    }
    return value(std::move(v));
  }
  bool key(string_t& v) override {
    key_ = v;
    return true;
  }
  bool start_object(std::size_t) override {
    if (in_vocabulary() || merge_depth_ > 0) fail("an object where a token is wanted, behind {} tokens", file_.vocabulary.size());
    if (stack_.size() == 2 && names_.back() == "model" && key_ == "vocab") {
      vocabulary_open_ = true;
      return true;
    }
    return open(Tree::object());
  }
  bool end_object() override {
    if (vocabulary_open_) return vocabulary_open_ = false, true;
    return close();
  }
  bool start_array(std::size_t) override {
    if (in_vocabulary()) fail("a list where the id of \"{}\" is wanted", key_);
    if (merge_depth_ == 0 && stack_.size() == 2 && names_.back() == "model" && key_ == "merges" && stack_.back()->is_object()) {
      merge_depth_ = 1;
      return true;
    }
    if (merge_depth_ == 1) return merge_depth_ = 2, pair_.clear(), true;
    if (merge_depth_ == 2) fail("merge number {} is not a pair of tokens", file_.merges.size() + 1);
    return open(Tree::array());
  }
  bool end_array() override {
    if (merge_depth_ == 2) {
      if (pair_.size() != 2) fail("merge number {} has {} tokens instead of two", file_.merges.size() + 1, pair_.size());
      file_.merges.emplace_back(std::move(pair_[0]), std::move(pair_[1]));
      merge_depth_ = 1;
      return true;
    }
    if (merge_depth_ == 1) return merge_depth_ = 0, true;
    return close();
  }
  bool parse_error(std::size_t position, const std::string&, const nlohmann::detail::exception& error) override {
    const std::string_view reason = error.what();
    const auto cut = reason.find("] ");
    fail("not valid JSON at byte {}: {}", position, cut == std::string_view::npos ? reason : reason.substr(cut + 2));
    return false;
  }

 private:
  template <class... Args>
  [[noreturn]] void fail(fmt::format_string<Args...> text, Args&&... args) const {
    throw Error(ExitCode::kBadInput, "{}: {}", file_.where, fmt::format(text, std::forward<Args>(args)...));
  }
  bool in_vocabulary() const { return vocabulary_open_; }
  bool entry(int64_t id) {
    file_.vocabulary.emplace_back(key_, id);
    return true;
  }
  // Where the next value goes.
  Tree& place(Tree v) {
    if (stack_.empty()) return file_.rest = std::move(v);
    Tree& parent = *stack_.back();
    if (parent.is_array()) {
      parent.push_back(std::move(v));
      return parent.back();
    }
    return parent[key_] = std::move(v);
  }
  bool value(Tree v) {
    if (vocabulary_open_) fail("the id of the token \"{}\" is not a whole number", key_);
    if (merge_depth_ > 0) fail("merge number {} is not made of tokens", file_.merges.size() + 1);
    if (stack_.empty()) fail("a JSON object is wanted, this is a single value");
    place(std::move(v));
    return true;
  }
  bool open(Tree container) {
    if (stack_.size() > 100) fail("JSON nested deeper than 100 levels");
    if (!stack_.empty()) names_.push_back(stack_.back()->is_array() ? "" : key_);
    stack_.push_back(&place(std::move(container)));  // the parent does not grow while this one is open, so the pointer holds
    return true;
  }
  bool close() {
    stack_.pop_back();
    if (!names_.empty()) names_.pop_back();
    return true;
  }

  File& file_;
  std::string key_;
  std::vector<Tree*> stack_;
  std::vector<std::string> names_;  // keys of the open containers below the root
  bool vocabulary_open_ = false;
  int merge_depth_ = 0;  // 1 inside the list of merges, 2 inside one merge
  std::vector<std::string> pair_;
};

}  // namespace

File read_file(const std::filesystem::path& path) {
  const std::string text = read_text_file(path, kMostBytes);
  File file;
  file.where = path.string();
  Reader reader(file);
  Tree::sax_parse(text, &reader);
  if (!file.rest.is_object()) throw Error(ExitCode::kBadInput, "{}: a JSON object is wanted", file.where);
  return file;
}

const Tree* member(const Tree& object, const char* name) {
  if (!object.is_object()) return nullptr;
  const auto found = object.find(name);
  return found == object.end() || found->is_null() ? nullptr : &*found;
}
std::string text_of(const Tree& object, const char* name) {
  const Tree* found = member(object, name);
  return found && found->is_string() ? found->get<std::string>() : std::string();
}
bool flag_of(const Tree& object, const char* name, bool otherwise) {
  const Tree* found = member(object, name);
  return found && found->is_boolean() ? found->get<bool>() : otherwise;
}

Pieces pieces_of(const File& file) {
  if (file.vocabulary.empty()) refuse(file.where, "no vocabulary (model.vocab) in it; is this really a tokenizer.json?");
  const Tree none = Tree::array();
  const Tree* added = member(file.rest, "added_tokens");
  if (!added) added = &none;
  if (!added->is_array()) refuse(file.where, "added_tokens is not a list");
  int64_t most = -1;
  const auto check_id = [&](int64_t id, std::string_view token) {
    if (id < 0 || id >= kMostTokens) refuse(file.where, "the token \"{}\" has the id {}; ids go from 0 to {}", token, id, kMostTokens - 1);
    most = std::max(most, id);
  };
  for (const auto& [token, id] : file.vocabulary) check_id(id, token);
  for (const Tree& token : *added) {
    const Tree* id = member(token, "id");
    if (!id || !id->is_number_integer() || !member(token, "content")) refuse(file.where, "an added token without id or content");
    check_id(id->get<int64_t>(), text_of(token, "content"));
  }
  const auto named = static_cast<int64_t>(file.vocabulary.size() + added->size());
  if (most > named * 4 + 100'000) refuse(file.where, "the highest id is {}, but only {} tokens are named", most, named);

  Pieces pieces;
  const auto count = static_cast<std::size_t>(most + 1);
  pieces.text.resize(count);
  pieces.is_added.resize(count);
  pieces.is_known.resize(count);
  for (const auto& [token, id] : file.vocabulary) {
    const auto at = static_cast<std::size_t>(id);
    if (pieces.is_known[at]) refuse(file.where, "the tokens \"{}\" and \"{}\" have the same id {}", pieces.text[at], token, id);
    pieces.text[at] = token;
    pieces.is_known[at] = true;
    if (!pieces.ids.emplace(token, static_cast<int32_t>(id)).second) refuse(file.where, "the token \"{}\" is there twice", token);
  }
  for (const Tree& token : *added) {
    if (flag_of(token, "single_word"))
      refuse(file.where, "the added token \"{}\" is for single words only, which is not supported", text_of(token, "content"));
    const auto id = token["id"].get<int32_t>();
    const auto at = static_cast<std::size_t>(id);
    const std::string content = text_of(token, "content");
    if (pieces.is_known[at] && pieces.text[at] != content) {
      refuse(file.where, "the added token \"{}\" has the id {} of the token \"{}\"", content, id, pieces.text[at]);
    }
    pieces.text[at] = content;
    pieces.is_added[at] = pieces.is_known[at] = true;
    pieces.specials.push_back({id, content, flag_of(token, "lstrip"), flag_of(token, "rstrip")});
  }
  return pieces;
}

}  // namespace deskhand::tokenizer_file
