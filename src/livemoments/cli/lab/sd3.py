"""Commands on the sd3 tier's weights, which are brought by the user."""

from pathlib import Path
from typing import Annotated

from livemoments.cli.bars import StageProgress
from livemoments.cli.base import Command, lab
from livemoments.cli.options import Json, Overwrite, argument, option
from livemoments.cli.printing import print_facts
from livemoments.extras import need_sd3
from livemoments.models.sd3.config import PUBLISHED, SD3_MEDIUM, Sd3Config


@lab.command("check-weights", cls=Command)
def check_weights(
    weights: Annotated[
        str, argument("[WEIGHTS]", "A folder, or a repository's name in the Hugging Face cache.")
    ] = PUBLISHED,
    base: Annotated[
        str,
        option(
            "FOLDER", "SD3-medium, likewise; not read where WEIGHTS has a vae folder of its own."
        ),
    ] = SD3_MEDIUM,
    as_json: Json = False,
) -> None:
    """Check the sd3 model's weights, and say what they are.

    Needs the extra "sd3": pip install 'livemoments[sd3]'. Every part must be there, readable, and
    of the right names and shapes; of the values, only the empty prompt's embeddings are read, so
    that this takes seconds and little memory. Nothing is downloaded.
    """
    need_sd3("checking weights")
    from livemoments.models.sd3.weights import check_sd3

    print_facts(check_sd3(Sd3Config(weights=weights, base=base)), as_json=as_json)


@lab.command("embed-prompt", cls=Command)
def embed_prompt(
    base: Annotated[
        str,
        argument(
            "BASE",
            "SD3-medium's folder with its text encoders, or its name in the Hugging Face cache.",
        ),
    ],
    output: Annotated[
        Path, option("OUT", "Best WEIGHTS/empty_prompt.safetensors.", "-o", "--output")
    ],
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Make the empty prompt's embeddings, once.

    Needs the extra "sd3": pip install 'livemoments[sd3]'. The sd3 model takes them in place of a
    prompt. With the encoder T5 this takes some 20 GB of memory; where BASE has none, its part is
    zeros, which the output states. Which of them the release was trained with is not known.
    """
    need_sd3("embedding the prompt")
    from livemoments.models.sd3.prompt import embed_empty_prompt

    made = embed_empty_prompt(base, output, overwrite=overwrite)
    print_facts(made, as_json=as_json)


@lab.command("bench-sd3", cls=Command)
def bench_sd3(
    weights: Annotated[
        str | None, option("FOLDER", "Those of check-weights; else random ones, full size.")
    ] = None,
    base: Annotated[str, option("FOLDER", "As for check-weights.")] = SD3_MEDIUM,
    device: Annotated[str, option("auto|cuda|mps|cpu", "Where it runs.")] = "auto",
    precision: Annotated[str, option("auto|bf16|fp16|float32", "Of the arithmetic.")] = "auto",
    tile_px: Annotated[int, option("PX", "Side of the tile.", "--tile")] = 1024,
    batch: Annotated[int, option("N", "Tiles at a time, in one row.")] = 2,
    compile_: Annotated[bool, option(None, "Measure torch.compile, too.", "--compile")] = False,
    as_json: Json = False,
) -> None:
    """Measure the sd3 model next to the release's loop.

    Needs the extra "sd3": pip install 'livemoments[sd3]'. In one run, over one made-up tile: a
    plain statement of the official loop, and ours in several ways, each with its seconds, its
    memory on the device and how far its picture is from the official loop's.
    """
    need_sd3("measuring the sd3 model")
    from livemoments.lab.speed.sd3 import measure_sd3

    config = Sd3Config(
        weights=weights or PUBLISHED, base=base, device=device, precision=precision,
        compile=compile_,
    )  # fmt: skip
    with StageProgress() as progress:
        found = measure_sd3(
            config, random=weights is None, tile_px=tile_px, batch=batch, progress=progress
        )
    print_facts(found.to_dict(), as_json=as_json, lines=found.lines())
