// Text to token ids and back. A ticket's text is never trusted: the special tokens that steer a model ("<|im_end|>") are recognised only in
// text that this program wrote itself, so no ticket can end its own turn or speak as the system.
#pragma once
#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace deskhand {

struct TextPart {
  std::string text;
  bool ours = false;  // written by this program: special tokens in it are meant

  bool operator==(const TextPart&) const = default;
};

// What every tokenizer knows of its tokens. Ids are 0 .. bytes.size() - 1.
struct Vocabulary {
  // A token that is recognised as a whole, and only where specials are: never in ordinary text.
  struct Special {
    int32_t id = 0;
    std::string text;
    bool strip_left = false, strip_right = false;  // swallows the white space beside it
  };

  std::vector<std::string> bytes;  // what a token stands for: raw bytes, for a special its text
  std::vector<bool> is_special;    // as long as bytes; also true for ids that name nothing
  std::vector<Special> specials;
  std::optional<int32_t> bos, eos, unk, pad;
  bool add_bos = false, add_eos = false;  // the model's own files ask for them around a plain text
};

struct DecodeOptions {
  bool keep_specials = false;
};

// Safe to use from several threads at once.
class Tokenizer {
 public:
  virtual ~Tokenizer();
  Tokenizer(const Tokenizer&) = delete;
  Tokenizer& operator=(const Tokenizer&) = delete;

  // Ordinary text: whatever it spells, no special token comes out. Neither bos nor eos is added. Invalid UTF-8 is repaired first.
  std::vector<int32_t> encode(std::string_view text) const;
  // Text that this program wrote: special tokens are recognised, the longest one first.
  std::vector<int32_t> encode_with_specials(std::string_view text) const;
  // Specials are recognised inside parts that are ours, never across a border. The text between two specials is encoded as one, whatever
  // parts it comes from: the ids are those of the whole text, as long as the parts that are not ours spell no special.
  std::vector<int32_t> encode(std::span<const TextPart> parts) const;

  // Wrong UTF-8 (a character cut in two at an end) becomes U+FFFD; ids that name nothing give nothing. Throws Error(kBadInput) for an id
  // outside the vocabulary.
  std::string decode(std::span<const int32_t> ids, DecodeOptions options = {}) const;

  // The raw bytes of one token, perhaps part of a character; a special gives its text. Lives as long as the tokenizer.
  std::string_view token_bytes(int32_t id) const { return std::string_view(blob_).substr(begins_[id], begins_[id + 1] - begins_[id]); }
  bool is_special(int32_t id) const { return is_special_[static_cast<std::size_t>(id)]; }
  int32_t size() const { return static_cast<int32_t>(is_special_.size()); }

  std::optional<int32_t> special_id(std::string_view name) const;
  std::optional<int32_t> bos() const { return bos_; }
  std::optional<int32_t> eos() const { return eos_; }
  std::optional<int32_t> unk() const { return unk_; }
  std::optional<int32_t> pad() const { return pad_; }
  bool add_bos() const { return add_bos_; }
  bool add_eos() const { return add_eos_; }

 protected:
  explicit Tokenizer(const Vocabulary& vocabulary);

  // Appends the ids of `text`: valid UTF-8, not empty, no specials. `at_start`: nothing stands before it.
  virtual void encode_text(std::string_view text, bool at_start, std::vector<int32_t>& ids) const = 0;
  // What a finished decoding has to lose: SentencePiece's first space.
  virtual void finish_decoding(std::string&) const {}

 private:
  struct Piece;
  void split_at_specials(std::string_view text, std::vector<Piece>& pieces) const;
  std::vector<int32_t> encode_pieces(std::span<const Piece> pieces) const;

  std::string blob_;                 // all tokens' bytes, one after the other
  std::vector<std::size_t> begins_;  // size() + 1
  std::vector<bool> is_special_;
  std::vector<Vocabulary::Special> specials_;                // longest first
  std::array<std::vector<uint32_t>, 256> specials_by_byte_;  // indices into specials_, by first byte, longest first
  std::optional<int32_t> bos_, eos_, unk_, pad_;
  bool add_bos_, add_eos_;
};

}  // namespace deskhand
