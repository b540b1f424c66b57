// A model's weights where they are computed with: mapped files lie on the host, a GPU wants its own copy, made once.
#pragma once
#include "deskhand/model/weights.h"

namespace deskhand {

// The same parts on `device`, each in its own type: quantised blocks stay quantised. What lies there already is borrowed, everything else
// copied and owned; parts that are one (a tied head) stay one. Throws Error(kTooLarge) if the memory cannot be had.
DecoderWeights placed(const DecoderWeights& weights, Device device);
// The same on a GPU for answering: what can be multiplied by faster in tiles (ops/tiled.h) lies in them.
DecoderWeights placed_for_answering(const DecoderWeights& weights, Device device);
// An encoder's, for activations of `type`: where that is bf16, matrices that are f32 are rounded to it.
EncoderWeights placed(const EncoderWeights& weights, Placement at);

}  // namespace deskhand
