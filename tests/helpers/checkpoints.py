"""Tiny models with random weights, saved as users find them: folders of Hugging Face's form, files of tensors."""

from __future__ import annotations

from pathlib import Path

SIDE = 32
VISION = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "image_size": SIDE,
    "patch_size": 8,
}
TEXT = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "vocab_size": 8,
    "max_position_embeddings": 12,
    "bos_token_id": 2,
    "eos_token_id": 3,
    "pad_token_id": 1,
}
WORDS = ("<unk>", "<pad>", "<s>", "</s>", "a", "red", "bus", "cat")
SQUARE = {"height": SIDE, "width": SIDE}


def _parts(kind):
    """Return (class of the config, its values, class of the model, class of the processor, its values)."""
    return {
        "dinov2": (
            "Dinov2Config",
            {**{k: v for k, v in VISION.items() if k != "intermediate_size"}, "mlp_ratio": 2},
            "Dinov2Model",
            "BitImageProcessor",
            {"size": {"shortest_edge": 40}, "crop_size": SQUARE},
        ),
        "dinov3": (
            "DINOv3ViTConfig",
            {**VISION, "num_register_tokens": 2},
            "DINOv3ViTModel",
            "DINOv3ViTImageProcessor",
            {"size": SQUARE},
        ),
        "vit": ("ViTConfig", VISION, "ViTModel", "ViTImageProcessor", {"size": SQUARE}),
        "vit_classifier": (
            "ViTConfig",
            VISION,
            "ViTForImageClassification",
            "ViTImageProcessor",
            {"size": SQUARE},
        ),
        "swin": (
            "SwinConfig",
            {
                "image_size": SIDE,
                "patch_size": 4,
                "embed_dim": 16,
                "depths": [1, 1],
                "num_heads": [2, 2],
                "window_size": 4,
            },
            "SwinModel",
            "ViTImageProcessor",
            {"size": SQUARE, "resample": 3},
        ),
        "convnext": (
            "ConvNextConfig",
            {"hidden_sizes": [8, 16, 16, 32], "depths": [1, 1, 1, 1]},
            "ConvNextModel",
            "ConvNextImageProcessor",
            {"size": {"shortest_edge": SIDE}},
        ),
        "clip": (
            "CLIPConfig",
            {"text_config": TEXT, "vision_config": VISION, "projection_dim": 24},
            "CLIPModel",
            "CLIPImageProcessor",
            {"size": {"shortest_edge": SIDE}, "crop_size": SQUARE},
        ),
        "siglip": (
            "SiglipConfig",
            {"text_config": TEXT, "vision_config": VISION},
            "SiglipModel",
            "SiglipImageProcessor",
            {"size": SQUARE},
        ),
    }[kind]


KINDS = ("dinov2", "dinov3", "vit", "vit_classifier", "swin", "convnext", "clip", "siglip")


def save_checkpoint(kind: str, folder: Path, *, seed: int = 0) -> Path:
    """Save a tiny random model of a kind with its image processor, and its tokenizer if it knows words."""
    import torch
    import transformers

    config_class, values, model_class, processor_class, options = _parts(kind)
    logging = transformers.utils.logging
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = getattr(transformers, model_class)(getattr(transformers, config_class)(**values))
        # Fresh biases are zero and fresh norms one: a model in which every tensor tells.
        for tensor in model.parameters():
            tensor.data += 0.02 * torch.randn_like(tensor)
    model.save_pretrained(folder)
    getattr(transformers, processor_class)(**options).save_pretrained(folder)
    if "text_config" in values:
        _tokenizer(transformers).save_pretrained(folder)
    return folder


def _tokenizer(transformers):
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    words = Tokenizer(models.WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    words.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 2), ("</s>", 3)]
    )
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=words, unk_token="<unk>", pad_token="<pad>", bos_token="<s>", eos_token="</s>"
    )
