// Everything that answers a ticket of this desk, loaded once: encoder, retriever, decoder, generator, triager.
#pragma once
#include <memory>
#include <string>

#include "deskhand/app/desk.h"
#include "deskhand/app/desk_decoder.h"
#include "deskhand/app/engine.h"
#include "deskhand/triage/embedder.h"
#include "deskhand/triage/triager.h"

namespace deskhand {

class DeskEncoder {
 public:
  // Null where the desk names no encoder. Throws Error(kNotFound) with the command that gets the model.
  static std::unique_ptr<DeskEncoder> load(const Desk& desk, const Globals& globals, const Backend& on);

  EncoderEmbedder& embedder() { return embedder_; }
  const EncoderId& id() const { return id_; }

 private:
  DeskEncoder(const std::filesystem::path& folder, const std::string& name, const Backend& on);

  Encoder encoder_;
  std::unique_ptr<WordPiece> tokenizer_;
  EncoderEmbedder embedder_;
  EncoderId id_;
};

struct AnsweringOptions {
  bool decoder = true;  // false: search alone
};

class Answering {
 public:
  // Throws Error(kNotFound) where no cases are indexed yet.
  Answering(Desk& desk, const Globals& globals, const AnsweringOptions& options = {});
  ~Answering();

  const Triager& triager() const { return *triager_; }
  const Retriever& retriever() const { return *retriever_; }
  DeskEncoder* encoder() { return encoder_.get(); }
  // Names all that an answer depends on besides its query: models, settings, cases, weights.
  const std::string& fingerprint() const { return fingerprint_; }
  // Names decoder and adapter; label weights hold for the one they were fitted with.
  const std::string& model_id() const { return model_id_; }
  const std::string& adapter_hash() const { return adapter_hash_; }  // empty: no adapter

 private:
  Engine engine_;
  std::unique_ptr<DeskEncoder> encoder_;
  std::unique_ptr<Retriever> retriever_;
  std::unique_ptr<DeskDecoder> model_;
  std::unique_ptr<Triager> triager_;
  std::string fingerprint_, model_id_, adapter_hash_;
};

// Small texts that commands leave for one another in the desk's database: fitted label weights, for example. Empty: none is kept.
std::string kept_text(Database& database, std::string_view name);
void keep_text(Database& database, std::string_view name, std::string_view text);

}  // namespace deskhand
