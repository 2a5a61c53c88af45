"""Tiny video segmentation models with random weights, saved as a user finds them: folders of transformers' form."""

from __future__ import annotations

from pathlib import Path
from typing import Any

SIDE = 64
GRIDS = [[16, 16], [8, 8], [4, 4]]
HIDDEN = 128  # twice what the memory is projected to: object pointers are split in two
COMMON = {
    "memory_attention_hidden_size": HIDDEN,
    "memory_attention_num_layers": 1,
    "memory_attention_rope_feat_sizes": [4, 4],
    "memory_encoder_hidden_size": HIDDEN,
    "memory_encoder_output_channels": 64,  # fixed by the memory attention
    "mask_downsampler_embed_dim": HIDDEN,
    "memory_fuser_num_layers": 1,
    "memory_fuser_embed_dim": HIDDEN,
    "memory_fuser_intermediate_dim": 32,
    "num_maskmem": 3,
    "max_object_pointers_in_encoder": 4,
}
DECODER = {
    "hidden_size": HIDDEN,
    "mlp_dim": 32,
    "num_attention_heads": 2,
    "iou_head_hidden_dim": 16,
    "num_hidden_layers": 2,
}


def _sam2(transformers: Any) -> Any:
    vision = {
        "model_type": "sam2_vision_model",
        "backbone_config": {
            "model_type": "sam2_hiera_det_model",
            "image_size": [SIDE, SIDE],
            "hidden_size": 8,
            "blocks_per_stage": [1, 1, 2, 1],
            "embed_dim_per_stage": [8, 16, 32, 64],
            "num_attention_heads_per_stage": [1, 1, 2, 2],
            "window_size_per_stage": [4, 4, 4, 4],
            "window_positional_embedding_background_size": [4, 4],
            "global_attention_blocks": [3],
        },
        "backbone_channel_list": [64, 32, 16, 8],
        "backbone_feature_sizes": GRIDS,
        "fpn_hidden_size": HIDDEN,
    }
    return transformers.Sam2VideoConfig(
        vision_config=vision,
        prompt_encoder_config={"hidden_size": HIDDEN, "image_size": SIDE, "mask_input_channels": 4},
        mask_decoder_config=DECODER,
        image_size=SIDE,
        memory_attention_feed_forward_hidden_size=32,
        **COMMON,
    )


def _edgetam(transformers: Any) -> Any:
    vision = {
        "model_type": "edgetam_vision_model",
        "backbone_config": {
            "model_type": "timm_wrapper",
            "architecture": "repvit_m1",
            "num_classes": 2,
            "model_args": {
                "in_chans": 3,
                "features_only": True,
                "out_indices": [0, 1, 2, 3],
                "embed_dim": [8, 16, 24, 32],
                "depth": [1, 1, 1, 1],
            },
        },
        "backbone_channel_list": [32, 24, 16, 8],
        "backbone_feature_sizes": GRIDS,
        "fpn_hidden_size": HIDDEN,
    }
    changes = {key: value for key, value in COMMON.items() if key != "memory_attention_num_layers"}
    return transformers.EdgeTamVideoConfig(
        vision_config=vision,
        prompt_encoder_config={"hidden_size": HIDDEN, "image_size": SIDE, "mask_input_channels": 4},
        mask_decoder_config=DECODER,
        image_size=SIDE,
        memory_attention_num_layers=1,
        memory_attention_mlp_hidden_size=32,
        memory_attention_rope_k_sizes=[2, 2],
        perceiver_resampler_num_latents=4,
        perceiver_resampler_num_latents_2d=4,
        perceiver_resampler_hidden_size=64,
        perceiver_resampler_mlp_intermediate_size=16,
        perceiver_resampler_attention_head_dim=64,
        **changes,
    )


def _sam3(transformers: Any) -> Any:
    vision = {
        "model_type": "sam3_vision_model",
        "backbone_config": {
            "model_type": "sam3_vit_model",
            "image_size": SIDE,
            "patch_size": 16,
            "hidden_size": 16,
            "intermediate_size": 32,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "window_size": 4,
            "global_attn_indexes": [1],
            "pretrain_image_size": SIDE,
        },
        "backbone_feature_sizes": GRIDS,
        "fpn_hidden_size": HIDDEN,
    }
    return transformers.Sam3TrackerVideoConfig(
        vision_config=vision,
        prompt_encoder_config={
            "hidden_size": HIDDEN,
            "image_size": SIDE,
            "patch_size": 16,
            "mask_input_channels": 4,
        },
        mask_decoder_config=DECODER,
        image_size=SIDE,
        memory_attention_feed_forward_hidden_size=32,
        **COMMON,
    )


MODELS = {
    "sam2_video": (_sam2, "Sam2VideoModel"),
    "edgetam_video": (_edgetam, "EdgeTamVideoModel"),
    "sam3_tracker_video": (_sam3, "Sam3TrackerVideoModel"),
}


def save_video_model(kind: str, folder: Path) -> Path:
    """Save a model of a kind, and its processor, with weights drawn from seed 0."""
    import torch
    import transformers

    config, model_class = MODELS[kind]
    torch.manual_seed(0)
    model = getattr(transformers, model_class)(config(transformers))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            # The published initial values are so small that every mask would be flat.
            if parameter.ndim > 1:
                torch.nn.init.xavier_normal_(parameter.flatten(1) if parameter.ndim > 2 else parameter)
            elif name.endswith("pred_obj_score_head.proj_out.bias"):
                parameter.add_(100.0)  # every object is there
    model.save_pretrained(folder)
    size = {"height": SIDE, "width": SIDE}
    if kind == "sam3_tracker_video":
        image = transformers.Sam3ImageProcessor(size=size)
        processor = transformers.Sam3TrackerVideoProcessor(
            image, transformers.Sam2VideoVideoProcessor(size=size), target_size=SIDE
        )
    else:
        image = transformers.Sam2ImageProcessor(size=size)
        processor = transformers.Sam2VideoProcessor(
            image, transformers.Sam2VideoVideoProcessor(size=size), target_size=SIDE
        )
    processor.save_pretrained(folder)
    return folder
