// The letters of shapes, the same everywhere:
//   B sequences          T tokens of a sequence   N packed tokens (all sequences of a batch, one after the other)
//   C model width        H query heads            G key/value heads, H a multiple of G     D head width
//   F feed-forward width V vocabulary             R LoRA rank                              L layers
//   O, I  outputs and inputs of one linear layer
// All tensors are row-major and contiguous; the last letter is the one that runs fastest.
#pragma once
