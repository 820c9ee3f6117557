"""Small models of transformers, for the tests of fanin.torch."""

import os

os.environ["HF_HUB_OFFLINE"] = "1"


def gpt2():
    from transformers import GPT2Config, GPT2LMHeadModel

    size = {"n_layer": 2, "n_embd": 48, "n_head": 2, "vocab_size": 60, "n_positions": 20}
    return GPT2LMHeadModel(GPT2Config(**size, bos_token_id=0, eos_token_id=0))


def vit():
    from transformers import ViTConfig, ViTModel

    size = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2,
            "intermediate_size": 48, "image_size": 16, "patch_size": 8}  # fmt: skip
    return ViTModel(ViTConfig(**size))


def bert():
    """Tied, with a row of zeros for the padding that the head's own draw must not undo."""
    from transformers import BertConfig, BertForMaskedLM

    size = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2,
            "intermediate_size": 48, "vocab_size": 60}  # fmt: skip
    return BertForMaskedLM(BertConfig(**size))


def llama():
    from transformers import LlamaConfig, LlamaForCausalLM

    size = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2,
            "intermediate_size": 48, "vocab_size": 50, "num_key_value_heads": 1}  # fmt: skip
    return LlamaForCausalLM(LlamaConfig(**size))
