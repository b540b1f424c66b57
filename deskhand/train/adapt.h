// An adapter at work beside its base: views that training and answering read, and where training adds gradients. An adapter's rows are in
// Hugging Face's order in files; a GGUF of the Llama architecture wants q's and k's as neighbours, so memory holds them as the base has
// them.
#pragma once
#include "deskhand/model/decoder.h"
#include "deskhand/train/adapter.h"
#include "deskhand/train/parameters.h"

namespace deskhand {

Adapter in_base_order(Adapter adapter, const DecoderConfig& config);                 // as read or made -> as the base lies
Adapter in_hugging_face_order(const Adapter& adapter, const DecoderConfig& config);  // a copy, the other way: for files

// The base's parts with the adapter's beside or in place of them. `adapter` in the base's order; both are borrowed, and values written into
// the adapter's tensors count at once. Throws Error(kUsage) for a pair on the embedding.
DecoderWeights adapted(const DecoderWeights& base, const Adapter& adapter, const DecoderConfig& config);

// The flat buffers' parts by the places of the model. An entry of a tied head's embedding gathers both gradients.
DecoderGradients gradients_of(Parameters& parameters, const DecoderConfig& config);

// The decoder answers with the adapter from now on. Throws Error(kBadInput) as check_adapter does; `where`: the adapter's folder.
void use_adapter(Decoder& decoder, Adapter adapter, std::string_view where);

}  // namespace deskhand
